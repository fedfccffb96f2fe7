/* pairs: records of preferences from JSON lines, plain or gzip, in every accepted form:
 *   {"prompt": P, "chosen": R, "rejected": R}          P a string or a list of {"role", "content"}; R a string, a message list, or {"text", "critiques": [...]}
 *   without "prompt": message lists, whose common beginning is the prompt; or transcripts marked "\n\nHuman:" and "\n\nAssistant:" (HH)
 *   {"messages": [...]}                                 a conversation; the last assistant message is what is learnt
 * "id" and "subset" are optional. A critique is a string or {"text", "judge_score", "quality", "raw", "finish": "stop" | "limit"}: raw is what a model wrote, of which text was made, and
 * finish says why it ended (candidates.h). */
#ifndef DATASET_PAIRS_H
#define DATASET_PAIRS_H

#include "dataset/encode.h"

struct pair_critique {
    const char *text, *raw;     /* raw NULL: not given */
    size_t n_bytes, n_raw_bytes;
    float judge_score, quality; /* NAN: none */
    bool cut;                   /* finish is "limit" */
};

struct pair_record {
    int64_t number;             /* of the record in the file, from 0 */
    const char *where;          /* file and line, for sentences */
    const char *id, *subset;    /* id: the number where there is none; a whole number is accepted */
    int n_messages;
    struct message *message;    /* the prompt */
    bool conversation;          /* response[0] alone */
    bool diverges;              /* chosen and rejected differ in more than their last message, or hold messages that the prompt does not end with: to be left out */
    struct { const char *text; size_t n_bytes; int n_critiques; struct pair_critique *critique; } response[2];
};

struct pairs;
int pairs_open(const char *path, struct pairs **out);
/* *record is NULL at the end. A malformed record is FAILED with file and line number. */
int pairs_next(struct pairs *pairs, const struct pair_record **record);
void pairs_close(struct pairs **pairs);
/* take gets every record of a file, in order, until it fails: then its sentence gets the record's place in front. */
int pairs_each(const char *path, int (*take)(void *owner, const struct pair_record *record), void *owner);

#endif
