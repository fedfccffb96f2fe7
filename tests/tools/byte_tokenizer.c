/* byte_tokenizer: see byte_tokenizer.h. */
#include "tests/tools/byte_tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"

static int is_plain(int byte) { return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174; }

/* GPT-2 writes a byte as itself where it is a visible Latin-1 character, and the others as characters from 256 on. */
static void byte_text(int byte, char out[4])
{
    int code = byte;
    if (!is_plain(byte)) {
        code = 256;
        for (int b = 0; b < byte; b++)
            code += !is_plain(b);
    }
    if (code < 128)
        snprintf(out, 4, "%c", code);
    else
        snprintf(out, 4, "%c%c", 0xc0 | code >> 6, 0x80 | (code & 0x3f));
}

void byte_tokenizer_write(const char *folder) { byte_tokenizer_write_wide(folder, BYTE_VOCABULARY); }

void byte_tokenizer_write_wide(const char *folder, int n_tokens)
{
    static const char *const special[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
    json_t *vocab = json_object(), *added = json_array();
    char text[4], word[16], path[2048];
    for (int b = 0; b < 256; b++) {
        byte_text(b, text);
        json_object_set_new(vocab, text, json_integer(b));
    }
    for (int i = BYTE_VOCABULARY; i < n_tokens; i++) {
        snprintf(word, sizeof word, "t%d", i);
        json_object_set_new(vocab, word, json_integer(i));
    }
    for (int i = 0; i < 3; i++)
        json_array_append_new(added, json_pack("{s:i, s:s, s:b}", "id", 256 + i, "content", special[i], "special", 1));
    json_t *root = json_pack("{s:s, s:o, s:{s:s, s:b}, s:{s:s}, s:{s:s, s:o, s:[]}}", "version", "1.0", "added_tokens", added, "pre_tokenizer", "type", "ByteLevel", "add_prefix_space", 0,
                             "decoder", "type", "ByteLevel", "model", "type", "BPE", "vocab", vocab, "merges");
    char *json = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    if (!json || path_join(path, sizeof path, folder, "tokenizer.json") != OK || file_write_atomic(path, json, strlen(json)) != OK) {
        fprintf(stderr, "cannot write a tokenizer into %s: %s\n", folder, trace_sentence());
        abort();
    }
    free(json);
}
