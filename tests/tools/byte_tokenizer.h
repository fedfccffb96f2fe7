/* byte_tokenizer: a tokenizer.json of 256 byte tokens and ChatML's three special ones, for tests that need text without a model. */
#ifndef TESTS_TOOLS_BYTE_TOKENIZER_H
#define TESTS_TOOLS_BYTE_TOKENIZER_H

enum { BYTE_END_OF_TEXT = 256, BYTE_TURN_START, BYTE_TURN_END, BYTE_VOCABULARY };

/* FOLDER/tokenizer.json. The id of a byte is the byte. */
void byte_tokenizer_write(const char *folder);
/* With more tokens, up to n_tokens, that no text is encoded to, but that a model may write. */
void byte_tokenizer_write_wide(const char *folder, int n_tokens);

#endif
