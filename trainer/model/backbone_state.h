/* backbone_state: what the files of the backbone share: backbone_memory.c makes it, tensor_axis.c moves its rows, layer.c runs a layer, backbone.c all of them. */
#ifndef TRAINER_MODEL_BACKBONE_STATE_H
#define TRAINER_MODEL_BACKBONE_STATE_H

#include "trainer/model/backbone.h"
#include "trainer/model/recorded_passes.h"

/* What one layer keeps between forward and backward. */
struct layer_memory {
    float *rstd1_S, *rstd2_S;
    void *q_TQ, *k_TK, *v_TK;           /* after rotary embedding */
    void *q_raw_TQ, *k_raw_TK;          /* before the head norms (Qwen3 only) */
    float *rstd_q, *rstd_k;             /* [T * heads] */
    void *o_TQ;
    float *lse_HT;
    float *h_mid_SC;                    /* residual after attention */
    void *gate_TF, *up_TF;
};

struct layer_params { int norm1, q, k, v, bq, bk, bv, q_norm, k_norm, o, norm2, gate, up, down; };

struct backbone {
    const struct model_config *model;
    struct store *store;
    struct device *device;
    struct comm *tensor;
    struct backbone_options options;
    enum dtype dtype;
    int heads, kv_heads;                /* local */
    int64_t hidden, q_cols, kv_cols, ffn;
    int embed, final_norm;
    struct layer_params *layer;
    struct layer_memory *memory;        /* [n_slots] */
    int n_slots;
    float **h_in_SC;                    /* [layers + 1] input of each layer; the last is the output of the last layer */
    float *rstd_final_S;
    /* working memory */
    void *norm_TC, *part_TC, *grad_TC, *ffn_TF, *dq_TQ, *do_TQ, *dk_TK, *dv_TK;
    float *dh_SC, *delta_HT, *cos_PD, *sin_PD;
    void *parts_TC;                     /* what every rank brings to the sum of this rank's rows, where the device's and not the communicator's order holds */
    uint32_t *own_token_T;              /* with a cache only: a forest brings its own */
    int32_t *own_position_T, *slot_T;
    const uint32_t *token_T;            /* of this pass, on the device */
    const int32_t *position_T;
    struct backbone_rows at_hand;       /* the rows of this pass, */
    const struct attention_key_run *key_run;    /* seen from their keys (backward), */
    const struct kv_memory *cache;      /* and the keys they see; NULL: those of the pass itself */
    struct recorded_passes *recorded;   /* NULL: every pass is queued call by call */
    const void *recorded_of;            /* the first layer's keys of the cache that recordings name: the first */
    uint64_t plan_number;               /* of the rows at hand (kernels.h, attention_args) */
    struct stream beside;               /* what crosses the tensor axis while the compute stream goes on; the compute stream itself where a rank is alone on the axis */
    struct event reached, normed, summed, spread;       /* behind what the compute stream was given when it began; behind norm_TC, part_TC, grad_TC from all ranks */
    int64_t rows, local_rows;           /* of the forest at hand */
    void *block;
    size_t n_bytes;
};

static inline struct stream *stream_of(const struct backbone *b) { return &b->device->stream; }
static inline const struct kernels *kernels_of(const struct backbone *b) { return b->device->kernels; }

/* Where layer `layer` keeps what its backward needs: with recompute all in one place. */
static inline struct layer_memory *memory_of(const struct backbone *b, int layer) { return &b->memory[b->n_slots > 1 ? layer : 0]; }

#endif
