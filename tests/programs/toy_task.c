/* toy_task PROMPTS OUT N_CONVERSATIONS N_PAIRS: a toy preference task (tests/tools/toy_text.h), a random toy backbone for it, and what it is taught first.
 *
 *   OUT/backbone/{config.json, tokenizer.json}   a Llama of 4 layers, hidden 128; byte tokens and ChatML's three special ones
 *   OUT/teach.jsonl                              conversations: answer, judge, rate a critique, sum critiques up. The instructions are the files of PROMPTS
 *   OUT/pairs.jsonl                              preference pairs; in one of five the labels are exchanged (subset "mislabelled"), for the filter to find
 *   OUT/pairs-with-critiques.jsonl               pairs, all labelled rightly, with ready critiques
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "tests/tools/toy_text.h"

enum { MISLABELLED_PERCENT = 20, JUDGE_MISTAKES_PERCENT = 15, ANSWER_MISTAKES_PERCENT = 25, CANDIDATES = 4, READY_CRITIQUES = 3 };

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

/* ---- instructions ---------------------------------------------------------------------------------------------------------------------------- */

/* The program's own reading: line ends at the end are left off. */
static char *read_prompt(const char *folder, const char *name)
{
    char path[2048], *text;
    size_t n;
    must(path_join(path, sizeof path, folder, name));
    must(file_read(path, &text, &n));
    while (n > 0 && text[n - 1] == '\n')
        text[--n] = 0;
    return text;
}

static char *filled(const char *prompt, const char *placeholder, const char *value)
{
    const char *at = strstr(prompt, placeholder);
    char *out = NULL;
    if (!at || asprintf(&out, "%.*s%s%s", (int)(at - prompt), prompt, value, at + strlen(placeholder)) < 0) {
        fprintf(stderr, "toy_task: the instruction '%s' has no %s\n", prompt, placeholder);
        exit(1);
    }
    return out;
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

struct prompts { char *judge, *rank, *summarise, *critique; };

/* The turns of a conversation about an answer; instruction NULL: the answer itself is what is learnt. */
static void write_conversation(FILE *file, const char *question, const char *answer, const char *instruction, const char *target)
{
    json_t *turns = json_pack("[{s:s, s:s}, {s:s, s:s}]", "role", "user", "content", question, "role", "assistant", "content", answer);
    if (instruction) {
        json_array_append_new(turns, json_pack("{s:s, s:s}", "role", "user", "content", instruction));
        json_array_append_new(turns, json_pack("{s:s, s:s}", "role", "assistant", "content", target));
    }
    write_line(file, json_pack("{s:o}", "messages", turns));
}

static enum toy_claim draw_claim(struct toy_draw *d, int mistakes_percent)
{
    if (!toy_chance(d, mistakes_percent))
        return TOY_TRUE;
    return toy_chance(d, 70) ? TOY_OPPOSITE : TOY_MISPLACED;
}

static void teach_judging(FILE *file, struct toy_draw *d, const struct prompts *p, const char *question, const struct toy_answer *a)
{
    char answer[TOY_TEXT], target[TOY_TEXT];
    toy_write_answer(a, answer);
    toy_write_judgement(d, a, toy_chance(d, JUDGE_MISTAKES_PERCENT) ? TOY_OPPOSITE : TOY_TRUE, target);
    write_conversation(file, question, answer, p->judge, target);
}

static void teach_rating(FILE *file, struct toy_draw *d, const struct prompts *p, const char *question, const struct toy_answer *a)
{
    char answer[TOY_TEXT], critique[TOY_TEXT], target[TOY_TEXT];
    enum toy_claim claim = draw_claim(d, 50);
    toy_write_answer(a, answer);
    toy_write_critique(d, a, claim, critique);
    toy_write_rating(a, claim, target);
    char *instruction = filled(p->rank, "{critique}", critique);
    write_conversation(file, question, answer, instruction, target);
    free(instruction);
}

static void teach_summing(FILE *file, struct toy_draw *d, const struct prompts *p, const char *question, const struct toy_answer *a)
{
    char answer[TOY_TEXT], critique[CANDIDATES][TOY_TEXT], list[TOY_LIST], target[TOY_TEXT];
    int n = 2 + toy_below(d, CANDIDATES - 1);
    for (int i = 0; i < n; i++)
        toy_write_critique(d, a, draw_claim(d, JUDGE_MISTAKES_PERCENT), critique[i]);
    toy_write_answer(a, answer);
    toy_write_list(critique, n, list);
    toy_write_critique(d, a, TOY_TRUE, target);
    char *instruction = filled(p->summarise, "{critiques}", list);
    write_conversation(file, question, answer, instruction, target);
    free(instruction);
}

/* A bare verdict, as often wrong as the judge: what training on D_sub shall make better. */
static void teach_critique(FILE *file, struct toy_draw *d, const struct prompts *p, const char *question, const struct toy_answer *a)
{
    char answer[TOY_TEXT];
    toy_write_answer(a, answer);
    write_conversation(file, question, answer, p->critique, (a->exchanged < 0) == toy_chance(d, JUDGE_MISTAKES_PERCENT) ? "wrong" : "good");
}

static void teach(FILE *file, const struct prompts *p, int number)
{
    struct toy_draw d = toy_draw(TOY_TEACHING, number);
    struct toy_question q = toy_question(&d, true);
    struct toy_answer a = toy_answer(&d, &q, toy_chance(&d, 50));
    char question[TOY_TEXT], answer[TOY_TEXT];
    int kind = number % 20;
    toy_write_question(&q, question);
    if (kind < 6) {
        teach_judging(file, &d, p, question, &a);
    } else if (kind < 14) {
        teach_rating(file, &d, p, question, &a);
    } else if (kind < 16) {
        teach_summing(file, &d, p, question, &a);
    } else if (kind < 17) {
        teach_critique(file, &d, p, question, &a);
    } else {
        a = toy_answer(&d, &q, !toy_chance(&d, ANSWER_MISTAKES_PERCENT));
        toy_write_answer(&a, answer);
        write_conversation(file, question, answer, NULL, NULL);
    }
}

static void write_pair(FILE *file, int number)
{
    struct toy_draw d = toy_draw(TOY_PAIRS, number);
    struct toy_question q = toy_question(&d, false);
    bool mislabelled = toy_chance(&d, MISLABELLED_PERCENT);
    struct toy_answer chosen = toy_answer(&d, &q, !mislabelled), rejected = toy_answer(&d, &q, mislabelled);
    char question[TOY_TEXT], text[2][TOY_TEXT], id[32];
    toy_write_question(&q, question);
    toy_write_answer(&chosen, text[0]);
    toy_write_answer(&rejected, text[1]);
    snprintf(id, sizeof id, "sort-%d", number);
    write_line(file, json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", id, "subset", mislabelled ? "mislabelled" : "right", "prompt", question, "chosen", text[0], "rejected", text[1]));
}

static json_t *ready_response(struct toy_draw *d, const struct toy_answer *a)
{
    char text[TOY_TEXT];
    json_t *list = json_array();
    for (int i = 0; i < READY_CRITIQUES; i++) {
        toy_write_critique(d, a, TOY_TRUE, text);
        json_array_append_new(list, json_string(text));
    }
    toy_write_answer(a, text);
    return json_pack("{s:s, s:o}", "text", text, "critiques", list);
}

static void write_ready_pair(FILE *file, int number)
{
    struct toy_draw d = toy_draw(TOY_READY, number);
    struct toy_question q = toy_question(&d, false);
    struct toy_answer chosen = toy_answer(&d, &q, true), rejected = toy_answer(&d, &q, false);
    char question[TOY_TEXT];
    toy_write_question(&q, question);
    write_line(file, json_pack("{s:s, s:o, s:o}", "prompt", question, "chosen", ready_response(&d, &chosen), "rejected", ready_response(&d, &rejected)));
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

static void write_teaching(const char *prompts, const char *folder, int n)
{
    struct prompts p = {read_prompt(prompts, "judge.txt"), read_prompt(prompts, "rank.txt"), read_prompt(prompts, "summarise.txt"), read_prompt(prompts, "critique.txt")};
    FILE *file = open_file(folder, "teach.jsonl");
    for (int i = 0; i < n; i++)
        teach(file, &p, i);
    close_file(file);
    free(p.judge);
    free(p.rank);
    free(p.summarise);
    free(p.critique);
}

static void write_pairs(const char *folder, const char *name, int n, void (*write)(FILE *, int))
{
    FILE *file = open_file(folder, name);
    for (int i = 0; i < n; i++)
        write(file, i);
    close_file(file);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "toy_task PROMPTS OUT N_CONVERSATIONS N_PAIRS\n");
        return 2;
    }
    write_backbone(argv[2]);
    write_teaching(argv[1], argv[2], atoi(argv[3]));
    write_pairs(argv[2], "pairs.jsonl", atoi(argv[4]), write_pair);
    write_pairs(argv[2], "pairs-with-critiques.jsonl", atoi(argv[4]), write_ready_pair);
    return 0;
}
