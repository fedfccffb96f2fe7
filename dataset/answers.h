/* answers: what an outside engine answered to `dump --what prompts`, in OpenAI's batch format, one JSON line a call, in any order:
 *
 *   {"custom_id": "<record>-<side>-<call>", "response": {"status_code": 200, "body": {"choices": [{"message": {"content"}, "finish_reason": "stop" | "length"}]}}, "error": null}
 *
 * record: number of the pair in its file, from 0; side: 0 chosen, 1 rejected; call: from 0. dump writes one call of generate.candidates choices for a response; several calls of one
 * choice each are understood alike: the candidates of a response are those of its calls, in order, and of each call's choices, in order. A call that ended in an error, and a choice
 * without text or with another finish, is a failure that is counted. */
#ifndef DATASET_ANSWERS_H
#define DATASET_ANSWERS_H

#include "dataset/text.h"

#include <stdbool.h>
#include <stdint.h>

struct answers;

/* The file stays mapped, and is read twice: it must be plain. FAILED, with line number, for a line that is no JSON object, an id that is malformed, and one that was there before. */
int answers_open(const char *path, struct answers **out);
void answers_close(struct answers **answers);

struct answer { struct text text; bool cut; };
/* All candidates of a response; borrowed until the next call. n_calls: its lines, 0: there is no answer to it. FAILED, with line number, for a call that says it went well and has no
 * choices. */
struct answer_list { const struct answer *answer; int n, n_calls, n_failed; };
int answers_find(struct answers *answers, int64_t record, int side, struct answer_list *out);
/* FAILED, with line number, when an id names a record that is not one of n_records. */
int answers_check_records(const struct answers *answers, int64_t n_records, const char *pairs);

#endif
