/* prefix: the nodes whose keys and values are in the cache, as a tree: a prompt, the responses under it, instructions under those. A node is found by its tokens and its
 * parent, so it is computed once for all samples and all calls that begin with it. Nodes in use are held; others stay until their pages are needed, the one used longest
 * ago going first. */
#ifndef TRAINER_INFER_PREFIX_H
#define TRAINER_INFER_PREFIX_H

#include "dataset/tree.h"
#include "trainer/infer/kv_cache.h"

struct prefix_node {
    struct prefix_node *parent;         /* NULL: a root */
    struct prefix_node *next;           /* in the list of all nodes */
    uint64_t hash;                      /* of its tokens and its parent's hash */
    int32_t first, n_tokens;            /* position of its first token */
    int32_t n_computed;                 /* tokens whose keys are in the cache */
    int32_t n_holds, n_children;
    bool pinned;                        /* held, or a node under it is: of the last look */
    int64_t last_used;
    uint32_t *token;
    int32_t *page;                      /* [kv_pages(n_tokens)] */
};

struct prefix_tree {
    struct kv_cache *cache;
    struct prefix_node *nodes;
    int64_t clock;
    int64_t n_computed;                 /* tokens prefilled so far: shared ones once */
};

/* Frees every node; none may be held. */
void prefix_tree_free(struct prefix_tree *tree);

/* Pages that a path's missing nodes would need. */
int32_t prefix_missing_pages(const struct prefix_tree *tree, const struct tokens *node, int n_nodes);
/* The path's last node, held, its missing nodes made of pages reserved for them (prefix_missing_pages). */
int prefix_hold(struct prefix_tree *tree, const struct tokens *node, int n_nodes, struct prefix_node **out);
void prefix_release(struct prefix_tree *tree, struct prefix_node *node);
/* Reserves pages, giving up nodes not in use, nor on the path, where it must. False when they cannot be had now. */
bool prefix_reserve(struct prefix_tree *tree, int32_t n_pages, const struct tokens *node, int n_nodes);

/* Adds the key ranges of slots [0, n) that stand in these pages; pages that follow each other are joined. Returns the number added; out has room for one a page. */
int pages_to_ranges(const int32_t *page, int64_t n, struct attention_range *out);
static inline int32_t page_slot(const int32_t *page, int64_t i) { return page[i / ATTENTION_PAGE] * ATTENTION_PAGE + (int32_t)(i % ATTENTION_PAGE); }

#endif
