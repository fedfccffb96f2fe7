/* prefix: see prefix.h. */
#include "trainer/infer/prefix.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

static uint64_t hash_under(const struct prefix_node *parent, const struct tokens *node)
{
    return hash_bytes(node->token, (size_t)node->n * sizeof *node->token, parent ? parent->hash : 0);
}

static struct prefix_node *find(const struct prefix_tree *t, const struct prefix_node *parent, const struct tokens *node)
{
    uint64_t hash = hash_under(parent, node);
    for (struct prefix_node *n = t->nodes; n; n = n->next)
        if (n->hash == hash && n->parent == parent && n->n_tokens == node->n && memcmp(n->token, node->token, (size_t)node->n * sizeof *node->token) == 0)
            return n;
    return NULL;
}

/* How many nodes of the path are there; *last is the last of them. */
static int find_path(const struct prefix_tree *t, const struct tokens *node, int n_nodes, struct prefix_node **last)
{
    int n = 0;
    *last = NULL;
    for (struct prefix_node *at; n < n_nodes && (at = find(t, *last, &node[n])); n++)
        *last = at;
    return n;
}

int32_t prefix_missing_pages(const struct prefix_tree *t, const struct tokens *node, int n_nodes)
{
    struct prefix_node *last;
    int32_t pages = 0;
    for (int i = find_path(t, node, n_nodes, &last); i < n_nodes; i++)
        pages += kv_pages(node[i].n);
    return pages;
}

static void free_node(struct prefix_node *n)
{
    free(n->token);
    free(n->page);
    free(n);
}

static int make_node(struct prefix_tree *t, struct prefix_node *parent, const struct tokens *node, struct prefix_node **out)
{
    struct prefix_node *n = calloc(1, sizeof *n);
    int32_t n_pages = kv_pages(node->n), previous = -1;
    CHECK(n, "out of memory for a prefix");
    n->token = malloc((size_t)node->n * sizeof *n->token);
    n->page = malloc((size_t)n_pages * sizeof *n->page);
    if (!n->token || !n->page) {
        free_node(n);
        return FAIL("out of memory for a prefix of %d tokens", node->n);
    }
    memcpy(n->token, node->token, (size_t)node->n * sizeof *n->token);
    for (int32_t i = 0; i < n_pages; i++)
        n->page[i] = previous = kv_cache_take(t->cache, previous);
    n->parent = parent;
    n->hash = hash_under(parent, node);
    n->first = parent ? parent->first + parent->n_tokens : 0;
    n->n_tokens = node->n;
    n->next = t->nodes;
    t->nodes = n;
    if (parent)
        parent->n_children++;
    *out = n;
    return OK;
}

int prefix_hold(struct prefix_tree *t, const struct tokens *node, int n_nodes, struct prefix_node **out)
{
    struct prefix_node *last;
    for (int i = find_path(t, node, n_nodes, &last); i < n_nodes; i++)
        TRY(make_node(t, last, &node[i], &last));
    last->n_holds++;
    for (struct prefix_node *n = last; n; n = n->parent)
        n->last_used = t->clock;
    t->clock++;
    *out = last;
    return OK;
}

void prefix_release(struct prefix_tree *t, struct prefix_node *node)
{
    (void)t;
    ASSERT(node->n_holds > 0);
    node->n_holds--;
}

/* Out of the list, its pages free. */
static void drop(struct prefix_tree *t, struct prefix_node *node)
{
    struct prefix_node **at = &t->nodes;
    while (*at != node)
        at = &(*at)->next;
    *at = node->next;
    for (int32_t i = 0; i < kv_pages(node->n_tokens); i++)
        kv_cache_give_back(t->cache, node->page[i]);
    if (node->parent)
        node->parent->n_children--;
    free_node(node);
}

/* The leaf not in use that was used longest ago, and is not `kept`. */
static struct prefix_node *oldest(const struct prefix_tree *t, const struct prefix_node *kept)
{
    struct prefix_node *best = NULL;
    for (struct prefix_node *n = t->nodes; n; n = n->next)
        if (n->n_holds == 0 && n->n_children == 0 && n != kept && (!best || n->last_used < best->last_used))
            best = n;
    return best;
}

static void pin(struct prefix_node *node)
{
    for (; node && !node->pinned; node = node->parent)
        node->pinned = true;
}

/* Pages of nodes that could be given up: neither held, nor above a held one, nor on the path to `kept`. */
static int32_t spare_pages(const struct prefix_tree *t, struct prefix_node *kept)
{
    int32_t pages = 0;
    for (struct prefix_node *n = t->nodes; n; n = n->next)
        n->pinned = false;
    pin(kept);
    for (struct prefix_node *n = t->nodes; n; n = n->next)
        if (n->n_holds > 0)
            pin(n);
    for (struct prefix_node *n = t->nodes; n; n = n->next)
        pages += n->pinned ? 0 : kv_pages(n->n_tokens);
    return pages;
}

bool prefix_reserve(struct prefix_tree *t, int32_t n_pages, const struct tokens *node, int n_nodes)
{
    struct prefix_node *kept;
    if (kv_cache_reserve(t->cache, n_pages))
        return true;
    find_path(t, node, n_nodes, &kept);
    if (t->cache->n_free - t->cache->n_reserved + spare_pages(t, kept) < n_pages)
        return false;
    while (!kv_cache_reserve(t->cache, n_pages))
        drop(t, oldest(t, kept));
    return true;
}

void prefix_tree_free(struct prefix_tree *t)
{
    for (struct prefix_node *n; (n = oldest(t, NULL));)
        drop(t, n);
    ASSERT(!t->nodes);
}

int pages_to_ranges(const int32_t *page, int64_t n, struct attention_range *out)
{
    int n_ranges = 0;
    for (int64_t i = 0; i < n; i += ATTENTION_PAGE) {
        int32_t first = page_slot(page, i), count = (int32_t)(n - i < ATTENTION_PAGE ? n - i : ATTENTION_PAGE);
        if (n_ranges > 0 && out[n_ranges - 1].first + out[n_ranges - 1].count == first)
            out[n_ranges - 1].count += count;
        else
            out[n_ranges++] = (struct attention_range){first, count};
    }
    return n_ranges;
}
