/* tensor_map: the stand-in of cuTensorMapEncodeTiled, which refuses what the driver refuses, and of the way to its address. */
#include <cuda.h>
#include <string.h>

#include "emulate_sm90.h"
#include "tests/emulate/runtime.h"
#include "tests/emulate/real/driver.h"

static bool refuse(const char *why, unsigned i, uint64_t value)
{
    runtime_refuse(cudaErrorInvalidValue, "cuTensorMapEncodeTiled: %s (dimension %u: %llu)", why, i, (unsigned long long)value);
    cudaGetLastError();                     /* the driver's errors are not the runtime's */
    return false;
}

static bool good_dims(cuuint32_t rank, const cuuint64_t *dims, const cuuint64_t *strides)
{
    for (unsigned i = 0; i < rank; i++)
        if (dims[i] < 1 || dims[i] > (uint64_t)1 << 32)
            return refuse("a dimension is from 1 to 2^32", i, dims[i]);
    for (unsigned i = 0; i + 1 < rank; i++)
        if (strides[i] % 16 != 0 || strides[i] >= (uint64_t)1 << 40)
            return refuse("a stride is a multiple of 16 bytes, below 2^40", i + 1, strides[i]);
    return true;
}

static bool good_box(cuuint32_t rank, const cuuint32_t *box, const cuuint32_t *element_strides, CUtensorMapSwizzle swizzle)
{
    for (unsigned i = 0; i < rank; i++)
        if (box[i] < 1 || box[i] > 256)
            return refuse("a box goes from 1 to 256", i, box[i]);
        else if (element_strides[i] != 1)
            return refuse("the stand-in takes every element", i, element_strides[i]);
    if (box[0] * 2 % 16 != 0)
        return refuse("rows of a box are multiples of 16 bytes", 0, box[0]);
    if (swizzle == CU_TENSOR_MAP_SWIZZLE_128B && box[0] * 2 > 128)
        return refuse("rows of a box are longer than its swizzle: 128 bytes", 0, box[0]);
    if (swizzle != CU_TENSOR_MAP_SWIZZLE_128B || box[0] * 2 != 128)
        return refuse("the stand-in knows the swizzle of 128 bytes, of rows of as many", 0, box[0]);
    return true;
}

CUresult cuTensorMapEncodeTiled(CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank, void *address, const cuuint64_t *dims, const cuuint64_t *strides, const cuuint32_t *box,
                                const cuuint32_t *element_strides, CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle, CUtensorMapL2promotion promotion,
                                CUtensorMapFloatOOBfill fill)
{
    struct emulate_tensor_map m = {.magic = EMULATE_TENSOR_MAP, .rank = rank, .base = (uintptr_t)address};
    _Static_assert(sizeof m <= sizeof *map, "the stand-in's map fits into the driver's");
    if ((uintptr_t)map % 64 != 0 || (uintptr_t)address % 16 != 0)
        return refuse("the map lies on 64 bytes, the tensor on 16", 0, (uintptr_t)address), CUDA_ERROR_INVALID_VALUE;
    if (rank < 1 || rank > 5 || type != CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 || interleave != CU_TENSOR_MAP_INTERLEAVE_NONE || fill != CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE)
        return refuse("1 to 5 dimensions; the stand-in knows bf16, zeros outside, and no interleaving", 0, rank), CUDA_ERROR_INVALID_VALUE;
    if (!good_dims(rank, dims, strides) || !good_box(rank, box, element_strides, swizzle))
        return CUDA_ERROR_INVALID_VALUE;
    (void)promotion;
    memcpy(m.dim, dims, rank * sizeof *dims);
    memcpy(m.stride, strides, (rank - 1) * sizeof *strides);
    memcpy(m.box, box, rank * sizeof *box);
    memcpy(map, &m, sizeof m);
    return CUDA_SUCCESS;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char *name, void **function, unsigned version, unsigned long long flags, enum cudaDriverEntryPointQueryResult *result)
{
    bool known = strcmp(name, "cuTensorMapEncodeTiled") == 0 && version >= 12000 && flags == cudaEnableDefault;
    *function = known ? (void *)(uintptr_t)cuTensorMapEncodeTiled : NULL;
    *result = known ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
    return cudaSuccess;
}
