/* dump_candidates: a set of candidates as JSON lines, with what the model wrote and how it ended. */
#include "base/status.h"
#include "dataset/candidates.h"
#include "launch/dump.h"

static int candidate_json(const struct encoder *encoder, const struct candidate *c, json_t *out)
{
    json_t *text;
    TRY(dump_text(encoder, c->text, &text));
    json_object_set_new(out, "text", text);
    dump_score(out, "judge_score", c->judge_score);
    json_object_set_new(out, "raw", json_stringn(c->raw, c->n_raw_bytes));
    json_object_set_new(out, "finish", json_string(c->finish == FINISH_LIMIT ? "limit" : "stop"));
    return OK;
}

static int side_json(const struct encoder *encoder, const struct candidate_record *r, int side, json_t *out)
{
    json_t *text, *list = json_array();
    json_object_set_new(out, "critiques", list);
    TRY(dump_text(encoder, r->response[side], &text));
    json_object_set_new(out, "text", text);
    for (int32_t i = 0; i < r->n_candidates[side]; i++) {
        json_t *one = json_object();
        json_array_append_new(list, one);
        TRY(candidate_json(encoder, &r->candidate[side][i], one));
    }
    return OK;
}

static int record_json(const struct encoder *encoder, const struct candidate_record *r, json_t *line)
{
    json_t *prompt;
    json_object_set_new(line, "id", json_string(r->id));
    json_object_set_new(line, "subset", json_string(r->subset));
    TRY(dump_prompt(encoder, r->prompt, false, &prompt));
    json_object_set_new(line, "prompt", prompt);
    for (int side = 0; side < 2; side++) {
        json_t *object = json_object();
        json_object_set_new(line, side ? "rejected" : "chosen", object);
        TRY(side_json(encoder, r, side, object));
    }
    return OK;
}

static int dump_all(struct candidates *set, const struct encoder *encoder)
{
    TRY(dump_check_tokenizer(encoder, &set->meta));
    for (int64_t i = 0; i < set->n_records; i++) {
        struct candidate_record r;
        TRY(candidates_read(set, i, &r));
        json_t *line = json_object();
        int status = record_json(encoder, &r, line);
        if (status != OK) {
            json_decref(line);
            return status;
        }
        TRY(dump_line(line));
    }
    return OK;
}

int dump_candidates(const char *folder, const struct encoder *encoder)
{
    struct candidates *set;
    TRY(candidates_open(folder, &set));
    int status = dump_all(set, encoder);
    candidates_close(&set);
    return status;
}
