/* tokenizer: Hugging Face's tokenizer.json: byte-level BPE (Llama 3, GPT-2, Qwen, SmolLM2) and SentencePiece-style BPE with byte fallback (Llama 2, Mistral).
 * What the file asks for and this does not do is refused by name. Encoding is thread-safe. Text is UTF-8. */
#ifndef DATASET_TOKENIZER_H
#define DATASET_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tokenizer;

/* A growable list of ids. Start from zeros; token_list_free. */
struct token_list { uint32_t *token; int32_t n, max; };
int token_list_add(struct token_list *list, uint32_t token);
void token_list_free(struct token_list *list);

enum tokenizer_flags {
    TOKENIZER_SPECIAL = 1,      /* added tokens in the text become their ids, as Hugging Face does; without it text never yields a special token */
    TOKENIZER_CONTINUE = 2,     /* the text goes on from other text: no space is put before it (SentencePiece) */
};

/* A folder with tokenizer.json (or tokenizer.json.gz), or such a file. */
int tokenizer_open(const char *path, struct tokenizer **out);
int tokenizer_open_memory(const char *json, size_t n_bytes, const char *where, struct tokenizer **out);
void tokenizer_close(struct tokenizer **tokenizer);

/* Appends the ids of text. FAILED for text that is not UTF-8, or that the vocabulary cannot express. */
int tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t n_bytes, int flags, struct token_list *out);
/* Malloc'd bytes with a 0 behind them. Special tokens are left out unless with_special. FAILED for an id outside the vocabulary. */
int tokenizer_decode(const struct tokenizer *tokenizer, const uint32_t *token, int32_t n, bool with_special, char **text, size_t *n_bytes);

/* Id of a token by its exact text, -1 when there is none. */
int64_t tokenizer_find(const struct tokenizer *tokenizer, const char *text);
/* The first added token in text: where, how long, its id; false when there is none. */
bool tokenizer_next_special(const struct tokenizer *tokenizer, const char *text, size_t n_bytes, size_t *at, size_t *length, uint32_t *id);
bool tokenizer_is_special(const struct tokenizer *tokenizer, uint32_t token);
/* One more than the highest id. */
int64_t tokenizer_size(const struct tokenizer *tokenizer);
/* XXH3-64 of the file's (unpacked) bytes. */
uint64_t tokenizer_hash(const struct tokenizer *tokenizer);

#endif
