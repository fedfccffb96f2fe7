#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "tests/tools/random_values.h"
#include "trainer/ckpt/slices.h"

static float value_at(int64_t row, int64_t col) { return (float)(row * 1000 + col); }

/* The slice's own bytes. */
static float *make_bytes(const struct slice *s)
{
    float *bytes = malloc((size_t)s->count * sizeof *bytes + 1);
    for (int64_t i = 0; i < s->count; i++)
        bytes[i] = value_at(s->box.offset[0] + (s->first + i) / s->box.size[1], s->box.offset[1] + (s->first + i) % s->box.size[1]);
    return bytes;
}

static struct box random_box(struct random *r, const int64_t shape[2])
{
    struct box b;
    for (int i = 0; i < 2; i++) {
        b.offset[i] = random_int(r, 0, shape[i] - 1);
        b.size[i] = random_int(r, 1, shape[i] - b.offset[i]);
    }
    return b;
}

/* Against the definition: element by element. */
static void an_intersection_is_what_both_have(void **state)
{
    (void)state;
    struct random r = {1};
    for (int trial = 0; trial < 2000; trial++) {
        const int64_t shape[2] = {random_int(&r, 1, 7), random_int(&r, 1, 6)};
        struct slice s = {.box = random_box(&r, shape)};
        struct box want = random_box(&r, shape);
        int64_t n_box = s.box.size[0] * s.box.size[1], n_want = want.size[0] * want.size[1];
        s.first = random_int(&r, 0, n_box - 1);
        s.count = random_int(&r, 1, n_box - s.first);
        int64_t first = random_int(&r, 0, n_want - 1), count = random_int(&r, 1, n_want - first), n = 0;
        float *bytes = make_bytes(&s), *out = malloc((size_t)count * sizeof *out);
        for (int64_t i = 0; i < count; i++)
            out[i] = -1.0f;
        int64_t copied = slice_copy(&s, (const unsigned char *)bytes, &want, first, count, out);
        for (int64_t i = 0; i < count; i++) {
            int64_t row = want.offset[0] + (first + i) / want.size[1], col = want.offset[1] + (first + i) % want.size[1];
            int64_t at = (row - s.box.offset[0]) * s.box.size[1] + col - s.box.offset[1];
            bool inside = row >= s.box.offset[0] && row < s.box.offset[0] + s.box.size[0] && col >= s.box.offset[1] && col < s.box.offset[1] + s.box.size[1];
            inside = inside && at >= s.first && at < s.first + s.count;
            assert_true(out[i] == (inside ? value_at(row, col) : -1.0f));
            n += inside;
        }
        assert_int_equal(copied, n);
        assert_true(n == 0 || slice_meets(&s, &want, first, count));
        free(bytes);
        free(out);
    }
}

static struct slice piece(int64_t row, int64_t rows, int64_t col, int64_t cols, int64_t first, int64_t count)
{
    return (struct slice){.box = {{row, col}, {rows, cols}}, .first = first, .count = count};
}

static const int64_t shape[2] = {4, 6};

static void covering(struct slice *s, int n, const char *why)
{
    qsort(s, (size_t)n, sizeof *s, slice_compare);
    int status = slices_cover(s, n, shape, "manifest", "w");
    assert_int_equal(status, why ? FAILED : OK);
    if (why && !strstr(trace_sentence(), why))
        fail_msg("\"%s\" does not say \"%s\"", trace_sentence(), why);
    trace_clear();
}

static void each_element_is_in_exactly_one_slice(void **state)
{
    (void)state;
    struct slice good[] = {piece(0, 4, 3, 3, 0, 12), piece(0, 4, 0, 3, 5, 7), piece(0, 4, 0, 3, 0, 5)};
    covering(good, 3, NULL);
    struct slice hole[] = {piece(0, 4, 3, 3, 0, 12), piece(0, 4, 0, 3, 6, 6), piece(0, 4, 0, 3, 0, 5)};
    covering(hole, 3, "23 of the 24");
    struct slice twice[] = {piece(0, 4, 3, 3, 0, 12), piece(0, 4, 0, 3, 4, 8), piece(0, 4, 0, 3, 0, 5)};
    covering(twice, 3, "twice");
    struct slice boxes[] = {piece(0, 4, 2, 4, 0, 12), piece(0, 4, 0, 3, 0, 12)};
    covering(boxes, 2, "twice");
    struct slice none[1];
    covering(none, 0, "0 of the 24");
}

static void a_slice_outside_is_refused(void **state)
{
    (void)state;
    struct slice tensor[] = {piece(1, 4, 0, 6, 0, 24)};
    covering(tensor, 1, "outside the tensor");
    struct slice wide[] = {piece(0, INT64_MAX, 0, 6, 0, 24)};
    covering(wide, 1, "outside the tensor");
    struct slice box[] = {piece(0, 4, 0, 6, 1, 24)};
    covering(box, 1, "outside its box");
    struct slice far[] = {piece(0, 4, 0, 6, 2, INT64_MAX)};
    covering(far, 1, "outside its box");
}

static void a_parameter_is_cut_where_its_owner_ends(void **state)
{
    (void)state;
    const struct param p = {.offset = 10, .n_local = 20};
    assert_int_equal(param_piece(&p, (struct range){0, 10}).count, 0);
    struct range r = param_piece(&p, (struct range){0, 16});
    assert_int_equal(r.first, 0);
    assert_int_equal(r.count, 6);
    r = param_piece(&p, (struct range){16, 100});
    assert_int_equal(r.first, 6);
    assert_int_equal(r.count, 14);
    assert_int_equal(param_piece(&p, (struct range){30, 10}).count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_intersection_is_what_both_have),
        cmocka_unit_test(each_element_is_in_exactly_one_slice),
        cmocka_unit_test(a_slice_outside_is_refused),
        cmocka_unit_test(a_parameter_is_cut_where_its_owner_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
