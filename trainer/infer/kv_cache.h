/* kv_cache: the memory of keys and values of generation, in pages of ATTENTION_PAGE slots, the same slots in every layer.
 *
 * Its size is stated, not discovered: pages are promised before work begins (kv_cache_reserve), so that a sequence once begun never lacks one.
 *   free pages >= reserved pages, always. A page is taken against a reservation and given back free. */
#ifndef TRAINER_INFER_KV_CACHE_H
#define TRAINER_INFER_KV_CACHE_H

#include "trainer/model/backbone.h"

struct kv_cache {
    struct device *device;
    struct kv_memory memory;
    int32_t n_pages, n_free, n_reserved;
    int32_t next;               /* where the search for a free page goes on */
    bool *taken;                /* [n_pages] */
    void **k_SGD, **v_SGD;      /* [layers] */
    void *block;
    size_t n_bytes;
};

/* Bytes of one slot on this rank: keys and values of all layers. */
size_t kv_slot_bytes(const struct model_config *model, enum dtype dtype, int tensor_size);
/* As many pages as n_bytes holds. FAILED when that is none, or the memory is not there. */
int kv_cache_create(const struct model_config *model, struct device *device, enum dtype dtype, int tensor_size, size_t n_bytes, struct kv_cache **out);
void kv_cache_destroy(struct kv_cache **cache);

/* Pages that n slots need. */
static inline int32_t kv_pages(int64_t n_slots) { return (int32_t)((n_slots + ATTENTION_PAGE - 1) / ATTENTION_PAGE); }
/* True, and promised, when n more pages are free beside those promised already. */
bool kv_cache_reserve(struct kv_cache *cache, int32_t n_pages);
void kv_cache_unreserve(struct kv_cache *cache, int32_t n_pages);
/* One of the promised pages; the one after `previous` (-1: none) where it is free, so that pages of a sequence often join to one key range. */
int32_t kv_cache_take(struct kv_cache *cache, int32_t previous);
void kv_cache_give_back(struct kv_cache *cache, int32_t page);

#endif
