/* attention_sm90: host side of the Hopper kernels of forest attention: whether they serve, how their blocks are made, and the tensor maps that their copies read by. */
#include "kernels/cuda/attention_sm90.h"

#include <cuda.h>

#include "base/log.h"
#include "kernels/cuda/cuda.h"

typedef CUresult encode_tensor_map(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *, const cuuint64_t *, const cuuint64_t *, const cuuint32_t *, const cuuint32_t *,
                                   CUtensorMapInterleave, CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

static int capability(int ordinal, int *major, int *minor)
{
    CUDA_CHECK(cudaDeviceGetAttribute(major, cudaDevAttrComputeCapabilityMajor, ordinal), "cannot ask GPU %d what it is", ordinal);
    CUDA_CHECK(cudaDeviceGetAttribute(minor, cudaDevAttrComputeCapabilityMinor, ordinal), "cannot ask GPU %d what it is", ordinal);
    return OK;
}

/* The driver's function is asked for through the runtime, so that the module links no driver. */
int attention_sm90_open(struct cuda *cuda)
{
    enum { SINCE = 12000 };
    int major = 0, minor = 0;
    void *function = NULL;
    enum cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
    TRY(capability(cuda->ordinal, &major, &minor));
    if (major != 9 || minor != 0)
        return OK;
    if (!&attention_sm90_forward_64) {
        log_warn("this build has no kernels for sm_90a, so attention on GPU %d takes those for sm_80: build with CRITIC_RM_CUDA_ARCHITECTURES=90a", cuda->ordinal);
        return OK;
    }
    CUDA_CHECK(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, SINCE, cudaEnableDefault, &result), "cannot ask the driver for tensor maps");
    cuda->encode_tensor_map = result == cudaDriverEntryPointSuccess ? function : NULL;
    if (!cuda->encode_tensor_map)
        log_warn("the driver of GPU %d makes no tensor maps, so attention takes the kernels for sm_80: install a newer driver", cuda->ordinal);
    return OK;
}

bool attention_sm90_serves(const struct stream *stream, const struct attention_args *a)
{
    return cuda_of(stream->device)->encode_tensor_map && a->heads / a->kv_heads <= SM90_STEP;
}

/* Of rows, those of whole tokens. */
static int whole_tokens(const struct attention_args *a, int rows)
{
    int group = a->heads / a->kv_heads;
    return rows / group * group;
}

struct sm90_block attention_sm90_forward_block(const struct attention_args *a)
{
    int consumers = SM90_CONSUMERS(a->dim), rows = whole_tokens(a, SM90_ROWS * consumers);
    return (struct sm90_block){a->dim == 64 ? &attention_sm90_forward_64 : &attention_sm90_forward_128, sm90_threads(consumers), sm90_forward_shared(a->dim), rows, rows, SM90_STEP};
}

struct sm90_block attention_sm90_backward_q_block(const struct attention_args *a)
{
    int consumers = SM90_CONSUMERS(a->dim), rows = whole_tokens(a, SM90_ROWS * consumers);
    return (struct sm90_block){a->dim == 64 ? &attention_sm90_backward_q_64 : &attention_sm90_backward_q_128, sm90_threads(consumers), sm90_backward_q_shared(a->dim), rows, rows, SM90_STEP};
}

struct sm90_block attention_sm90_backward_k_block(const struct attention_args *a)
{
    int consumers = SM90_KEY_CONSUMERS, keys = SM90_ROWS * consumers;
    return (struct sm90_block){a->dim == 64 ? &attention_sm90_backward_k_64 : &attention_sm90_backward_k_128, sm90_threads(consumers), sm90_backward_k_shared(a->dim), keys,
                               whole_tokens(a, SM90_STEP), keys};
}

/* x is [rows][heads][dim]; a box has 64 columns of box_heads heads of box_rows rows. */
static int make_map(const struct cuda *cuda, struct gpu_tensor_map *map, const void *x, const struct attention_args *a, int heads, int64_t rows, int box_heads, int box_rows)
{
    encode_tensor_map *encode = (encode_tensor_map *)(uintptr_t)cuda->encode_tensor_map;
    cuuint64_t dims[] = {(cuuint64_t)a->dim, (cuuint64_t)heads, (cuuint64_t)rows}, strides[] = {dims[0] * 2, dims[0] * dims[1] * 2};
    cuuint32_t box[] = {64, (cuuint32_t)box_heads, (cuuint32_t)box_rows}, ones[] = {1, 1, 1};
    CUresult result = encode((CUtensorMap *)(void *)map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3, (void *)(uintptr_t)x, dims, strides, box, ones, CU_TENSOR_MAP_INTERLEAVE_NONE,
                             CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    CHECK(result == CUDA_SUCCESS, "the CUDA driver makes no tensor map for attention of %lld rows and %d heads of size %d: error %d", (long long)rows, heads, a->dim, (int)result);
    return OK;
}

int attention_sm90_launch(struct stream *stream, const struct sm90_block *block, int64_t n_tiles, const struct attention_launch *launch)
{
    const struct attention_args *a = &launch->a;
    const struct cuda *cuda = cuda_of(stream->device);
    int group = a->heads / a->kv_heads;
    struct sm90_launch l = {.l = *launch, .box_rows = block->box_rows};
    TRY(make_map(cuda, &l.q, a->q_THD, a, a->heads, a->rows, group, block->box_rows / group));
    TRY(make_map(cuda, &l.k, a->k_SGD, a, a->kv_heads, a->key_rows, 1, block->box_keys));
    TRY(make_map(cuda, &l.v, a->v_SGD, a, a->kv_heads, a->key_rows, 1, block->box_keys));
    if (a->do_THD)
        TRY(make_map(cuda, &l.g, a->do_THD, a, a->heads, a->rows, group, block->box_rows / group));
    return gpu_launch(stream, block->kernel, (struct gpu_grid){.x = (unsigned)n_tiles, .y = (unsigned)a->kv_heads}, block->n_threads, block->shared_bytes, &l);
}
