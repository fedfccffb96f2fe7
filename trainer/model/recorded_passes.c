/* recorded_passes: see recorded_passes.h. */
#include "trainer/model/recorded_passes.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"

/* Numbers of rows: 1, 2, 4, then multiples of STEP. */
enum { STEP = 8, N_SMALL = 3, N_SIZES = N_SMALL + RECORDED_MOST_ROWS / STEP };

struct recorded_passes {
    struct device *device;
    int64_t max_rows;
    struct { bool known; struct graph graph; } size[N_SIZES];
    uint32_t token[RECORDED_MOST_ROWS];
    int32_t position[RECORDED_MOST_ROWS], slot[RECORDED_MOST_ROWS];
};

int recorded_create(struct device *device, int64_t max_rows, struct recorded_passes **out)
{
    *out = NULL;
    if (!device->ops->graph_begin)
        return OK;
    *out = calloc(1, sizeof **out);
    CHECK(*out, "out of memory for recorded passes");
    (*out)->device = device;
    (*out)->max_rows = max_rows;
    return OK;
}

void recorded_destroy(struct recorded_passes **out)
{
    struct recorded_passes *p = *out;
    if (!p)
        return;
    for (int i = 0; i < N_SIZES; i++)
        p->device->ops->graph_free(&p->size[i].graph);
    free(p);
    *out = NULL;
}

static int64_t filled_rows(int64_t n) { return n <= 2 ? n : n <= 4 ? 4 : (n + STEP - 1) / STEP * STEP; }
static int index_of(int64_t n_rows) { return n_rows < STEP ? (int)n_rows / 2 : N_SMALL - 1 + (int)(n_rows / STEP); }

static bool one_query_a_run(const struct backbone_rows *rows)
{
    for (int i = 0; i < rows->n_runs; i++)
        if (rows->run[i].q_count != 1)
            return false;
    return true;
}

bool recorded_fill(struct recorded_passes *p, const struct backbone_rows *rows, struct backbone_rows *filled)
{
    int64_t n = filled_rows(rows->n_rows), bytes = rows->n_rows * (int64_t)sizeof *p->token;
    if (rows->n_rows == 0 || n > RECORDED_MOST_ROWS || n > p->max_rows || !one_query_a_run(rows))
        return false;
    memcpy(p->token, rows->token, (size_t)bytes);
    memcpy(p->position, rows->position, (size_t)bytes);
    memcpy(p->slot, rows->slot, (size_t)bytes);
    for (int64_t i = rows->n_rows; i < n; i++)
        p->token[i] = 0, p->position[i] = 0, p->slot[i] = -1;
    *filled = *rows;
    filled->n_rows = n;
    filled->token = p->token, filled->position = p->position, filled->slot = p->slot;
    return true;
}

static int record(struct recorded_passes *p, int index, int (*pass)(void *state), void *state)
{
    const struct device_ops *ops = p->device->ops;
    TRY(ops->graph_begin(&p->device->stream));
    int status = pass(state);
    if (status == OK)
        return ops->graph_end(&p->device->stream, &p->size[index].graph);
    struct graph lost = {0};
    ops->graph_end(&p->device->stream, &lost);
    ops->graph_free(&lost);
    return status;
}

int recorded_run(struct recorded_passes *p, int64_t n_rows, int (*pass)(void *state), void *state)
{
    bool ran = false;
    int index = index_of(n_rows);
    struct stream *stream = &p->device->stream;
    if (!p->size[index].known) {
        p->size[index].known = true;
        return pass(state);
    }
    TRY(p->device->ops->graph_run(&p->size[index].graph, stream, &ran));
    if (ran)
        return OK;
    TRY(record(p, index, pass, state));
    TRY(p->device->ops->graph_run(&p->size[index].graph, stream, &ran));
    ASSERT(ran);
    return OK;
}
