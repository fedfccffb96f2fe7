/* sample: host side of sample.cu. The arrays that are host memory go to the device as one piece of scratch. */
#include "kernels/cuda/sample.h"

#include "kernels/cuda/cuda.h"

static size_t up(size_t n_bytes) { return (n_bytes + 15) / 16 * 16; }

static int64_t n_allowed(const struct sample_args *a)
{
    int64_t n = 0;
    for (int64_t r = 0; r < a->rows; r++) {
        int64_t end = (int64_t)a->rule[r].first_allowed + a->rule[r].n_allowed;
        n = a->rule[r].n_allowed > 0 && end > n ? end : n;
    }
    return n;
}

static int cuda_sample(struct stream *stream, const struct sample_args *a)
{
    if (a->rows == 0)
        return OK;
    size_t first_bytes = (size_t)(a->parts + 1) * sizeof *a->part_first, rule_bytes = (size_t)a->rows * sizeof *a->rule, allowed_bytes = (size_t)n_allowed(a) * sizeof *a->allowed;
    void *memory = NULL;
    TRY(cuda_scratch(stream, up(first_bytes) + up(rule_bytes) + up(allowed_bytes), &memory));
    char *first = memory, *rule = first + up(first_bytes), *allowed = rule + up(rule_bytes);
    TRY(cuda_copy(stream, first, a->part_first, first_bytes, HOST_TO_DEVICE));
    TRY(cuda_copy(stream, rule, a->rule, rule_bytes, HOST_TO_DEVICE));
    TRY(cuda_copy(stream, allowed, a->allowed, allowed_bytes, HOST_TO_DEVICE));
    struct sample_args args = *a;
    args.part_first = memory;
    args.rule = (const void *)rule;
    args.allowed = (const void *)allowed;
    return gpu_launch(stream, &sample_row, (struct gpu_grid){.x = (unsigned)a->rows}, SAMPLE_THREADS, 0, &args);
}

void cuda_sample_table(struct kernels *table) { table->sample = cuda_sample; }
