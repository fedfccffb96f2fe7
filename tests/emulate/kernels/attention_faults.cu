/* attention_faults: the kernels under other names, in which a barrier and a wait ask first whether they are there. */
#include "kernels/cuda/attention_tiles.h"
#include "tests/emulate/kernels/attention_faults.h"

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
#define attention_forward_64 faulty_forward_64
#define attention_forward_128 faulty_forward_128
#define attention_backward_q_64 faulty_backward_q_64
#define attention_backward_q_128 faulty_backward_q_128
#define attention_backward_k_64 faulty_backward_k_64
#define attention_backward_k_128 faulty_backward_k_128
#include "kernels/cuda/attention_forward.cu"
#include "kernels/cuda/attention_backward.cu"

extern "C" {
extern const int n_barriers;
const int n_barriers = __COUNTER__ - FIRST_BARRIER;
}
