/* serve_metrics: see serve_metrics.h. */
#include "launch/serve_metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "launch/progress.h"

enum { MOST_STATUS = 600 };

struct serve_metrics {
    pthread_mutex_t lock;
    double started_s, busy_s, waited_s;
    int64_t answered[MOST_STATUS];      /* requests by HTTP status */
    int64_t n_waited, n_scored, n_refused, n_critiques, n_cut;
    struct generator_counts engine;
};

int serve_metrics_create(struct serve_metrics **out)
{
    struct serve_metrics *m = calloc(1, sizeof *m);
    CHECK(m, "out of memory for the counts of the server");
    pthread_mutex_init(&m->lock, NULL);
    m->started_s = clock_s();
    *out = m;
    return OK;
}

void serve_metrics_destroy(struct serve_metrics **out)
{
    if (!*out)
        return;
    pthread_mutex_destroy(&(*out)->lock);
    free(*out);
    *out = NULL;
}

/* ---- counting -------------------------------------------------------------------------------------------------------------------------------- */

void serve_metrics_answered(struct serve_metrics *m, int status)
{
    ASSERT(status > 0 && status < MOST_STATUS);
    pthread_mutex_lock(&m->lock);
    m->answered[status]++;
    pthread_mutex_unlock(&m->lock);
}

void serve_metrics_waited(struct serve_metrics *m, double seconds)
{
    pthread_mutex_lock(&m->lock);
    m->n_waited++;
    m->waited_s += seconds;
    pthread_mutex_unlock(&m->lock);
}

void serve_metrics_scored(struct serve_metrics *m, const struct scored *scored, bool reads_critique)
{
    pthread_mutex_lock(&m->lock);
    m->n_scored++;
    m->n_cut += scored->n_cut;
    m->n_critiques += reads_critique ? scored->n : 0;
    pthread_mutex_unlock(&m->lock);
}

void serve_metrics_refused(struct serve_metrics *m, int64_t n_items)
{
    pthread_mutex_lock(&m->lock);
    m->n_refused += n_items;
    pthread_mutex_unlock(&m->lock);
}

void serve_metrics_engine(struct serve_metrics *m, const struct generator_counts *counts, double busy_s)
{
    pthread_mutex_lock(&m->lock);
    m->engine = *counts;
    m->busy_s = busy_s;
    pthread_mutex_unlock(&m->lock);
}

static int64_t requests(const struct serve_metrics *m)
{
    int64_t n = 0;
    for (int i = 0; i < MOST_STATUS; i++)
        n += m->answered[i];
    return n;
}

int64_t serve_metrics_requests(struct serve_metrics *m)
{
    pthread_mutex_lock(&m->lock);
    int64_t n = requests(m);
    pthread_mutex_unlock(&m->lock);
    return n;
}

int64_t serve_metrics_items(struct serve_metrics *m)
{
    pthread_mutex_lock(&m->lock);
    int64_t n = m->n_scored;
    pthread_mutex_unlock(&m->lock);
    return n;
}

/* ---- the page -------------------------------------------------------------------------------------------------------------------------------- */

static void head(FILE *out, const char *name, const char *type, const char *help) { fprintf(out, "# HELP critic_rm_%s %s\n# TYPE critic_rm_%s %s\n", name, help, name, type); }

static void value(FILE *out, const char *name, const char *type, const char *help, double number)
{
    head(out, name, type, help);
    fprintf(out, "critic_rm_%s %.17g\n", name, number);
}

static void write_page(FILE *out, const struct serve_metrics *m, int64_t n_waiting)
{
    head(out, "requests_total", "counter", "Requests answered, by HTTP status.");
    for (int i = 0; i < MOST_STATUS; i++)
        if (m->answered[i] > 0)
            fprintf(out, "critic_rm_requests_total{status=\"%d\"} %lld\n", i, (long long)m->answered[i]);
    value(out, "items_scored_total", "counter", "Responses scored.", (double)m->n_scored);
    value(out, "items_refused_total", "counter", "Items answered with an error.", (double)m->n_refused);
    value(out, "critiques_total", "counter", "Critiques written for scored responses.", (double)m->n_critiques);
    value(out, "critiques_cut_total", "counter", "Critiques that the token limit cut.", (double)m->n_cut);
    value(out, "tokens_written_total", "counter", "Tokens sampled.", (double)m->engine.new_tokens);
    value(out, "tokens_prefilled_total", "counter", "Tokens of prompts and responses computed.", (double)m->engine.prefill_tokens);
    value(out, "passes_total", "counter", "Passes of the network.", (double)m->engine.passes);
    value(out, "queue_items", "gauge", "Items that wait to be taken.", (double)n_waiting);
    value(out, "running_sequences", "gauge", "Critiques being written or read.", (double)m->engine.running);
    head(out, "request_seconds", "summary", "From a request's arrival in the queue to its last score.");
    fprintf(out, "critic_rm_request_seconds_sum %.6f\ncritic_rm_request_seconds_count %lld\n", m->waited_s, (long long)m->n_waited);
    value(out, "busy_seconds_total", "counter", "Seconds spent in passes.", m->busy_s);
    value(out, "uptime_seconds", "gauge", "Seconds since the start.", clock_s() - m->started_s);
}

char *serve_metrics_page(struct serve_metrics *m, int64_t n_waiting)
{
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    if (!out)
        return NULL;
    pthread_mutex_lock(&m->lock);
    write_page(out, m, n_waiting);
    pthread_mutex_unlock(&m->lock);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}
