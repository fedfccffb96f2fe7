/* score_line: the score that a judge ends with, read strictly (method.md, section 2, step 1).
 *
 * White space (text.h) at the very end of what the model wrote is no line. The last line is what stands behind the last LF before it, or everything; it must be
 *
 *   line     = label " " value | emph("Score: " grade) | emph("Score: " n) "/10"
 *   label    = "Score:" | emph("Score") ":" | emph("Score:")
 *   value    = grade | emph(grade) | emph(n) "/10"
 *   grade    = n | n "/10"
 *   n        = "1" | "2" | ... | "10"                in ASCII, without a leading zero or sign
 *   emph(x)  = "*" x "*" | "**" x "**" | "***" x "***"
 *
 * from its first byte to its last: no white space before it, one space in it, stars only in pairs around the whole, the label or the value. Anything else is unscored.
 */
#ifndef DATASET_SCORE_LINE_H
#define DATASET_SCORE_LINE_H

#include <stdbool.h>

#include "dataset/text.h"

/* What the line begins with, the number following, where a score is forced. */
#define SCORE_LINE_LABEL "Score: "
enum { SCORE_LEAST = 1, SCORE_MOST = 10 };

/* score: 0 where no line was found. n_text_bytes: of the critique, which ends before the line and the white space in front of it; all bytes where no line was found. */
struct score_line { bool found; int score; size_t n_text_bytes; };
struct score_line score_line_parse(const char *text, size_t n_bytes);

/* The critique of a parsed text, trimmed at both ends: borrowed from it. */
struct text score_line_critique(const char *text, struct score_line line);

#endif
