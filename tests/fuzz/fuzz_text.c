/* fuzz_text: any bytes as what a judge wrote and as an instruction: a score is 1..10 and its critique ends without white space; a repaired text is UTF-8 and has the same
 * score line; what an instruction shows is its source with fewer bytes, or it is refused. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/lines.h"
#include "base/status.h"
#include "dataset/instruction.h"
#include "dataset/score_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static void must(bool condition)
{
    if (!condition)
        abort();
}

static void score(const char *text, size_t n_bytes)
{
    char *repaired;
    size_t n;
    struct score_line line = score_line_parse(text, n_bytes);
    struct text critique = score_line_critique(text, line);
    must(line.found ? line.score >= SCORE_LEAST && line.score <= SCORE_MOST && line.n_text_bytes < n_bytes : line.score == 0 && line.n_text_bytes == n_bytes);
    must(critique.n_bytes <= line.n_text_bytes && text_trim(critique).n_bytes == critique.n_bytes);
    must(text_repair(text, n_bytes, &repaired, &n) == OK && utf8_valid(repaired, n) && n >= n_bytes && strlen(repaired) == n);
    must(score_line_parse(repaired, n).score == line.score);
    free(repaired);
}

static void instruct(enum instruction which, const char *text, size_t n_bytes)
{
    struct instruction_text t;
    char *all;
    size_t n;
    trace_clear();
    if (instruction_parse(which, text, n_bytes, "input", &t) != OK)
        return;
    must(t.n_source <= n_bytes && t.n_before <= t.n_shown && t.n_shown <= t.n_source && strlen(t.shown) == t.n_shown);
    must(instruction_fill(&t, (struct text){text, n_bytes}, &all, &n) == OK && n == t.n_shown + n_bytes);
    free(all);
    instruction_free(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    score((const char *)bytes, n_bytes);
    for (enum instruction i = 0; i < N_INSTRUCTIONS; i++)
        instruct(i, (const char *)bytes, n_bytes);
    return 0;
}
