/* fuzz_manifest: any bytes as a manifest, with the checksum made right, so that what lies behind it is reached. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/json.h"
#include "base/status.h"
#include "trainer/ckpt/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static void parse(const char *text, size_t n_bytes)
{
    struct manifest *m;
    trace_clear();
    if (manifest_parse(text, n_bytes, "input", &m) == OK)
        for (int i = 0; i < m->n_slices; i++)
            if (m->slice[i].tensor < 0 || m->slice[i].tensor >= m->n_tensors || m->slice[i].count <= 0)
                __builtin_trap();
    manifest_free(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    char hex[HASH_HEX_SIZE];
    parse((const char *)bytes, n_bytes);
    json_t *root = json_loadb((const char *)bytes, n_bytes, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(root)) {
        json_decref(root);
        return 0;
    }
    json_object_del(root, "checksum");
    char *text = json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS);
    hash_to_hex(text ? hash_bytes(text, strlen(text), 0) : 0, hex);
    free(text);
    json_object_set_new(root, "checksum", json_string(hex));
    text = json_dumps(root, JSON_COMPACT);
    if (text)
        parse(text, strlen(text));
    free(text);
    json_decref(root);
    return 0;
}
