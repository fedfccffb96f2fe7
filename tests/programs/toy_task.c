/* toy_task CONFIG OUT N_LESSONS N_PAIRS: a toy preference task (tests/tools/toy_text.h) and a random toy backbone for it. The instructions are those of CONFIG.
 *
 *   OUT/backbone/{config.json, tokenizer.json}   a Llama of 4 layers, hidden 128; byte tokens and ChatML's three special ones
 *   OUT/teach.jsonl                              conversations that teach it to answer, judge, rate and summarise (tests/tools/toy_lesson.h)
 *   OUT/pairs.jsonl                              preference pairs; in one of five, subset "mislabelled", the labels are exchanged: the filter is to find them
 *   OUT/responses.jsonl                          for score: 200 responses to 100 further questions, the right one of each before the wrong one
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "tests/tools/toy_lesson.h"

enum { MISLABELLED_PERCENT = 20, N_SCORED = 100 };

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

/* ---- records --------------------------------------------------------------------------------------------------------------------------------- */

static FILE *open_file(const char *folder, const char *name)
{
    char path[2048];
    must(path_join(path, sizeof path, folder, name));
    FILE *file = fopen(path, "w");
    if (!file) {
        perror(path);
        exit(1);
    }
    return file;
}

static void close_file(FILE *file)
{
    if (fclose(file) != 0) {
        perror("toy_task");
        exit(1);
    }
}

static void write_line(FILE *file, json_t *line)
{
    json_dumpf(line, file, JSON_COMPACT);
    fputc('\n', file);
    json_decref(line);
}

static void write_lesson(FILE *file, const struct instruction_text *text, int number)
{
    struct toy_lesson l = toy_lesson(number);
    json_t *turns = json_pack("[{s:s, s:s}, {s:s, s:s}]", "role", "user", "content", l.question, "role", "assistant", "content", l.answer);
    if (!l.is_answer) {
        char *instruction;
        must(toy_lesson_instruction(&l, text, &instruction));
        json_array_append_new(turns, json_pack("{s:s, s:s}", "role", "user", "content", instruction));
        json_array_append_new(turns, json_pack("{s:s, s:s}", "role", "assistant", "content", l.target));
        free(instruction);
    }
    write_line(file, json_pack("{s:o}", "messages", turns));
}

/* A question with its right answer and a wrong one. */
static struct toy_draw draw_answers(enum toy_file file, int number, char question[TOY_TEXT], char right[TOY_TEXT], char wrong[TOY_TEXT])
{
    struct toy_draw d = toy_draw(file, number);
    struct toy_question q = toy_question(&d);
    struct toy_answer good = toy_answer(&d, &q, true), bad = toy_answer(&d, &q, false);
    toy_write_question(&q, question);
    toy_write_answer(&good, right);
    toy_write_answer(&bad, wrong);
    return d;
}

static void write_pair(FILE *file, int number)
{
    char question[TOY_TEXT], right[TOY_TEXT], wrong[TOY_TEXT], id[32];
    struct toy_draw d = draw_answers(TOY_PAIRS, number, question, right, wrong);
    bool mislabelled = toy_chance(&d, MISLABELLED_PERCENT);
    snprintf(id, sizeof id, "sort-%d", number);
    write_line(file, json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", id, "subset", mislabelled ? "mislabelled" : "right", "prompt", question, "chosen", mislabelled ? wrong : right, "rejected",
                               mislabelled ? right : wrong));
}

static void write_responses(FILE *file, int number)
{
    char question[TOY_TEXT], right[TOY_TEXT], wrong[TOY_TEXT];
    draw_answers(TOY_RESPONSES, number, question, right, wrong);
    write_line(file, json_pack("{s:s, s:s}", "prompt", question, "response", right));
    write_line(file, json_pack("{s:s, s:s}", "prompt", question, "response", wrong));
}

/* ---- the program ----------------------------------------------------------------------------------------------------------------------------- */

static void write_backbone(const char *folder)
{
    char path[2048];
    must(path_join(path, sizeof path, folder, "backbone"));
    must(dir_make(path));
    write_json(path, "config.json", config());
    write_json(path, "tokenizer.json", tokenizer());
}

static void write_lessons(const char *config_path, const char *folder, int n)
{
    struct instruction_text text[N_INSTRUCTIONS] = {0};
    struct config *options = calloc(1, sizeof *options);
    must(config_load(config_path, NULL, 0, options));
    for (int i = 0; i < N_INSTRUCTIONS; i++)
        must(instruction_open(options, (enum instruction)i, &text[i]));
    FILE *file = open_file(folder, "teach.jsonl");
    for (int i = 0; i < n; i++)
        write_lesson(file, text, i);
    close_file(file);
    for (int i = 0; i < N_INSTRUCTIONS; i++)
        instruction_free(&text[i]);
    free(options);
}

static void write_records(const char *folder, const char *name, int n, void (*write)(FILE *, int))
{
    FILE *file = open_file(folder, name);
    for (int i = 0; i < n; i++)
        write(file, i);
    close_file(file);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "toy_task CONFIG OUT N_LESSONS N_PAIRS\n");
        return 2;
    }
    write_backbone(argv[2]);
    write_lessons(argv[1], argv[2], atoi(argv[3]));
    write_records(argv[2], "pairs.jsonl", atoi(argv[4]), write_pair);
    write_records(argv[2], "responses.jsonl", N_SCORED, write_responses);
    return 0;
}
