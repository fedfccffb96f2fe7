/* kv_cache: see kv_cache.h. */
#include "trainer/infer/kv_cache.h"

#include <stdlib.h>

#include "base/slicer.h"

static int64_t slot_elems(const struct model_config *model, int tensor_size)
{
    int64_t heads = model->kv_heads >= tensor_size ? model->kv_heads / tensor_size : 1;
    return heads * model->head_dim;
}

size_t kv_slot_bytes(const struct model_config *model, enum dtype dtype, int tensor_size)
{
    return (size_t)(2 * model->layers * slot_elems(model, tensor_size)) * dtype_bytes(dtype);
}

/* One pass with base NULL counts, a second slices. */
static size_t slice_layers(struct kv_cache *c, const struct model_config *model, enum dtype dtype, int tensor_size, char *base)
{
    struct slicer s = {base, 0};
    int64_t n = c->memory.n_slots * slot_elems(model, tensor_size);
    for (int i = 0; i < model->layers; i++) {
        c->k_SGD[i] = slice(&s, n, dtype_bytes(dtype));
        c->v_SGD[i] = slice(&s, n, dtype_bytes(dtype));
    }
    return s.used;
}

static int alloc(struct kv_cache *c, const struct model_config *model, enum dtype dtype, int tensor_size)
{
    c->k_SGD = calloc((size_t)model->layers, sizeof *c->k_SGD);
    c->v_SGD = calloc((size_t)model->layers, sizeof *c->v_SGD);
    c->taken = calloc((size_t)c->n_pages, sizeof *c->taken);
    CHECK(c->k_SGD && c->v_SGD && c->taken, "out of memory for the table of %d key/value pages", c->n_pages);
    c->n_bytes = slice_layers(c, model, dtype, tensor_size, NULL);
    TRY(device_alloc(c->device, c->n_bytes, &c->block));
    slice_layers(c, model, dtype, tensor_size, c->block);
    c->memory.k_SGD = c->k_SGD;
    c->memory.v_SGD = c->v_SGD;
    return OK;
}

int kv_cache_create(const struct model_config *model, struct device *device, enum dtype dtype, int tensor_size, size_t n_bytes, struct kv_cache **out)
{
    size_t page = kv_slot_bytes(model, dtype, tensor_size) * ATTENTION_PAGE;
    CHECK_USAGE(n_bytes >= page, "generate.kv_memory_mb %zu holds no page of keys and values: %d tokens need %zu MiB", n_bytes >> 20, ATTENTION_PAGE, (page >> 20) + 1);
    struct kv_cache *c = calloc(1, sizeof *c);
    CHECK(c, "out of memory for the key/value cache");
    c->device = device;
    c->n_pages = c->n_free = (int32_t)(n_bytes / page < INT32_MAX / ATTENTION_PAGE ? n_bytes / page : INT32_MAX / ATTENTION_PAGE);
    c->memory.n_slots = (int64_t)c->n_pages * ATTENTION_PAGE;
    int status = alloc(c, model, dtype, tensor_size);
    if (status != OK)
        kv_cache_destroy(&c);
    else
        *out = c;
    return status;
}

void kv_cache_destroy(struct kv_cache **out)
{
    struct kv_cache *c = *out;
    if (!c)
        return;
    if (c->block)
        device_free(c->device, &c->block, c->n_bytes);
    free(c->k_SGD);
    free(c->v_SGD);
    free(c->taken);
    free(c);
    *out = NULL;
}

bool kv_cache_reserve(struct kv_cache *c, int32_t n_pages)
{
    if (c->n_free - c->n_reserved < n_pages)
        return false;
    c->n_reserved += n_pages;
    return true;
}

void kv_cache_unreserve(struct kv_cache *c, int32_t n_pages)
{
    ASSERT(n_pages <= c->n_reserved);
    c->n_reserved -= n_pages;
}

int32_t kv_cache_take(struct kv_cache *c, int32_t previous)
{
    ASSERT(c->n_reserved > 0 && c->n_free >= c->n_reserved);
    int32_t page = previous >= 0 && previous + 1 < c->n_pages ? previous + 1 : c->next;
    while (c->taken[page])
        page = page + 1 < c->n_pages ? page + 1 : 0;
    c->taken[page] = true;
    c->next = page + 1 < c->n_pages ? page + 1 : 0;
    c->n_free--;
    c->n_reserved--;
    return page;
}

void kv_cache_give_back(struct kv_cache *c, int32_t page)
{
    ASSERT(c->taken[page]);
    c->taken[page] = false;
    c->n_free++;
}
