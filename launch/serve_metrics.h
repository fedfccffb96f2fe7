/* serve_metrics: what a server has done, as Prometheus reads it (text format 0.0.4). Any thread may call. */
#ifndef LAUNCH_SERVE_METRICS_H
#define LAUNCH_SERVE_METRICS_H

#include "trainer/infer/scorer.h"

struct serve_metrics;
int serve_metrics_create(struct serve_metrics **out);
void serve_metrics_destroy(struct serve_metrics **metrics);

/* A request was answered with an HTTP status. */
void serve_metrics_answered(struct serve_metrics *metrics, int status);
/* A request was scored, seconds after it was queued. */
void serve_metrics_waited(struct serve_metrics *metrics, double seconds);
void serve_metrics_scored(struct serve_metrics *metrics, const struct scored *scored, bool reads_critique);
void serve_metrics_refused(struct serve_metrics *metrics, int64_t n_items);
/* What the generator counts, and the seconds that passes took since the start. */
void serve_metrics_engine(struct serve_metrics *metrics, const struct generator_counts *counts, double busy_s);

int64_t serve_metrics_requests(struct serve_metrics *metrics);
int64_t serve_metrics_items(struct serve_metrics *metrics);         /* scored */
/* The page, malloc'd; NULL when memory ran out. n_waiting: items in the queue. */
char *serve_metrics_page(struct serve_metrics *metrics, int64_t n_waiting);

#endif
