/* What the stand-in of NCCL must have in common with the real header, of which it is read behind either. */
#ifndef TESTS_EMULATE_REAL_NCCL_H
#define TESTS_EMULATE_REAL_NCCL_H

_Static_assert(ncclSuccess == 0 && ncclUnhandledCudaError == 1 && ncclSystemError == 2 && ncclInternalError == 3, "results");
_Static_assert(ncclInvalidArgument == 4 && ncclInvalidUsage == 5 && ncclRemoteError == 6 && ncclInProgress == 7, "results");
_Static_assert(ncclSum == 0 && ncclMax == 2 && ncclMin == 3, "operations");
_Static_assert(ncclUint8 == 1 && ncclInt64 == 4 && ncclFloat32 == 7 && ncclFloat64 == 8 && ncclBfloat16 == 9, "types");
_Static_assert(NCCL_UNIQUE_ID_BYTES == 128 && sizeof(ncclUniqueId) == 128, "the unique id");
_Static_assert(NCCL_SPLIT_NOCOLOR == -1 && NCCL_CONFIG_UNDEF_INT == INT_MIN, "the configuration");
_Static_assert(_Generic(&((ncclConfig_t *)0)->blocking, int *: 1), "the configuration");

/* The functions' types; never called. */
struct nccl_functions {
    ncclResult_t (*unique_id)(ncclUniqueId *);
    ncclResult_t (*init)(ncclComm_t *, int, ncclUniqueId, int, ncclConfig_t *);
    ncclResult_t (*split)(ncclComm_t, int, int, ncclComm_t *, ncclConfig_t *);
    ncclResult_t (*finalize)(ncclComm_t), (*destroy)(ncclComm_t), (*abort)(ncclComm_t);
    ncclResult_t (*error)(ncclComm_t, ncclResult_t *);
    const char *(*words)(ncclResult_t), *(*last_error)(ncclComm_t);
    ncclResult_t (*all_reduce)(const void *, void *, size_t, ncclDataType_t, ncclRedOp_t, ncclComm_t, cudaStream_t);
    ncclResult_t (*reduce_scatter)(const void *, void *, size_t, ncclDataType_t, ncclRedOp_t, ncclComm_t, cudaStream_t);
    ncclResult_t (*all_gather)(const void *, void *, size_t, ncclDataType_t, ncclComm_t, cudaStream_t);
    ncclResult_t (*broadcast)(const void *, void *, size_t, ncclDataType_t, int, ncclComm_t, cudaStream_t);
    ncclResult_t (*send)(const void *, size_t, ncclDataType_t, int, ncclComm_t, cudaStream_t);
    ncclResult_t (*recv)(void *, size_t, ncclDataType_t, int, ncclComm_t, cudaStream_t);
    ncclResult_t (*group_start)(void), (*group_end)(void);
};
extern const struct nccl_functions nccl_functions;
const struct nccl_functions nccl_functions = {
    ncclGetUniqueId, ncclCommInitRankConfig, ncclCommSplit, ncclCommFinalize, ncclCommDestroy, ncclCommAbort, ncclCommGetAsyncError, ncclGetErrorString, ncclGetLastError,
    ncclAllReduce, ncclReduceScatter, ncclAllGather, ncclBroadcast, ncclSend, ncclRecv, ncclGroupStart, ncclGroupEnd,
};

#endif
