/* import_candidates: see import_candidates.h. */
#include "dataset/import_candidates.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/status.h"
#include "dataset/answers.h"
#include "dataset/draft.h"

enum { MOST_NAMED = 10 };

struct importing {
    const struct config *config;
    struct encoder *encoder;
    struct answers *answers;    /* NULL: critiques stand in the lines */
    struct dsub_writer *writer;
    struct draft draft;
    struct import_candidates_counts *counts;
};

static int add(struct importing *m, int side, const struct written *w)
{
    CHECK(candidate_is_score(w->judge_score), "a judge_score is %g, not between 1 and 10", (double)w->judge_score);
    m->counts->candidates++;
    m->counts->scored += !isnan(w->judge_score);
    m->counts->cut += w->finish == FINISH_LIMIT;
    m->counts->empty += w->text.n_bytes == 0;
    return draft_add(&m->draft, side, w);
}

static int add_critique(struct importing *m, int side, const struct pair_critique *c)
{
    struct text text = {c->text, c->n_bytes};
    struct written w = written_parse(text, c->cut ? FINISH_LIMIT : FINISH_STOP, m->config->generate.keep_score_text);
    if (c->raw) {
        w.raw = (struct text){c->raw, c->n_raw_bytes};
        w.text = text_trim(text);
    }
    if (c->raw || !isnan(c->judge_score))
        w.judge_score = c->judge_score;
    return add(m, side, &w);
}

static int add_answers(struct importing *m, int64_t record, int side)
{
    struct answer_list list;
    TRY(answers_find(m->answers, record, side, &list));
    if (list.n_calls == 0 && m->counts->unanswered++ < MOST_NAMED)
        log_warn("there is no answer to %lld-%d-0", (long long)record, side);
    m->counts->failed += list.n_failed;
    for (int i = 0; i < list.n; i++) {
        struct written w = written_parse(list.answer[i].text, list.answer[i].cut ? FINISH_LIMIT : FINISH_STOP, m->config->generate.keep_score_text);
        TRY(add(m, side, &w));
    }
    return OK;
}

static int add_side(struct importing *m, const struct pair_record *r, int side)
{
    if (m->answers)
        return add_answers(m, r->number, side);
    for (int i = 0; i < r->response[side].n_critiques; i++)
        TRY(add_critique(m, side, &r->response[side].critique[i]));
    return OK;
}

static int import_record(void *owner, const struct pair_record *r)
{
    struct importing *m = owner;
    m->counts->records++;
    if (r->diverges) {
        m->counts->diverging++;
        return OK;
    }
    TRY(draft_begin(&m->draft, r));
    TRY(add_side(m, r, 0));
    TRY(add_side(m, r, 1));
    m->counts->kept++;
    return candidates_writer_put(m->writer, draft_finish(&m->draft));
}

static int import_into(struct importing *m, const char *path, const char *folder)
{
    struct shard_meta meta;
    const char *judge = m->answers ? m->encoder->instruction[INSTRUCTION_JUDGE].source : NULL;
    TRY(candidates_meta(m->encoder, judge, m->config->backbone.path, &meta));
    TRY(candidates_writer_create(folder, &meta, m->config->data.pairs_per_shard, &m->writer));
    TRY(pairs_each(path, import_record, m));
    CHECK(m->counts->records > 0, "%s holds no record", path);
    if (m->answers)
        TRY(answers_check_records(m->answers, m->counts->records, path));
    CHECK(m->counts->candidates > 0, "no critique is there for the %lld records of %s: the set would be empty", (long long)m->counts->records, path);
    return dsub_writer_finish(&m->writer);
}

int import_candidates(const struct config *config, const char *path, const char *answers, const char *folder, struct import_candidates_counts *counts)
{
    int status = OK;
    struct importing m = {.config = config, .counts = counts};
    *counts = (struct import_candidates_counts){0};
    TRY_DONE(encoder_open(config, &m.encoder));
    m.draft.encoder = m.encoder;
    if (answers)
        TRY_DONE(answers_open(answers, &m.answers));
    TRY_DONE(import_into(&m, path, folder));
done:
    dsub_writer_abandon(&m.writer);
    draft_close(&m.draft);
    answers_close(&m.answers);
    encoder_close(&m.encoder);
    return status;
}
