/* What the stand-ins of the driver's and the runtime's headers and the real ones must both say of tensor maps. Included behind either. */
#ifndef TESTS_EMULATE_REAL_DRIVER_H
#define TESTS_EMULATE_REAL_DRIVER_H

#define SAYS(name, number) _Static_assert((name) == (number), #name)
SAYS(CUDA_SUCCESS, 0);
SAYS(CUDA_ERROR_INVALID_VALUE, 1);
SAYS(CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 9);
SAYS(CU_TENSOR_MAP_INTERLEAVE_NONE, 0);
SAYS(CU_TENSOR_MAP_SWIZZLE_NONE, 0);
SAYS(CU_TENSOR_MAP_SWIZZLE_128B, 3);
SAYS(CU_TENSOR_MAP_L2_PROMOTION_NONE, 0);
SAYS(CU_TENSOR_MAP_L2_PROMOTION_L2_256B, 3);
SAYS(CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE, 0);
SAYS(sizeof(CUtensorMap), 128);
SAYS(cudaEnableDefault, 0);
SAYS(cudaDriverEntryPointSuccess, 0);
SAYS(cudaDriverEntryPointSymbolNotFound, 1);
#undef SAYS

#define IS(name, result, ...) _Static_assert(_Generic(&name, result (*)(__VA_ARGS__): 1, default: 0), #name)
IS(cudaGetDriverEntryPointByVersion, cudaError_t, const char *, void **, unsigned, unsigned long long, enum cudaDriverEntryPointQueryResult *);
IS(cuTensorMapEncodeTiled, CUresult, CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *, const cuuint64_t *, const cuuint64_t *, const cuuint32_t *, const cuuint32_t *,
   CUtensorMapInterleave, CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);
#undef IS

#endif
