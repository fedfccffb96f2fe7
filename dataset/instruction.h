/* instruction: what the model is asked about a response: six texts, built in from configs/prompts, each replaced by a file that its config key names. critique, judge, summarise and
 * rank are those of method.md, section 2; verdict and correct ask what CriticBench wants to know (section 6).
 *
 *   text        = { character | "{{" | "}}" | placeholder }        {{ and }} stand for one brace
 *   placeholder = "{critiques}"     of summarise: all critiques, "1. ..." and so on, parted by an empty line
 *               | "{critique}"      of rank: the critique to grade; of correct: the critique to heed
 *
 * summarise, rank and correct have their placeholder exactly once, the others have none. Line ends at a file's end are left off. Nothing is executed, and what is put in a
 * placeholder's stead is not read for placeholders again.
 */
#ifndef DATASET_INSTRUCTION_H
#define DATASET_INSTRUCTION_H

#include "base/config.h"
#include "dataset/text.h"

enum instruction { INSTRUCTION_CRITIQUE, INSTRUCTION_JUDGE, INSTRUCTION_SUMMARISE, INSTRUCTION_RANK, INSTRUCTION_VERDICT, INSTRUCTION_CORRECT, N_INSTRUCTIONS };

/* Start from zeros; instruction_free. */
struct instruction_text {
    char *source;               /* as it stands in the file: what is hashed */
    char *shown;                /* braces undone, the placeholder left out */
    size_t n_source, n_before, n_shown;         /* bytes; before: of shown, in front of the placeholder */
};

/* The word that names it in config keys and sentences. */
const char *instruction_name(enum instruction which);
/* Does it take a content? */
bool instruction_has_content(enum instruction which);

/* FAILED, naming the file and the placeholder, for a text outside the grammar, an empty one, one that is not UTF-8. */
int instruction_open(const struct config *config, enum instruction which, struct instruction_text *out);
int instruction_parse(enum instruction which, const char *text, size_t n_bytes, const char *where, struct instruction_text *out);
void instruction_free(struct instruction_text *instruction);

/* The text with the content in the placeholder's stead, malloc'd, a 0 behind it. */
int instruction_fill(const struct instruction_text *instruction, struct text content, char **out, size_t *n_bytes);
/* "1. first\n\n2. second": what {critiques} stands for. Malloc'd, a 0 behind it. */
int instruction_list(const struct text *critique, int n, char **out, size_t *n_bytes);

#endif
