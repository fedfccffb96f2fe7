/* criticbench: is a response right (critique), and what would be right (correction). Critique is F1 with the wrong responses as positive class, pooled over items; an unparsable
 * verdict is mistaken: a miss on a wrong response, a false alarm on a right one. Correction is the accuracy of the corrected answers over the items whose answers can be compared
 * (criticbench.h); an item without one counts as wrong, and where no item has one nothing is computed. */
#include "trainer/eval/criticbench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "trainer/eval/benchmark_rules.h"
#include "trainer/eval/item.h"

static int read_label(json_t *object, const char *where, struct benchmark_item *item)
{
    json_t *label;
    TRY(json_get(object, "response_label", where, &label));
    bool is_number = json_is_integer(label) && (json_integer_value(label) == 0 || json_integer_value(label) == 1);
    CHECK(json_is_boolean(label) || is_number, "%s: \"response_label\" must be true or false (or 1 or 0)", where);
    item->n_right = json_is_true(label) || json_integer_value(label) == 1;
    return OK;
}

/* The first of these names that the object uses; the last where it uses none. */
static const char *name_of(json_t *object, const char *first, const char *second, const char *third)
{
    return json_object_get(object, first) ? first : json_object_get(object, second) ? second : third;
}

static bool is_answer(const json_t *value) { return json_is_string(value) || json_is_number(value) || json_is_boolean(value); }

/* As a text. */
static int add_answer(json_t *answers, json_t *value)
{
    char number[ITEM_NUMBER];
    json_t *text = json_is_string(value) ? json_incref(value) : json_string(json_is_number(value) ? item_number(value, number) : json_is_true(value) ? "true" : "false");
    CHECK(text && json_array_append_new(answers, text) == 0, "out of memory for an answer");
    return OK;
}

static int read_answers(struct benchmark *b, json_t *object, const char *where, struct benchmark_item *item)
{
    json_t *value = json_object_get(object, "answer"), *one;
    size_t i;
    if (!value || json_is_null(value))
        return OK;
    item->answers = json_array();
    CHECK(item->answers && json_array_append_new(b->pool, item->answers) == 0, "out of memory for an answer");
    CHECK(is_answer(value) || json_is_array(value), "%s: \"answer\" must be a string, a number, true or false, or a list of them", where);
    if (!json_is_array(value))
        return add_answer(item->answers, value);
    json_array_foreach(value, i, one) {
        CHECK(is_answer(one), "%s: answer %zu of \"answer\" must be a string, a number, true or false", where, i + 1);
        TRY(add_answer(item->answers, one));
    }
    return OK;
}

static int read_item(struct benchmark *b, json_t *object, const char *where, struct benchmark_item *item)
{
    item->group = "unnamed";
    TRY(item_id(b, object, "id", where, item));
    TRY(json_opt_text(object, name_of(object, "question_source", "dataset", "source"), where, &item->group));
    TRY(json_opt_text(object, "question_type", where, &item->type));
    TRY(item_prompt(object, name_of(object, "question", "prompt", "question"), where, item));
    TRY(item_response(b, object, "response", where, item));
    TRY(read_answers(b, object, where, item));
    return read_label(object, where, item);
}

/* ---- outcomes -------------------------------------------------------------------------------------------------------------------------------- */

static const struct criticbench_reply *reply_of(const struct evaluation *e, const struct benchmark_item *item) { return &e->reply[item - e->benchmark->item]; }

static double outcome(const struct evaluation *e, const struct benchmark_item *item, int64_t *missing)
{
    (void)missing;
    return reply_of(e, item)->verdict == (item->n_right ? VERDICT_CORRECT : VERDICT_WRONG) ? 1.0 : 0.0;
}

/* false: the answers of this item cannot be compared */
static bool compare(const struct evaluation *e, const struct benchmark_item *item, bool *same)
{
    enum answer_form form = criticbench_form(item->group);
    const char *answer = reply_of(e, item)->answer;
    *same = false;
    for (size_t i = 0; answer && i < json_array_size(item->answers) && !*same; i++)
        *same = criticbench_same(form, json_string_value(json_array_get(item->answers, i)), answer);
    return criticbench_compares(item->group, item->answers);
}

static void describe(const struct evaluation *e, const struct benchmark_item *item, json_t *line)
{
    static const char *const marker[] = {[VERDICT_CORRECT] = "[[correct]]", [VERDICT_WRONG] = "[[wrong]]"};
    const struct criticbench_reply *reply = reply_of(e, item);
    bool same, compared = compare(e, item, &same);
    json_object_set_new(line, "verdict", reply->verdict == VERDICT_NONE ? json_null() : json_string(marker[reply->verdict]));
    json_object_set_new(line, "answer", reply->answer ? json_string_nocheck(reply->answer) : json_null());
    json_object_set_new(line, "corrected", compared && reply->answer ? json_boolean(same) : json_null());
}

/* ---- table ----------------------------------------------------------------------------------------------------------------------------------- */

struct counts { int64_t items, hits, false_alarms, misses, unparsed, compared, corrected, answers; };

static void count(const struct evaluation *e, const struct benchmark_item *item, struct counts *c)
{
    const struct criticbench_reply *reply = reply_of(e, item);
    bool same, right = reply->verdict == (item->n_right ? VERDICT_CORRECT : VERDICT_WRONG);
    c->items++;
    c->unparsed += reply->verdict == VERDICT_NONE;
    c->hits += right && !item->n_right;
    c->misses += !right && !item->n_right;
    c->false_alarms += !right && item->n_right;
    c->answers += reply->answer != NULL;
    if (compare(e, item, &same)) {
        c->compared++;
        c->corrected += same;
    }
}

/* type, group NULL: any */
static bool is_of(const struct benchmark_item *item, const char *type, const char *group)
{
    return (!type || (item->type && strcmp(item->type, type) == 0)) && (!group || strcmp(item->group, group) == 0);
}

static struct counts count_where(const struct evaluation *e, const char *type, const char *group)
{
    struct counts c = {0};
    for (int64_t i = 0; i < e->benchmark->n_items; i++)
        if (is_of(&e->benchmark->item[i], type, group))
            count(e, &e->benchmark->item[i], &c);
    return c;
}

static double ratio(int64_t part, int64_t all) { return all > 0 ? (double)part / (double)all : NAN; }

static int add_row(struct table *t, int level, const char *name, const struct counts *c, bool has_answers)
{
    double f1 = ratio(2 * c->hits, 2 * c->hits + c->false_alarms + c->misses);
    return table_add(t, level, name, (double[]){f1, ratio(c->hits, c->hits + c->false_alarms), ratio(c->hits, c->hits + c->misses), (double)c->items,
                                                has_answers ? ratio(c->corrected, c->compared) : NAN, has_answers ? (double)c->compared : NAN});
}

static bool seen_before(const struct benchmark *b, int64_t i, const char *type, const char *group)
{
    for (int64_t j = 0; j < i; j++)
        if (is_of(&b->item[j], type, group))
            return true;
    return false;
}

/* The data sets of a type (NULL: all), as they come in the file. */
static int add_sets(const struct evaluation *e, const char *type, bool has_answers, struct table *t)
{
    const struct benchmark *b = e->benchmark;
    for (int64_t i = 0; i < b->n_items; i++)
        if (is_of(&b->item[i], type, NULL) && !seen_before(b, i, type, b->item[i].group)) {
            struct counts c = count_where(e, type, b->item[i].group);
            TRY(add_row(t, type ? 1 : 0, b->item[i].group, &c, has_answers));
        }
    return OK;
}

static int add_types(const struct evaluation *e, bool has_answers, struct table *t)
{
    const struct benchmark *b = e->benchmark;
    for (int64_t i = 0; i < b->n_items; i++)
        if (!seen_before(b, i, b->item[i].type, NULL)) {
            struct counts c = count_where(e, b->item[i].type, NULL);
            TRY(add_row(t, 0, b->item[i].type, &c, has_answers));
            TRY(add_sets(e, b->item[i].type, has_answers, t));
        }
    return OK;
}

static bool has_types(const struct benchmark *b)
{
    for (int64_t i = 0; i < b->n_items; i++)
        if (!b->item[i].type)
            return false;
    return true;
}

static int tabulate(const struct evaluation *e, const double *outcome_I, struct table *t)
{
    struct counts all = count_where(e, NULL, NULL);
    bool has_answers = all.answers > 0;
    (void)outcome_I;
    TRY(has_types(e->benchmark) ? add_types(e, has_answers, t) : add_sets(e, NULL, has_answers, t));
    if (all.unparsed > 0)
        TRY(table_note(t, "%lld of %lld verdicts could not be read: counted as mistaken", (long long)all.unparsed, (long long)all.items));
    if (has_answers && all.compared < all.items)
        TRY(table_note(t, "the answers of %lld of %lld items cannot be compared: left out of correction", (long long)(all.items - all.compared), (long long)all.items));
    return add_row(t, 0, "Overall", &all, has_answers);
}

const struct benchmark_rules criticbench_rules = {
    .name = "criticbench", .title = "CriticBench", .n_columns = 6,
    .column = {{"f1", TABLE_FRACTION}, {"precision", TABLE_FRACTION}, {"recall", TABLE_FRACTION}, {"items", TABLE_COUNT},
               {"correction", TABLE_FRACTION}, {"compared", TABLE_COUNT}},
    .read = read_item, .outcome = outcome, .tabulate = tabulate, .describe = describe,
};
