/* paged_faults: the kernels under other names, in which a barrier and a wait ask first whether they are there. */
#include "kernels/cuda/attention_softmax.h"
#include "tests/emulate/kernels/paged_faults.h"

int removed_barrier = -1;
bool removed_waits;

template <int N> GPU_DEVICE void wait_unless_removed(void)
{
    if (!removed_waits)
        gpu_copy_wait<N>();
}

enum { FIRST_BARRIER = __COUNTER__ + 1 };

#define gpu_barrier() (removed_barrier == __COUNTER__ - FIRST_BARRIER ? (void)0 : emulate_barrier())
#define gpu_copy_wait wait_unless_removed
#define paged_split_64 faulty_split_64
#define paged_split_128 faulty_split_128
#define paged_chain_64 faulty_chain_64
#define paged_chain_128 faulty_chain_128
#define paged_merge_64 faulty_merge_64
#define paged_merge_128 faulty_merge_128
#include "kernels/cuda/attention_paged.cu"

extern "C" {
extern const int n_barriers;
const int n_barriers = __COUNTER__ - FIRST_BARRIER;
}
