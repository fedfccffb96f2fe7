/* What the stand-in and the real header of cuBLASLt must both say: numbers, sizes, and the types of functions. Included behind either: by tests/emulate/cublaslt.c, and
 * by cublaslt.c here where the CUDA toolkit is found. Both compile only while they agree. */
#ifndef TESTS_EMULATE_REAL_CUBLASLT_H
#define TESTS_EMULATE_REAL_CUBLASLT_H

#define SAYS(name, number) _Static_assert((name) == (number), #name)
SAYS(CUBLAS_STATUS_SUCCESS, 0);
SAYS(CUBLAS_STATUS_NOT_INITIALIZED, 1);
SAYS(CUBLAS_STATUS_ALLOC_FAILED, 3);
SAYS(CUBLAS_STATUS_INVALID_VALUE, 7);
SAYS(CUBLAS_STATUS_EXECUTION_FAILED, 13);
SAYS(CUBLAS_STATUS_NOT_SUPPORTED, 15);
SAYS(CUBLAS_OP_N, 0);
SAYS(CUBLAS_OP_T, 1);
SAYS(CUBLAS_COMPUTE_32F, 68);
SAYS(CUBLAS_COMPUTE_32F_FAST_TF32, 77);
SAYS(CUDA_R_32F, 0);
SAYS(CUDA_R_16BF, 14);
SAYS(CUBLASLT_MATMUL_DESC_TRANSA, 3);
SAYS(CUBLASLT_MATMUL_DESC_TRANSB, 4);
SAYS(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, 1);
SAYS(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, 3);
SAYS(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, 5);
SAYS(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, 6);
SAYS(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, 7);
SAYS(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, 8);
SAYS(CUBLASLT_REDUCTION_SCHEME_NONE, 0);
SAYS(CUBLASLT_REDUCTION_SCHEME_INPLACE, 1);
SAYS(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, 2);
SAYS(CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE, 4);
SAYS(CUBLASLT_REDUCTION_SCHEME_MASK, 7);
SAYS(CUBLASLT_ALGO_CONFIG_SPLITK_NUM, 2);
SAYS(sizeof(cublasLtMatmulAlgo_t), 64);
SAYS(sizeof(cublasLtMatmulHeuristicResult_t), 96);
SAYS(sizeof(cudaDataType_t), 4);
#undef SAYS

#define IS(name, result, ...) _Static_assert(_Generic(&name, result (*)(__VA_ARGS__): 1, default: 0), #name)
IS(cublasLtCreate, cublasStatus_t, cublasLtHandle_t *);
IS(cublasLtDestroy, cublasStatus_t, cublasLtHandle_t);
IS(cublasLtGetStatusString, const char *, cublasStatus_t);
IS(cublasLtMatrixLayoutInit_internal, cublasStatus_t, cublasLtMatrixLayout_t, size_t, cudaDataType, uint64_t, uint64_t, int64_t);
IS(cublasLtMatmulDescInit_internal, cublasStatus_t, cublasLtMatmulDesc_t, size_t, cublasComputeType_t, cudaDataType_t);
IS(cublasLtMatmulPreferenceInit_internal, cublasStatus_t, cublasLtMatmulPreference_t, size_t);
IS(cublasLtMatrixLayoutInit, cublasStatus_t, cublasLtMatrixLayout_t, cudaDataType, uint64_t, uint64_t, int64_t);
IS(cublasLtMatmulDescInit, cublasStatus_t, cublasLtMatmulDesc_t, cublasComputeType_t, cudaDataType_t);
IS(cublasLtMatmulPreferenceInit, cublasStatus_t, cublasLtMatmulPreference_t);
IS(cublasLtMatmulDescSetAttribute, cublasStatus_t, cublasLtMatmulDesc_t, cublasLtMatmulDescAttributes_t, const void *, size_t);
IS(cublasLtMatmulPreferenceSetAttribute, cublasStatus_t, cublasLtMatmulPreference_t, cublasLtMatmulPreferenceAttributes_t, const void *, size_t);
IS(cublasLtMatmulAlgoConfigGetAttribute, cublasStatus_t, const cublasLtMatmulAlgo_t *, cublasLtMatmulAlgoConfigAttributes_t, void *, size_t, size_t *);
IS(cublasLtMatmulAlgoGetHeuristic, cublasStatus_t, cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
   cublasLtMatmulPreference_t, int, cublasLtMatmulHeuristicResult_t *, int *);
IS(cublasLtMatmulAlgoCheck, cublasStatus_t, cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
   const cublasLtMatmulAlgo_t *, cublasLtMatmulHeuristicResult_t *);
IS(cublasLtMatmul, cublasStatus_t, cublasLtHandle_t, cublasLtMatmulDesc_t, const void *, const void *, cublasLtMatrixLayout_t, const void *, cublasLtMatrixLayout_t, const void *,
   const void *, cublasLtMatrixLayout_t, void *, cublasLtMatrixLayout_t, const cublasLtMatmulAlgo_t *, void *, size_t, cudaStream_t);
#undef IS

#endif
