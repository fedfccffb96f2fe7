/* part_run: the parts of a set (dataset/parts.h), made by the data ranks at their own pace. A command says how a record is begun and how a finished part is written; what
 * it generates runs through the session's generator, records of several parts at once. A killed job loses the parts it had not finished, and the same command goes on. */
#ifndef LAUNCH_PART_RUN_H
#define LAUNCH_PART_RUN_H

#include "dataset/parts.h"
#include "launch/session.h"

struct part_run;
struct part_job {
    const char *name;                                   /* of the command, for progress lines */
    struct session *session;
    struct parts parts;
    /* Begins a record, rising numbers. *item is what will be written of it: set before there is anything to free in it, and freed with its part, done or not. When the record is done,
     * perhaps at once, part_run_ready must be told. */
    int (*begin)(void *owner, struct part_run *run, int64_t record, void **item);
    /* Writes a part of items [n] in order of records, by parts_finish_part, with its summary; `writes` false: another rank of the tensor group does. The items stay the job's. */
    int (*write)(void *owner, int32_t part, void *const *item, int64_t n, bool writes);
    void (*free_item)(void *item);
    void *owner;
};

/* Is the set's list there? World rank 0 looks, for a file may be seen by one host and not yet by another; equal on all ranks. Collective over the world. */
int part_run_is_complete(const struct session *session, const struct parts *parts, bool *complete);
/* All parts that are missing. STOPPED on all ranks after a signal. Collective over the world. */
int part_run(const struct part_job *job);
/* The record's item is complete. */
int part_run_ready(struct part_run *run, int64_t record);

/* Numbers of all parts' summaries, added up; lists element by element. New reference. One process. */
int part_run_totals(const struct parts *parts, json_t **out);

#endif
