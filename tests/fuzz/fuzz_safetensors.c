/* fuzz_safetensors: any bytes as a safetensors file; every element of every tensor that is accepted is read. */
#include <stddef.h>
#include <stdint.h>

#include "base/safetensors.h"
#include "base/status.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct safetensors *st;
    trace_clear();
    if (safetensors_open_memory(bytes, n_bytes, "input", &st) != OK)
        return 0;
    for (int i = 0; i < safetensors_count(st); i++) {
        const struct st_tensor *t = safetensors_at(st, i);
        if (safetensors_find(st, t->name) != t)
            __builtin_trap();
        for (int64_t e = 0; e < t->n_elems; e++) {
            float value;
            st_read_f32(t, e, 1, &value);
        }
    }
    safetensors_close(&st);
    return 0;
}
