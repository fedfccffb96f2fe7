/* line_run: JSON lines in, one line out for each, in order (ordered_lines.h), made by the data ranks in turn: line i by data rank i mod D. A bad line gets an error record,
 * {"line": number from 1, "error": sentence}, and the job goes on. A killed job goes on by the same command, on any number of ranks.
 *
 *   line_run_open()      the output's lines that are there already are counted
 *   line_run()           the others, in blocks: rank 0 writes its own lines as they become ready, those of other data ranks at the end of a block
 *   line_run_finish()    the output is complete
 */
#ifndef LAUNCH_LINE_RUN_H
#define LAUNCH_LINE_RUN_H

#include <jansson.h>

#include "launch/session.h"

struct line_run;
struct line_job {
    const char *name, *unit;            /* of the command and of what a line is, for progress lines */
    const char *model, *input, *output;
    struct session *session;
    int64_t lines_of_block;             /* of a rank, where there are several data ranks */
    /* Begins a line (index from 0), a JSON object, which is the owner's now, also after a failure. When it is done, perhaps at once, line_run_put must be called. After FAILED the
     * trace is the line's error record, unless it is line_run_put that failed; another status ends the job. `where` names the line in sentences. */
    int (*begin)(void *owner, int64_t index, json_t *line, const char *where);
    void *owner;
};

/* The job must outlive the run. Collective over the world, as the other three; close it also after a failure. */
int line_run_open(const struct line_job *job, struct line_run **out);
/* STOPPED on all ranks after a signal. */
int line_run(struct line_run *run);
/* *n_errors: error records in the output, those of earlier starts included. */
int line_run_finish(struct line_run *run, int64_t *n_errors);
void line_run_close(struct line_run **run);

/* A line is ready; takes it. */
int line_run_put(struct line_run *run, int64_t index, json_t *line);
/* Instead of a line: the trace becomes its error record, and is no failure of the job. */
int line_run_put_error(struct line_run *run, int64_t index);

#endif
