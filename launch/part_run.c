/* part_run: see part_run.h. */
#include "launch/part_run.h"

#include <stdlib.h>

#include "comm/stop.h"
#include "launch/pace.h"

/* A part at work. */
struct open_part { struct open_part *next; int32_t part; int64_t first, n, n_ready; void **item; };

struct part_run {
    const struct part_job *job;
    struct pace pace;
    struct open_part *open;
    uint8_t *done;              /* [n_parts] when it began */
    int32_t *mine;              /* parts of this data rank */
};

/* ---- parts ----------------------------------------------------------------------------------------------------------------------------------- */

static void close_part(struct part_run *r, struct open_part **at)
{
    struct open_part *p = *at;
    *at = p->next;
    for (int64_t i = 0; i < p->n; i++)
        if (p->item[i])
            r->job->free_item(p->item[i]);
    free(p->item);
    free(p);
}

static int open_part(struct part_run *r, int32_t part, struct open_part **out)
{
    struct parts_range range = parts_range(&r->job->parts, part);
    struct open_part *p = calloc(1, sizeof *p);
    CHECK(p, "out of memory for a part");
    *p = (struct open_part){.next = r->open, .part = part, .first = range.first, .n = range.end - range.first};
    r->open = p;
    p->item = calloc((size_t)p->n, sizeof *p->item);
    CHECK(p->item, "out of memory for a part of %lld records", (long long)p->n);
    *out = p;
    return OK;
}

int part_run_ready(struct part_run *r, int64_t record)
{
    struct open_part **at = &r->open;
    while (record < (*at)->first || record >= (*at)->first + (*at)->n)
        at = &(*at)->next;
    struct open_part *p = *at;
    r->pace.n_ready++;
    if (++p->n_ready < p->n)
        return OK;
    int status = r->job->write(r->job->owner, p->part, p->item, p->n, r->job->session->mesh->tensor->rank == 0);
    for (at = &r->open; *at != p; at = &(*at)->next) {}
    close_part(r, at);
    return status;
}

static int begin_part(struct part_run *r, int32_t part)
{
    struct open_part *p;
    TRY(open_part(r, part, &p));
    void **item = p->item;
    int64_t first = p->first, end = p->first + p->n;        /* the part is closed with its last record */
    for (int64_t record = first; record < end && !r->pace.stop; record++) {
        TRY(pace_until(&r->pace, generator_wants));
        if (!r->pace.stop)
            TRY(r->job->begin(r->job->owner, r, record, &item[record - first]));
    }
    return OK;
}

static int run_mine(struct part_run *r)
{
    const struct parts *parts = &r->job->parts;
    const struct comm *data = r->job->session->mesh->data;
    int32_t n = parts_deal(parts, r->done, data->rank, data->size, r->mine);
    for (int32_t i = 0; i < n; i++)
        r->pace.n_mine += parts_range(parts, r->mine[i]).end - parts_range(parts, r->mine[i]).first;
    for (int32_t i = 0; i < n && !r->pace.stop; i++) {
        TRY(stop_requested(r->job->session->mesh->tensor, &r->pace.stop));      /* a part may need no pass */
        if (!r->pace.stop)
            TRY(begin_part(r, r->mine[i]));
    }
    return pace_until(&r->pace, generator_is_idle);
}

/* Rank 0 looks which parts are done; all ranks deal out the rest alike. */
static int share_done(struct part_run *r)
{
    struct comm *world = r->job->session->world;
    if (world->rank == 0)
        parts_done(&r->job->parts, r->done);
    return broadcast(world, r->done, r->job->parts.n_parts, COMM_U8, 0, NULL);
}

int part_run_is_complete(const struct session *session, const struct parts *parts, bool *complete)
{
    uint8_t is = session->world->rank == 0 && parts_is_complete(parts);
    TRY(broadcast(session->world, &is, 1, COMM_U8, 0, NULL));
    *complete = is;
    return OK;
}

int part_run(const struct part_job *job)
{
    struct part_run r = {.job = job};
    r.done = calloc((size_t)job->parts.n_parts + 1, 1);
    r.mine = calloc((size_t)job->parts.n_parts + 1, sizeof *r.mine);
    pace_begin(&r.pace, job->name, "records", job->session);
    int status = r.done && r.mine ? share_done(&r) : FAIL("out of memory for %d parts", job->parts.n_parts);
    if (status == OK)
        status = run_mine(&r);
    while (r.open)
        close_part(&r, &r.open);
    free(r.done);
    free(r.mine);
    return status == OK ? pace_meet(&r.pace) : status;
}

/* ---- totals ---------------------------------------------------------------------------------------------------------------------------------- */

static json_t *sum_of(json_t *a, json_t *b);

static json_t *sum_of_lists(json_t *a, json_t *b)
{
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(b); i++)
        json_array_append_new(list, sum_of(json_array_get(a, i), json_array_get(b, i)));
    return list;
}

static json_t *sum_of_objects(json_t *a, json_t *b)
{
    json_t *object = json_deep_copy(a), *value;
    const char *key;
    object = object ? object : json_object();
    json_object_foreach(b, key, value)
        json_object_set_new(object, key, sum_of(json_object_get(a, key), value));
    return object;
}

/* a may be NULL: nothing yet. */
static json_t *sum_of(json_t *a, json_t *b)
{
    if (json_is_object(b))
        return sum_of_objects(a, b);
    if (json_is_array(b))
        return sum_of_lists(a, b);
    if (json_is_integer(b))
        return json_integer(json_integer_value(b) + json_integer_value(a));
    return json_real(json_number_value(b) + json_number_value(a));
}

int part_run_totals(const struct parts *parts, json_t **out)
{
    json_t *total = NULL;
    for (int32_t i = 0; i < parts->n_parts; i++) {
        json_t *one, *sum;
        int status = parts_summary(parts, i, &one);
        if (status != OK) {
            json_decref(total);
            return status;
        }
        sum = sum_of(total, one);
        json_decref(total);
        json_decref(one);
        total = sum;
    }
    *out = total;
    return OK;
}
