/* toy_task OUT N_PAIRS: a toy preference task and a random toy backbone for it.
 *
 *   OUT/backbone/{config.json, tokenizer.json}   a Llama of 4 layers, hidden 128; byte tokens and ChatML's three special ones
 *   OUT/pairs.jsonl                              "sort 5 3 9 1": the chosen answer is in order, the rejected one has two neighbours swapped; critiques say so
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/philox.h"
#include "base/status.h"

enum { DIGITS = 5, CRITIQUES = 3 };

static void must(int status)
{
    if (status == OK)
        return;
    fprintf(stderr, "toy_task: %s\n", trace_sentence());
    exit(1);
}

static void write_json(const char *folder, const char *name, json_t *value)
{
    char path[2048], *text = json_dumps(value, JSON_INDENT(1));
    must(path_join(path, sizeof path, folder, name));
    must(file_write_atomic(path, text, strlen(text)));
    free(text);
    json_decref(value);
}

/* GPT-2's character of a byte (see dataset/tokenizer_bpe.c), as UTF-8. */
static void byte_character(int byte, char out[4])
{
    int before = 0;
    for (int b = 0; b < byte; b++)
        before += !((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174));
    int plain = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    int code = plain ? byte : 256 + before;
    snprintf(out, 4, code < 128 ? "%c" : "%c%c", code < 128 ? code : 0xc0 | code >> 6, 0x80 | (code & 0x3f));
}

static json_t *tokenizer(void)
{
    static const char *const special[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
    json_t *vocab = json_object(), *added = json_array();
    char text[4];
    for (int b = 0; b < 256; b++) {
        byte_character(b, text);
        json_object_set_new(vocab, text, json_integer(b));
    }
    for (int i = 0; i < 3; i++) {
        json_object_set_new(vocab, special[i], json_integer(256 + i));
        json_array_append_new(added, json_pack("{s:i, s:s, s:b, s:b, s:b, s:b, s:b}", "id", 256 + i, "content", special[i], "single_word", 0, "lstrip", 0, "rstrip", 0, "normalized", 0, "special", 1));
    }
    return json_pack("{s:s, s:n, s:n, s:o, s:n, s:{s:s, s:b, s:b, s:b}, s:n, s:{s:s, s:b, s:b, s:b}, s:{s:s, s:o, s:[]}}", "version", "1.0", "truncation", "padding", "added_tokens", added, "normalizer",
                     "pre_tokenizer", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1, "use_regex", 1, "post_processor", "decoder", "type", "ByteLevel", "add_prefix_space", 1,
                     "trim_offsets", 1, "use_regex", 1, "model", "type", "BPE", "vocab", vocab, "merges");
}

static json_t *config(void)
{
    return json_pack("{s:[s], s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:b, s:i, s:i}", "architectures", "LlamaForCausalLM", "model_type", "llama", "hidden_act", "silu",
                     "hidden_size", 128, "intermediate_size", 256, "num_hidden_layers", 4, "num_attention_heads", 4, "num_key_value_heads", 2, "head_dim", 32, "vocab_size", 259,
                     "max_position_embeddings", 512, "rms_norm_eps", 1e-5, "rope_theta", 10000.0, "tie_word_embeddings", 1, "bos_token_id", 257, "eos_token_id", 258);
}

struct draw { struct philox random; uint32_t n; };
static int below(struct draw *d, int n) { return (int)philox_below(&d->random, d->n++, (uint64_t)n); }

static void join(const int *digit, char *out)
{
    for (int i = 0; i < DIGITS; i++)
        out += snprintf(out, 3, i ? " %d" : "%d", digit[i]);
}

/* Different digits, in order, and in a random order. */
static void draw_digits(struct draw *d, int sorted[DIGITS], int shuffled[DIGITS])
{
    int pool[10], n = 0;
    for (int i = 0; i < 10; i++)
        pool[i] = i;
    for (int i = 0; i < DIGITS; i++) {
        int j = i + below(d, 10 - i), t = pool[i];
        pool[i] = pool[j];
        pool[j] = t;
        shuffled[i] = pool[i];
    }
    for (int v = 0; v < 10; v++)
        for (int i = 0; i < DIGITS; i++)
            if (shuffled[i] == v)
                sorted[n++] = v;
}

static json_t *critiques(struct draw *d, const int *answer, int swapped)
{
    static const char *const good[] = {"every digit is in order: good", "no digit is out of place: good", "it rises all the way: good", "the order is right: good"};
    static const char *const bad[] = {" stands before ", " is put ahead of ", " is followed by ", " should come after "};
    json_t *list = json_array();
    int first = below(d, 4);
    for (int i = 0; i < CRITIQUES; i++) {
        char text[96];
        int kind = (first + i) % 4;
        if (swapped < 0)
            snprintf(text, sizeof text, "%s", good[kind]);
        else
            snprintf(text, sizeof text, "%d%s%d: wrong", answer[swapped], bad[kind], answer[swapped + 1]);
        json_array_append_new(list, json_pack("{s:s, s:f}", "text", text, "judge_score", swapped < 0 ? 9.0 : 2.0));
    }
    return list;
}

static void write_pair(FILE *file, int number)
{
    struct draw d = {philox_make(1, PHILOX_SAMPLING, 0, (uint64_t)number), 0};
    int sorted[DIGITS], shuffled[DIGITS], wrong[DIGITS];
    char question[32], right_text[32], wrong_text[32], prompt[64], id[32];
    draw_digits(&d, sorted, shuffled);
    memcpy(wrong, sorted, sizeof wrong);
    int at = below(&d, DIGITS - 1);
    wrong[at] = sorted[at + 1];
    wrong[at + 1] = sorted[at];
    join(shuffled, question);
    join(sorted, right_text);
    join(wrong, wrong_text);
    snprintf(prompt, sizeof prompt, "sort %s", question);
    snprintf(id, sizeof id, "sort-%d", number);
    json_t *line = json_pack("{s:s, s:s, s:s, s:{s:s, s:o}, s:{s:s, s:o}}", "id", id, "subset", "sort", "prompt", prompt, "chosen", "text", right_text, "critiques",
                             critiques(&d, sorted, -1), "rejected", "text", wrong_text, "critiques", critiques(&d, wrong, at));
    json_dumpf(line, file, JSON_COMPACT);
    fputc('\n', file);
    json_decref(line);
}

int main(int argc, char **argv)
{
    char path[2048];
    if (argc != 3) {
        fprintf(stderr, "toy_task OUT N_PAIRS\n");
        return 2;
    }
    must(path_join(path, sizeof path, argv[1], "backbone"));
    must(dir_make(path));
    write_json(path, "config.json", config());
    write_json(path, "tokenizer.json", tokenizer());
    must(path_join(path, sizeof path, argv[1], "pairs.jsonl"));
    FILE *file = fopen(path, "w");
    if (!file) {
        perror(path);
        return 1;
    }
    for (int i = 0; i < atoi(argv[2]); i++)
        write_pair(file, i);
    return fclose(file) == 0 ? 0 : 1;
}
