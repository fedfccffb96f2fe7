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

/* The name that the object uses; the first where it has neither. */
static const char *either(json_t *object, const char *first, const char *second) { return !json_object_get(object, first) && json_object_get(object, second) ? second : first; }

static int read_item(struct benchmark *b, json_t *object, const char *where, struct benchmark_item *item)
{
    item->group = "unnamed";
    TRY(item_id(b, object, "id", where, item));
    TRY(json_opt_text(object, either(object, "dataset", "source"), where, &item->group));
    TRY(item_prompt(object, either(object, "question", "prompt"), where, item));
    TRY(item_response(b, object, "response", where, item));
    TRY(item_text(b->pool, object, "answer", where, &item->answer));
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
    double right, given;
    if (!item->answer || !criticbench_reference(form, item->answer, &right))
        return false;
    *same = answer && criticbench_answer(form, answer, &given) && !(given < right) && !(given > right);
    return true;
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

/* group NULL: all items */
static struct counts count_group(const struct evaluation *e, const char *group)
{
    struct counts c = {0};
    for (int64_t i = 0; i < e->benchmark->n_items; i++)
        if (!group || strcmp(e->benchmark->item[i].group, group) == 0)
            count(e, &e->benchmark->item[i], &c);
    return c;
}

static double ratio(int64_t part, int64_t all) { return all > 0 ? (double)part / (double)all : NAN; }

static int add_row(struct table *t, const char *name, const struct counts *c, bool has_answers)
{
    double f1 = ratio(2 * c->hits, 2 * c->hits + c->false_alarms + c->misses);
    return table_add(t, 0, name, (double[]){f1, ratio(c->hits, c->hits + c->false_alarms), ratio(c->hits, c->hits + c->misses), (double)c->items,
                                            has_answers ? ratio(c->corrected, c->compared) : NAN, has_answers ? (double)c->compared : NAN});
}

static bool seen_before(const struct benchmark *b, int64_t i)
{
    for (int64_t j = 0; j < i; j++)
        if (strcmp(b->item[j].group, b->item[i].group) == 0)
            return true;
    return false;
}

static int tabulate(const struct evaluation *e, const double *outcome_I, struct table *t)
{
    const struct benchmark *b = e->benchmark;
    struct counts all = count_group(e, NULL);
    (void)outcome_I;
    for (int64_t i = 0; i < b->n_items; i++)
        if (!seen_before(b, i)) {
            struct counts c = count_group(e, b->item[i].group);
            TRY(add_row(t, b->item[i].group, &c, all.answers > 0));
        }
    if (all.unparsed > 0)
        TRY(table_note(t, "%lld of %lld verdicts could not be read: counted as mistaken", (long long)all.unparsed, (long long)all.items));
    if (all.answers > 0 && all.compared < all.items)
        TRY(table_note(t, "the answers of %lld of %lld items cannot be compared: left out of correction", (long long)(all.items - all.compared), (long long)all.items));
    return add_row(t, "Overall", &all, all.answers > 0);
}

const struct benchmark_rules criticbench_rules = {
    .name = "criticbench", .title = "CriticBench", .n_columns = 6,
    .column = {{"f1", TABLE_FRACTION}, {"precision", TABLE_FRACTION}, {"recall", TABLE_FRACTION}, {"items", TABLE_COUNT},
               {"correction", TABLE_FRACTION}, {"compared", TABLE_COUNT}},
    .read = read_item, .outcome = outcome, .tabulate = tabulate, .describe = describe,
};
