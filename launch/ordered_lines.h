/* ordered_lines: a file of one output line for each input line, written in order as lines become ready, which a killed job goes on with.
 *
 *   OUT                 lines; a line is there whole, or cut off by a kill and then removed
 *   OUT.job.json        what it is made of (input, model, options), from the start until the file is complete: OUT without it is complete and is never touched again
 */
#ifndef LAUNCH_ORDERED_LINES_H
#define LAUNCH_ORDERED_LINES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"

struct ordered_lines;

/* What the lines are made of. fingerprint: of the model's contents, by which it is known; model, its path, is for people. */
struct ordered_job { const char *input, *model; uint64_t fingerprint; const struct config *config; };

/* The number of lines that are there already is *n_done: the same input, model and options of kind GENERATES are meant, else USAGE, naming what differs. Where OUT.job.json has no
 * fingerprint, as earlier ones, the model's path is compared. FAILED when OUT is a complete file. */
int ordered_lines_open(const char *path, const struct ordered_job *job, int64_t *n_done, struct ordered_lines **out);
/* Error records, {"line":N,"error":SENTENCE}, among the lines that were there already. */
int64_t ordered_lines_errors(const struct ordered_lines *lines);
/* Line `index` (from 0) without its line end; takes the malloc'd text. Written, and flushed, when all before it are. */
int ordered_lines_put(struct ordered_lines *lines, int64_t index, char *text);
/* All n lines must be there. Frees it; without finishing, what is there is kept for the next start. */
int ordered_lines_finish(struct ordered_lines **lines, int64_t n);
void ordered_lines_close(struct ordered_lines **lines);

#endif
