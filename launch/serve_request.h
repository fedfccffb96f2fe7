/* serve_request: the body of POST /score, and its answer.
 *
 *   {"prompt", "response", ...}        -> the same with "reward", "rewards", "critiques", as a line of `score` has them; {"error"}, status 400, where it cannot be scored
 *   {"items": [item, item, ...]}       -> {"items": [...]} in the same order, {"error"} in the place of each that cannot be scored
 *
 * A request is one memory for its items: whoever makes it frees it, when none of them is waiting or at work. */
#ifndef LAUNCH_SERVE_REQUEST_H
#define LAUNCH_SERVE_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SERVE_MAX_ITEMS = 4096 };

struct serve_request;
struct serve_item {
    struct serve_request *request;
    char *text;                     /* one line of JSON, until it is answered; NULL: it was refused when it was read */
    char *answer;                   /* one line of JSON; NULL: none yet, or it was dropped */
    struct serve_item *next;        /* in the queue, or among those taken together */
};

struct serve_request {
    bool is_list;
    int64_t n_items, n_left;        /* n_left: without an answer, and not dropped */
    int64_t n_errors, n_dropped;
    struct serve_item *item;        /* [n_items] */
    void (*ready)(struct serve_request *);      /* called with the last of its items, by the thread that answers it */
    double put_s, answer_s;         /* when it was queued, and when it was ready: seconds of clock_s */
};

/* Items that are no prompt and response are answered at once. FAILED when bytes are no JSON, or not of the two forms above. */
int serve_request_parse(const char *bytes, size_t n_bytes, struct serve_request *out);
/* answer is malloc'd and taken; NULL for memory that ran out: the item counts as dropped. */
void serve_item_answer(struct serve_item *item, char *answer);
void serve_item_refuse(struct serve_item *item, const char *sentence);
/* It will not be scored: the server stops. */
void serve_item_drop(struct serve_item *item);
/* All answers as one malloc'd text. NULL when memory ran out. None may be missing. */
char *serve_request_answer(const struct serve_request *request);
void serve_request_free(struct serve_request *request);

/* {"error": sentence}, malloc'd; bytes that are no UTF-8 are replaced. NULL when memory ran out. */
char *serve_error(const char *sentence);

#endif
