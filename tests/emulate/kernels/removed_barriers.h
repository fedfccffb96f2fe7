/* removed_barriers: included once, behind all headers and before the kernel sources under test, whose barriers and waits then ask first whether they are there. Behind the sources stands
 * COUNT_BARRIERS. */
#include "kernels/cuda/gpu.h"
#include "tests/emulate/kernels/removed.h"

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
#define COUNT_BARRIERS extern "C" { extern const int n_barriers; const int n_barriers = __COUNTER__ - FIRST_BARRIER; }
