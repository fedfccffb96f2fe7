/* generator: texts from the backbone, many at once, with continuous batching over a cache of stated size.
 *
 * A call is a path of nodes (prompt; response; instruction) and the number of samples wanted of it. Each sample is a sequence under the path: it waits until the cache has
 * room for its longest form, runs, and is handed to the call's owner when it ends. A pass computes one row of every running sequence, and fills up with rows of prompts
 * still to be read (generate.batch_tokens).
 *
 *   while there is work      submit calls while generator_wants(); generator_step()
 *
 * A sample's random numbers are Philox(seed, sampling; id = XXH3-64 of the path's tokens, index = sample, draw = token number): the same text whatever the mesh, the
 * neighbours or the restart. All tensor ranks make the same calls in the same order. */
#ifndef TRAINER_INFER_GENERATOR_H
#define TRAINER_INFER_GENERATOR_H

#include "base/philox.h"
#include "dataset/candidates.h"
#include "dataset/end_tokens.h"
#include "dataset/tokenizer.h"
#include "trainer/infer/prefix.h"

enum { GENERATOR_MAX_NODES = 4, GENERATOR_MAX_FORCED = 64 };

/* A line begun for the model, whose end may be one of a few texts: "Score: " and 1..10. */
struct forced_line { struct token_list begin; int n_choices; struct token_list choice[GENERATOR_MAX_FORCED]; };

/* How the samples of a call are drawn and ended. */
struct generator_rule {
    float temperature, top_p, min_p;
    int32_t top_k;
    int64_t max_new;                    /* tokens of a text, end of turn included; 0: no text, the reward is read under the path, which ends with its end of turn */
    const char *stop;                   /* texts that end it and are cut off, parted by |; "": none */
    bool ignore_end;                    /* the end of turn and the other ends are tokens like others (benchmarks) */
    const struct forced_line *forced;   /* follows a text that does not satisfy `satisfied`; NULL: none */
    bool (*satisfied)(const char *text, size_t n_bytes);
    bool read_reward;                   /* appends the end of turn where it is missing, and the reward token, and reads the reward there */
};

struct generator_sample {
    int32_t index;                      /* of the sample */
    const char *text;                   /* with a 0 behind it; stop texts cut off, a forced line included */
    size_t n_bytes;
    const uint32_t *token;              /* of the text, without the end of turn; whole tokens before a stop text */
    int32_t n_tokens;
    enum finish finish;                 /* FINISH_LIMIT: cut by max_new */
    bool was_forced;                    /* the forced line was appended */
    float reward;                       /* NAN unless read */
};

struct generator_call {
    int n_nodes;
    struct tokens node[GENERATOR_MAX_NODES];    /* none empty; copied */
    int32_t first_sample, n_samples;
    struct generator_rule rule;                 /* copied; what it points to must outlive the call */
    /* Called once for each sample, from generator_step. A failure ends the step. It may submit further calls. */
    int (*done)(void *owner, const struct generator_sample *sample);
    void *owner;
};

struct generator_options {
    uint64_t seed;
    int64_t max_rows;                   /* rows of a pass, and so the most sequences at once */
    size_t kv_bytes;                    /* of the cache on this rank */
    int64_t reward_token, end_of_turn;
    const struct end_tokens *ends;      /* at which a text ends as at the end of turn; NULL: none. Must outlive the generator */
};

/* Since the start, on this rank's tensor group; `running` are the sequences at work now. */
struct generator_counts { int64_t samples, cut, forced, new_tokens, prefill_tokens, passes, running; };

struct generator;
/* backbone: without backward, max_rows as in the options. readout: as many rows. All are borrowed. */
int generator_create(const struct generator_options *options, const struct model_config *model, struct store *store, struct backbone *backbone, const struct tokenizer *tokenizer,
                     struct generator **out);
void generator_destroy(struct generator **generator);

/* Could a sample by the rule ever run under the path? NO_CONTEXT: the model's positions leave no room for it. NO_CACHE: the cache, were it empty, could not hold it; that depends on the
 * machine and the mesh, so it may end a job or be said of a record, but decides nothing in a result. */
enum generator_fit { GENERATOR_FITS, GENERATOR_NO_CONTEXT, GENERATOR_NO_CACHE };
enum generator_fit generator_fits(const struct generator *generator, const struct tokens *node, int n_nodes, const struct generator_rule *rule);
/* The least generate.kv_memory_mb that holds a sample by the rule under the path. */
int64_t generator_kv_memory_mb(const struct generator *generator, const struct tokens *node, int n_nodes, const struct generator_rule *rule);
/* Where the cache does not hold it: fails with this status, and names that value. */
int generator_refuse_cache(const struct generator *generator, const struct tokens *node, int n_nodes, const struct generator_rule *rule, int status);
/* FAILED when the context leaves no room, USAGE when the cache does not hold it. max_new is lowered to what the context leaves. */
int generator_submit(struct generator *generator, const struct generator_call *call);
/* True while nothing waits for its turn: more calls would begin at once. */
bool generator_wants(const struct generator *generator);
bool generator_is_idle(const struct generator *generator);
/* One pass. Collective over tensor. */
int generator_step(struct generator *generator);
void generator_count(const struct generator *generator, struct generator_counts *out);

#endif
