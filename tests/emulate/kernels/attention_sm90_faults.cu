/* attention_sm90_faults: Hopper's kernels under other names, in which each word that waits, or that is waited for, asks first whether it is there. Turns are not asked: they are for speed,
 * and the emulator's warps of a warpgroup wait for their products together. */
#include "kernels/cuda/attention_softmax.h"
#include "kernels/cuda/gpu_sm90.h"
#include "tests/emulate/kernels/attention_faults.h"

int removed_word = -1;

/* What gpu_multiply_wait<N> becomes. */
template <int WORD> struct word {
    template <int N> static void wait(void)
    {
        if (removed_word != WORD)
            emulate_multiply_wait(N);
    }
};

enum { FIRST_WORD = __COUNTER__ + 1 };

#define UNLESS_REMOVED(what) (removed_word == __COUNTER__ - FIRST_WORD ? (void)0 : (what))
#define gpu_barrier() UNLESS_REMOVED(emulate_barrier())
#define gpu_warp_barrier() UNLESS_REMOVED((void)emulate_exchange(EMULATE_WARP_BARRIER, NULL, 0))
#define gpu_mbarrier_made() UNLESS_REMOVED(emulate_mbarrier_made())
#define gpu_mbarrier_wait(b, parity) UNLESS_REMOVED(emulate_mbarrier_wait(b, parity))
#define gpu_mbarrier_arrive(b) UNLESS_REMOVED(emulate_mbarrier_arrive(b))
#define gpu_part_arrive(id, n) UNLESS_REMOVED(emulate_part_arrive(id, n))
#define gpu_async_fence() UNLESS_REMOVED(emulate_async_fence())
#define gpu_multiply_begin() UNLESS_REMOVED(emulate_multiply_begin())
#define gpu_multiply_wait word<__COUNTER__ - FIRST_WORD>::wait
#define attention_sm90_forward_64 faulty_sm90_forward_64
#define attention_sm90_forward_128 faulty_sm90_forward_128
#define attention_sm90_backward_q_64 faulty_sm90_backward_q_64
#define attention_sm90_backward_q_128 faulty_sm90_backward_q_128
#define attention_sm90_backward_k_64 faulty_sm90_backward_k_64
#define attention_sm90_backward_k_128 faulty_sm90_backward_k_128
#include "kernels/cuda/attention_sm90_forward.cu"
#include "kernels/cuda/attention_sm90_backward.cu"

extern "C" {
extern const int n_words;
const int n_words = __COUNTER__ - FIRST_WORD;
}
