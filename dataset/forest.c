/* forest: trees laid out depth first, in two passes of the same walk: the first counts, the second writes. */
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "dataset/tree.h"

struct builder {
    struct forest *f;
    const struct forest_layout *layout;
    bool counting;
};

static int32_t add_node(struct builder *b, struct tokens text, int32_t parent, int32_t position)
{
    struct forest *f = b->f;
    int32_t index = f->n_nodes++;
    if (!b->counting) {
        f->node[index] = (struct forest_node){f->n_tokens, text.n, parent, 0};
        if (text.n > 0)
            memcpy(f->token + f->n_tokens, text.token, (size_t)text.n * sizeof *f->token);
        for (int32_t i = 0; i < text.n; i++)
            f->position[f->n_tokens + i] = position + i;
    }
    f->n_tokens += text.n;
    return index;
}

static void append_token(struct builder *b, int32_t node, uint32_t token, int32_t position)
{
    struct forest *f = b->f;
    if (!b->counting) {
        f->token[f->n_tokens] = token;
        f->position[f->n_tokens] = position;
        f->node[node].count++;
    }
    f->n_tokens++;
}

static void end_node(struct builder *b, int32_t node)
{
    if (!b->counting)
        b->f->node[node].end = b->f->n_tokens;
}

/* Equal (row, target) of the parent's last row are one prediction with the summed weight; `since` is where that row's predictions start. */
static void predict(struct builder *b, int32_t since, int32_t row, uint32_t target, float weight)
{
    struct forest *f = b->f;
    if (!b->counting) {
        for (int32_t i = since; i < f->n_predictions; i++)
            if (f->prediction[i].row == row && f->prediction[i].target == target) {
                f->prediction[i].weight += weight;
                return;
            }
        f->prediction[f->n_predictions] = (struct forest_prediction){row, target, weight};
    }
    f->n_predictions++;
}

static void predict_inside(struct builder *b, const struct tree_leaf *leaf, int32_t first_row)
{
    for (int32_t i = 0; i + 1 < leaf->text.n; i++)
        predict(b, b->f->n_predictions, first_row + i, leaf->text.token[i + 1], leaf->weight);
}

static void add_leaf(struct builder *b, const struct tree_leaf *leaf, int32_t parent, int32_t position)
{
    int32_t first_row = b->f->n_tokens, node = add_node(b, leaf->text, parent, position);
    if (leaf->weight != 0.0f)
        predict_inside(b, leaf, first_row);
    if (leaf->reward) {
        if (!b->counting)
            b->f->reward_row[b->f->n_rewards] = b->f->n_tokens;
        b->f->n_rewards++;
        append_token(b, node, b->layout->reward_token, position + leaf->text.n);
    }
    end_node(b, node);
}

/* Leaves [first, first + n) below the node that ends in last_row. */
static void add_leaves(struct builder *b, const struct tree_leaf *leaf, int32_t n, int32_t parent, int32_t last_row, int32_t position)
{
    int32_t since = b->f->n_predictions;
    for (int32_t i = 0; i < n; i++)
        if (leaf[i].weight != 0.0f && leaf[i].text.n > 0)
            predict(b, since, last_row, leaf[i].text.token[0], leaf[i].weight);
    for (int32_t i = 0; i < n; i++)
        add_leaf(b, &leaf[i], parent, position);
}

static void add_side(struct builder *b, const struct tree *t, int side, int32_t root, int32_t first_leaf, int32_t n)
{
    if (n == 0)
        return;
    const struct tree_leaf *leaf = t->leaf[side] + first_leaf;
    if (t->response[side].n == 0) {
        add_leaves(b, leaf, n, root, b->f->n_tokens - 1, t->prompt.n);
        return;
    }
    int32_t node = add_node(b, t->response[side], root, t->prompt.n);
    add_leaves(b, leaf, n, node, b->f->n_tokens - 1, t->prompt.n + t->response[side].n);
    end_node(b, node);
}

static void add_shared(struct builder *b, const struct tree *t)
{
    int32_t root = add_node(b, t->prompt, -1, 0);
    for (int side = 0; side < 2; side++)
        add_side(b, t, side, root, 0, t->n_leaves[side]);
    end_node(b, root);
}

static void add_unshared(struct builder *b, const struct tree *t)
{
    for (int side = 0; side < 2; side++)
        for (int32_t i = 0; i < t->n_leaves[side]; i++) {
            int32_t root = add_node(b, t->prompt, -1, 0);
            add_side(b, t, side, root, i, 1);
            end_node(b, root);
        }
}

/* Number of reward rows of side 0 before leaf `index`, or of side 1 with all of side 0. */
static int32_t reward_index(const struct tree *t, int side, int32_t index)
{
    int32_t n = 0;
    for (int s = 0; s <= side; s++)
        for (int32_t i = 0; i < (s == side ? index : t->n_leaves[s]); i++)
            n += t->leaf[s][i].reward;
    return n;
}

static void add_comparisons(struct builder *b, const struct tree *t, int32_t first_reward)
{
    struct forest *f = b->f;
    for (int32_t i = 0; i < t->n_comparisons; i++, f->n_comparisons++) {
        const struct tree_comparison *c = &t->comparison[i];
        if (!b->counting)
            f->comparison[f->n_comparisons] = (struct forest_comparison){first_reward + reward_index(t, 0, c->chosen), first_reward + reward_index(t, 1, c->rejected), c->weight};
    }
}

static void walk(struct builder *b, const struct tree *tree, int n_trees)
{
    struct forest *f = b->f;
    f->n_tokens = f->n_nodes = f->n_predictions = f->n_rewards = f->n_comparisons = 0;
    for (int i = 0; i < n_trees; i++) {
        int32_t first_reward = f->n_rewards;
        if (b->layout->share_prefix)
            add_shared(b, &tree[i]);
        else
            add_unshared(b, &tree[i]);
        add_comparisons(b, &tree[i], first_reward);
    }
    int32_t m = b->layout->row_multiple;
    f->n_rows = (f->n_tokens + m - 1) / m * m;
}

int forest_build(const struct tree *tree, int n_trees, const struct forest_layout *layout, struct forest *out)
{
    struct builder b = {.f = out, .layout = layout, .counting = true};
    *out = (struct forest){0};
    walk(&b, tree, n_trees);
    out->token = calloc((size_t)out->n_rows + 1, sizeof *out->token);
    out->position = calloc((size_t)out->n_rows + 1, sizeof *out->position);
    out->node = calloc((size_t)out->n_nodes + 1, sizeof *out->node);
    out->prediction = calloc((size_t)out->n_predictions + 1, sizeof *out->prediction);
    out->reward_row = calloc((size_t)out->n_rewards + 1, sizeof *out->reward_row);
    out->comparison = calloc((size_t)out->n_comparisons + 1, sizeof *out->comparison);
    if (!out->token || !out->position || !out->node || !out->prediction || !out->reward_row || !out->comparison) {
        forest_free(out);
        return FAIL("out of memory for a forest of %d trees", n_trees);
    }
    b.counting = false;
    walk(&b, tree, n_trees);
    return OK;
}

void forest_free(struct forest *f)
{
    free(f->token);
    free(f->position);
    free(f->node);
    free(f->prediction);
    free(f->reward_row);
    free(f->comparison);
    *f = (struct forest){0};
}

/* n new rows below `above` rows: each sees all above and its own up to itself. */
static int64_t pairs_seen(int64_t above, int64_t n) { return n * above + n * (n + 1) / 2; }

struct tree_cost tree_cost(const struct tree_shape *s, bool share_prefix)
{
    struct tree_cost cost = {0, 0};
    bool root = false;
    for (int side = 0; side < 2; side++)
        for (int32_t i = 0; i < s->n_leaves[side]; i++) {
            int64_t x = s->n_prompt, y = s->n_response[side], z = s->leaf_tokens[side][i];
            if (!share_prefix || !root) {
                cost.tokens += x;
                cost.attention_pairs += pairs_seen(0, x);
                root = true;
            }
            if (!share_prefix || i == 0) {
                cost.tokens += y;
                cost.attention_pairs += pairs_seen(x, y);
            }
            cost.tokens += z;
            cost.attention_pairs += pairs_seen(x + y, z);
        }
    return cost;
}
