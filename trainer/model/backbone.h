/* backbone: the Llama family's forward and backward over a forest, tensor parallel with sequence parallelism for norms and residuals (arXiv 2205.05198).
 *
 * Shape letters: T rows of the forest, S = T / tensor.size local rows (rows [rank S, (rank+1) S)), C hidden, Q = local query heads x D, K = local key/value
 * heads x D, F = local feed-forward width. Suffix _SC: this rank's rows; _TC: all rows.
 *
 * The residual stream (the input of each layer, its middle) and its gradient are float32 whatever the run's dtype: they are sums over all layers, and what bf16 loses of them no norm
 * brings back. What enters and leaves a product, and crosses the tensor axis, has the run's dtype.
 *
 * A layer keeps what its backward needs (struct layer_memory in backbone_state.h). With recompute only the layer's input is kept, and the layer is run again in the
 * backward. Either way the numbers are the same bits.
 */
#ifndef TRAINER_MODEL_BACKBONE_H
#define TRAINER_MODEL_BACKBONE_H

#include "trainer/model/model_config.h"
#include "trainer/model/placed_forest.h"
#include "trainer/model/store.h"

struct backbone;

struct backbone_options {
    int64_t max_rows;           /* of a forest, a multiple of the tensor axis */
    int64_t max_positions;
    bool recompute;             /* per layer */
    bool with_backward;
    bool record;                /* cached passes of few rows, where the device records and one rank has the whole model */
};

/* Bytes of activations and working memory per rank. */
size_t backbone_bytes(const struct model_config *model, const struct backbone_options *options, enum dtype dtype, int tensor_size);

/* model and store must outlive it. Fails when memory does not suffice. */
int backbone_create(const struct model_config *model, struct store *store, const struct backbone_options *options, struct backbone **out);
void backbone_destroy(struct backbone **backbone);

/* Hidden states after the final norm, of all rows: *hidden_TC in the run's dtype, owned by the backbone, valid until the backward or the next forward.
 * Collective over tensor. An empty forest does nothing. */
int backbone_forward(struct backbone *backbone, const struct placed_forest *placed, const void **hidden_TC);

/* Rows that see keys of a cache, for generation. Their own keys and values are first put at slot[row] of each layer's cache, so rows of one pass see each other where a
 * range covers their slots. */
struct kv_memory { int64_t n_slots; void *const *k_SGD, *const *v_SGD; };       /* [layers], each [n_slots][local KV heads][head_dim] in the run's dtype */
struct backbone_rows {
    int64_t n_rows;                     /* a multiple of the tensor axis, at most max_rows */
    const uint32_t *token;
    const int32_t *position, *slot;     /* slot -1: the row's key is in the cache already, or the row is padding */
    const struct attention_run *run;    /* with ranges in slots */
    int n_runs;
    const struct attention_range *range;
};
/* Needs a backbone without backward. *hidden_TC as above. Collective over tensor, with equal rows. */
int backbone_forward_cached(struct backbone *backbone, const struct backbone_rows *rows, const struct kv_memory *cache, const void **hidden_TC);

/* A zeroed gradient of hidden_TC to be filled; each tensor rank holds a part, their sum is the gradient. */
int backbone_hidden_grad(struct backbone *backbone, void **dhidden_TC);

/* Who is told, from the last bucket (params.h) to the first, that nothing more is added to its gradients in this backward. */
struct bucket_listener { int (*whole)(void *state, int bucket); void *state; };

/* Adds to the store's gradients. After backbone_forward of the same forest, with the gradient filled. listener may be NULL; an empty forest's buckets are told all the same. Collective over
 * tensor. */
int backbone_backward(struct backbone *backbone, const struct placed_forest *placed, const struct bucket_listener *listener);

#endif
