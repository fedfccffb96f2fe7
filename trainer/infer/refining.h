/* refining: a record of candidates on its way to D_sub (method.md, section 2, steps 2 to 4): dataset/refine decides, the generator grades (rank) or writes (summarise). */
#ifndef TRAINER_INFER_REFINING_H
#define TRAINER_INFER_REFINING_H

#include "dataset/encode.h"
#include "dataset/refine.h"
#include "trainer/infer/generator.h"

struct refiner {
    const struct config *config;
    const struct encoder *encoder;
    struct generator *generator;
    const struct forced_line *forced;       /* of grades, for weak judges; NULL: none */
    int64_t max_position;
};

/* One text that the model is asked for. */
struct refining_call { struct refining *refining; int side; int32_t index; };

/* What becomes of one side. */
struct refining_side {
    int32_t n;                              /* candidates, or summaries */
    struct candidate *candidate;
    struct token_list *text;                /* their tokens */
    struct refining_call *call;             /* about each, where there is one */
    float *quality;                         /* rank only */
    int32_t *list, n_list;                  /* those that are chosen */
    struct shard_critique *critique;        /* [n_list] as D_sub has them */
    struct token_list response;             /* with the critique instruction */
    int32_t n_bare;                         /* of it without */
    int64_t room;                           /* most tokens of a critique */
};

struct refining {
    const struct refiner *refiner;
    struct candidate_record from;           /* its tokens are owned */
    struct refine_counts counts;
    struct pair_filtered filtered;
    bool is_written;
    struct shard_record record;             /* where is_written */
    char *id, *subset;
    struct token_list prompt;
    struct refining_side side[2];
    int64_t n_left;                         /* samples to come */
    int (*done)(void *owner, struct refining *refining);
    void *owner;
};

/* USAGE where the cache could never hold a call. done is called, perhaps at once, when it is known what becomes of the record. It may free it. Otherwise free *out, also after a failure, when the generator takes no further step. */
int refining_submit(const struct refiner *refiner, const struct candidate_record *record, int (*done)(void *owner, struct refining *refining), void *owner, struct refining **out);
void refining_free(struct refining **refining);

#endif
