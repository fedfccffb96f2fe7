/* attention_faults: the kernels under other names, in which a barrier and a wait ask first whether they are there. */
#include "kernels/cuda/attention_tiles.h"
#include "tests/emulate/kernels/attention_faults.h"
#include "tests/emulate/kernels/removed_barriers.h"

#define attention_forward_64 faulty_forward_64
#define attention_forward_128 faulty_forward_128
#define attention_backward_q_64 faulty_backward_q_64
#define attention_backward_q_128 faulty_backward_q_128
#define attention_backward_k_64 faulty_backward_k_64
#define attention_backward_k_128 faulty_backward_k_128
#include "kernels/cuda/attention_forward.cu"
#include "kernels/cuda/attention_backward.cu"

COUNT_BARRIERS
