/* fuzz_tokenizer: the bytes before the first 0 byte are a tokenizer.json, those behind it a text for it; without a 0 byte a fixed text. What is encoded must decode. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "dataset/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static void encode(const struct tokenizer *t, const char *text, size_t n_bytes, int flags)
{
    struct token_list list = {0};
    char *back;
    size_t n;
    trace_clear();
    if (tokenizer_encode(t, text, n_bytes, flags, &list) == OK) {
        for (int32_t i = 0; i < list.n; i++)
            if (list.token[i] >= tokenizer_size(t))
                __builtin_trap();
        if (tokenizer_decode(t, list.token, list.n, true, &back, &n) != OK)
            __builtin_trap();
        free(back);
    }
    token_list_free(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    static const char fixed[] = "It's 2024, <s>na\xc3\xafve\xf0\x9f\x98\x80 \n x";
    struct tokenizer *t;
    const uint8_t *cut = memchr(bytes, 0, n_bytes);
    size_t n = cut ? (size_t)(cut - bytes) : n_bytes;
    trace_clear();
    if (tokenizer_open_memory((const char *)bytes, n, "input", &t) != OK)
        return 0;
    for (int flags = 0; flags < 4; flags++) {
        encode(t, fixed, sizeof fixed - 1, flags);
        if (cut)
            encode(t, (const char *)cut + 1, n_bytes - n - 1, flags);
    }
    tokenizer_close(&t);
    return 0;
}
