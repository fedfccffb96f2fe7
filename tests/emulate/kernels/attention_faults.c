/* attention_faults: the host side, which launches the kernels of attention_faults.cu. */
#include "tests/emulate/kernels/attention_faults.h"

#define attention_forward_64 faulty_forward_64
#define attention_forward_128 faulty_forward_128
#define attention_backward_q_64 faulty_backward_q_64
#define attention_backward_q_128 faulty_backward_q_128
#define attention_backward_k_64 faulty_backward_k_64
#define attention_backward_k_128 faulty_backward_k_128
#define cuda_attention_table faulty_attention_table
#include "kernels/cuda/attention.c"
