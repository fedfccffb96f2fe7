/* benchmark: the published benchmark files, read into a flat list of responses to be scored (method.md, section 6). JSON (one list) or JSON lines, plain or gzip, with
 * the published field names; other fields are passed over:
 *   rewardbench     {"id", "subset", "prompt", "chosen", "rejected"}
 *   rewardbench-2   {"id", "subset", "prompt", "chosen": [..], "rejected": [..]}; num_correct, num_incorrect and total_completions, where given, must agree with the
 *                   lists. One chosen response, but in the subset Ties: there an id is "ref:N" or "tied:N", and the prompts of one N belong together: the ref prompt
 *                   has one right answer, the tied prompt several that are equally right
 *   rm-bench        {"id", "domain", "prompt", "chosen": [3], "rejected": [3]}, in rising style; the published chat file has no "domain": subset alpacaeval is chat
 *   judgebench      {"pair_id", "source", "question", "response_A", "response_B", "label": "A>B" or "B>A"}
 *   criticbench     {"id", "question_source" (or "dataset", or "source"), "question_type", "question" (or "prompt"), "response", "response_label": true or false (or 1, 0),
 *                   "answer"}; "answer" is the list of reference answers, any of which is right, or one alone: optional, a string, a number, true or false each.
 *                   "question_type" is optional; where all items have it, the table has a row for each type, with its sets below it
 * An id is a string or a whole number; an item without one has its number in the file, from 0. */
#ifndef TRAINER_EVAL_BENCHMARK_H
#define TRAINER_EVAL_BENCHMARK_H

#include "base/json.h"
#include "dataset/encode.h"

enum benchmark_kind { REWARDBENCH, REWARDBENCH_2, RM_BENCH, JUDGEBENCH, CRITICBENCH, N_BENCHMARKS };

/* An item's responses are [first, first + n) of the flat list: chosen..., rejected...; A, B; the one of CriticBench. The right ones are n_right from first + first_right
 * (CriticBench: n_right is 1 when its response is right, else 0). All text is borrowed from the benchmark. */
struct benchmark_item {
    const char *id, *group;     /* group: subset, domain, source or data set */
    json_t *id_value;           /* as the file has it */
    struct message prompt;      /* of the user */
    int64_t first;
    int n, first_right, n_right;
    int group_index;            /* in the list of the benchmark's groups; not CriticBench */
    int64_t tie;                /* RewardBench 2, Ties: N of the id */
    bool tied;                  /* "tied:N" */
    const char *type;           /* CriticBench, NULL: none */
    json_t *answers;            /* CriticBench: a list of texts, any of which is right; NULL: none */
};

struct benchmark_response { int64_t item; const char *text; size_t n_bytes; };

struct benchmark {
    enum benchmark_kind kind;
    const struct benchmark_rules *rules;
    const char *path;
    int64_t n_items, n_responses;
    struct benchmark_item *item;                /* [n_items] */
    struct benchmark_response *response;        /* [n_responses] */
    json_t *pool;                               /* owns the text */
};

/* rewardbench, rewardbench-2, rm-bench, judgebench, criticbench; USAGE for another name. */
int benchmark_find(const char *name, enum benchmark_kind *out);
const char *benchmark_name(enum benchmark_kind kind);

/* FAILED, with file, line (of a list: item, from 1) and field, for what is not as above, and for a file without items. */
int benchmark_open(enum benchmark_kind kind, const char *path, struct benchmark **out);
void benchmark_close(struct benchmark **benchmark);

/* The messages before response i. */
const struct message *benchmark_prompt(const struct benchmark *benchmark, int64_t i, int *n_messages);

#endif
