/* paged_faults: the kernels under other names, in which a barrier and a wait ask first whether they are there. */
#include "kernels/cuda/attention_softmax.h"
#include "tests/emulate/kernels/paged_faults.h"
#include "tests/emulate/kernels/removed_barriers.h"

#define paged_split_64 faulty_split_64
#define paged_split_128 faulty_split_128
#define paged_chain_64 faulty_chain_64
#define paged_chain_128 faulty_chain_128
#define paged_merge_64 faulty_merge_64
#define paged_merge_128 faulty_merge_128
#include "kernels/cuda/attention_paged.cu"

COUNT_BARRIERS
