/* slices: integers only; the arithmetic of boxes and ranges. */
#include "trainer/ckpt/slices.h"

#include <string.h>

#include "base/status.h"

static const char *const state_names[N_STATES] = {"master", "exp_avg", "exp_avg_sq"};

const char *state_name(enum state_kind state) { return state_names[state]; }

int state_parse(const char *name)
{
    for (int i = 0; i < N_STATES; i++)
        if (strcmp(name, state_names[i]) == 0)
            return i;
    return -1;
}

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }

struct box param_box(const struct param *p)
{
    return (struct box){{p->box_offset[0], p->box_offset[1]}, {p->local_shape[0], p->local_shape[1]}};
}

struct range param_piece(const struct param *p, struct range range)
{
    int64_t first = max64(range.first, p->offset), end = min64(range.first + range.count, p->offset + p->n_local);
    return (struct range){first - p->offset, end > first ? end - first : 0};
}

bool param_is_written(const struct param_table *table, const struct param *p) { return table->tensor_rank % p->copies == 0; }

static int compare64(int64_t a, int64_t b) { return a < b ? -1 : a > b; }

static int box_compare(const struct box *a, const struct box *b)
{
    for (int i = 0; i < 2; i++) {
        int order = compare64(a->offset[i], b->offset[i]);
        if (order == 0)
            order = compare64(a->size[i], b->size[i]);
        if (order != 0)
            return order;
    }
    return 0;
}

int slice_compare(const void *pa, const void *pb)
{
    const struct slice *a = pa, *b = pb;
    int order = compare64(a->tensor, b->tensor);
    if (order == 0)
        order = compare64((int64_t)a->state, (int64_t)b->state);
    if (order == 0)
        order = box_compare(&a->box, &b->box);
    return order ? order : compare64(a->first, b->first);
}

static bool boxes_meet(const struct box *a, const struct box *b)
{
    for (int i = 0; i < 2; i++)
        if (a->offset[i] + a->size[i] <= b->offset[i] || b->offset[i] + b->size[i] <= a->offset[i])
            return false;
    return true;
}

static int check_bounds(const struct slice *s, const int64_t shape[2], const char *where, const char *name)
{
    for (int i = 0; i < 2; i++)
        CHECK(s->box.offset[i] >= 0 && s->box.size[i] >= 0 && s->box.offset[i] <= shape[i] && s->box.size[i] <= shape[i] - s->box.offset[i],
              "%s: a slice of %s lies outside the tensor", where, name);
    int64_t n = s->box.size[0] * s->box.size[1];
    CHECK(s->first >= 0 && s->count > 0 && s->first <= n && s->count <= n - s->first, "%s: a slice of %s lies outside its box", where, name);
    return OK;
}

/* Within bounds, no two share an element, and as many elements as the tensor has: so each is there once. */
int slices_cover(const struct slice *s, int n, const int64_t shape[2], const char *where, const char *name)
{
    int64_t sum = 0;
    int group = 0;              /* first slice of the current box */
    for (int i = 0; i < n; i++) {
        TRY(check_bounds(&s[i], shape, where, name));
        sum += s[i].count;
        if (i > 0 && box_compare(&s[i - 1].box, &s[i].box) == 0) {
            CHECK(s[i - 1].first + s[i - 1].count <= s[i].first, "%s: elements of %s are stored twice", where, name);
            continue;
        }
        group = i;
        for (int j = 0; j < group; j++)
            CHECK((j > 0 && box_compare(&s[j - 1].box, &s[j].box) == 0) || !boxes_meet(&s[j].box, &s[group].box), "%s: elements of %s are stored twice", where, name);
    }
    CHECK(sum == shape[0] * shape[1], "%s: %lld of the %lld elements of %s are there", where, (long long)sum, (long long)(shape[0] * shape[1]), name);
    return OK;
}

/* Rows of the tensor that both may have. */
static struct range common_rows(const struct slice *s, const struct box *want, int64_t first, int64_t count)
{
    if (count == 0 || !boxes_meet(&s->box, want))
        return (struct range){0, 0};
    int64_t width = want->size[1], s_width = s->box.size[1];
    int64_t row = max64(want->offset[0] + first / width, s->box.offset[0] + s->first / s_width);
    int64_t end = min64(want->offset[0] + (first + count - 1) / width, s->box.offset[0] + (s->first + s->count - 1) / s_width) + 1;
    return (struct range){row, max64(0, end - row)};
}

bool slice_meets(const struct slice *s, const struct box *want, int64_t first, int64_t count) { return common_rows(s, want, first, count).count > 0; }

/* Row by row of the tensor: columns that both boxes have, then elements that both ranges have. */
int64_t slice_copy(const struct slice *s, const unsigned char *bytes, const struct box *want, int64_t first, int64_t count, float *out)
{
    int64_t copied = 0, width = want->size[1], s_width = s->box.size[1];
    struct range rows = common_rows(s, want, first, count);
    int64_t col = max64(want->offset[1], s->box.offset[1]), end_col = min64(want->offset[1] + width, s->box.offset[1] + s_width);
    for (int64_t row = rows.first; row < rows.first + rows.count; row++) {
        int64_t to = (row - want->offset[0]) * width + col - want->offset[1] - first;             /* of (row, col), in out */
        int64_t from = (row - s->box.offset[0]) * s_width + col - s->box.offset[1] - s->first;    /* in the slice */
        int64_t skip = max64(0, max64(-to, -from));
        int64_t n = min64(end_col - col, min64(count - to, s->count - from)) - skip;
        if (n <= 0)
            continue;
        memcpy(out + to + skip, bytes + (from + skip) * 4, (size_t)n * 4);
        copied += n;
    }
    return copied;
}
