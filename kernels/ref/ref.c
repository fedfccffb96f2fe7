/* ref: the table, and the device of one thread. */
#include "kernels/ref/ref.h"

#include <stdlib.h>

#include "kernels/host_memory.h"

const struct kernels kernels_ref = {
    .gemm = ref_gemm,
    .bias_forward = ref_bias_forward,
    .bias_backward = ref_bias_backward,
    .rmsnorm_forward = ref_rmsnorm_forward,
    .rmsnorm_backward = ref_rmsnorm_backward,
    .rope = ref_rope,
    .swiglu_forward = ref_swiglu_forward,
    .swiglu_backward = ref_swiglu_backward,
    .embedding_forward = ref_embedding_forward,
    .embedding_backward = ref_embedding_backward,
    .gather_rows = ref_gather_rows,
    .scatter_add_rows = ref_scatter_add_rows,
    .scatter_rows = ref_scatter_rows,
    .add_parts = ref_add_parts,
    .add = ref_add,
    .cast = ref_cast,
    .attention_prepare = ref_attention_prepare,
    .attention_forward = ref_attention_forward,
    .attention_backward = ref_attention_backward,
    .cross_entropy_max = ref_cross_entropy_max,
    .cross_entropy_sum = ref_cross_entropy_sum,
    .cross_entropy_loss = ref_cross_entropy_loss,
    .cross_entropy_backward = ref_cross_entropy_backward,
    .reward_forward = ref_reward_forward,
    .reward_backward = ref_reward_backward,
    .bradley_terry = ref_bradley_terry,
    .adamw = ref_adamw,
    .norm_squared = ref_norm_squared,
    .sample = ref_sample,
};

static void ref_destroy(struct device *device) { free(device); }

static const struct device_ops ref_ops = {host_alloc, host_release, host_reserve, host_left, host_copy, host_zero, host_synchronize, host_event_record, host_event_wait, host_stream_open, NULL, NULL, NULL, NULL, ref_destroy};

int device_ref_create(struct device **out)
{
    struct device *device = calloc(1, sizeof *device);
    CHECK(device, "out of memory for the device");
    *device = (struct device){.ops = &ref_ops, .kernels = &kernels_ref, .n_threads = 1, .name = "the reference"};
    device->stream.device = device;
    *out = device;
    return OK;
}
