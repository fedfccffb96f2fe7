/* h5_chunk: elements straight from their chunks, past HDF5's selections and its checksum, which take more of a shuffled read than the data does. Fletcher32 is verified here. */
#include "base/h5_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"

enum { LANES = 8, MAX_ROWS = 256 };        /* 65535 * MAX_ROWS * (MAX_ROWS + 1) / 2 < 2^32 */

/* Sums modulo 65535 in which only nothing is 0, as folding carries back in leaves them. */
static uint64_t fold(uint64_t x) { return x == 0 ? 0 : (x - 1) % 65535 + 1; }

struct sums { uint64_t one, two; };

struct lanes { uint32_t a[LANES], b[LANES]; };

/* Of rows of LANES big-endian 16-bit words: lane j gets a = sum of w, b = sum over rows k of (n_rows - k) w, two additions a word in all lanes at once.
 * A function of its own, since inlined into what reads single lanes gcc keeps them in single registers. */
__attribute__((noinline)) static void add_rows(const uint8_t *bytes, uint32_t n_rows, struct lanes *out)
{
    uint32_t a[LANES] = {0}, b[LANES] = {0};
    for (uint32_t k = 0; k < n_rows; k++, bytes += 2 * LANES) {
        uint16_t row[LANES];
        memcpy(row, bytes, sizeof row);
        for (int j = 0; j < LANES; j++) {
            a[j] += (uint16_t)(row[j] << 8 | row[j] >> 8);
            b[j] += a[j];
        }
    }
    memcpy(out->a, a, sizeof a);
    memcpy(out->b, b, sizeof b);
}

static void add_block(struct sums *s, const uint8_t *bytes, uint32_t n_rows)
{
    struct lanes lanes;
    uint64_t one = 0, two = 0;
    add_rows(bytes, n_rows, &lanes);
    for (uint64_t j = 0; j < LANES; j++) {
        one += lanes.a[j];
        two += LANES * (uint64_t)lanes.b[j] - j * lanes.a[j];
    }
    s->two = fold(s->two + n_rows * LANES * s->one + two);
    s->one = fold(s->one + one);
}

/* Fletcher's checksum as HDF5's filter forms it (Fletcher 1982, over 16-bit words, two sums). n_bytes even; on a little-endian host. */
static uint32_t fletcher32(const uint8_t *bytes, size_t n_bytes)
{
    struct sums s = {0, 0};
    size_t n_rows = n_bytes / (2 * LANES);
    for (size_t done = 0; done < n_rows; done += MAX_ROWS)
        add_block(&s, bytes + done * 2 * LANES, (uint32_t)(n_rows - done < MAX_ROWS ? n_rows - done : MAX_ROWS));
    for (size_t i = n_rows * 2 * LANES; i + 1 < n_bytes; i += 2) {
        s.one = fold(s.one + ((uint64_t)bytes[i] << 8 | bytes[i + 1]));
        s.two = fold(s.two + s.one);
    }
    return (uint32_t)(s.two << 16 | s.one);
}

size_t h5_chunk_elems(const struct h5_dataset *d, hid_t creation)
{
    hsize_t chunk = 0;
    bool plain = H5Pget_layout(creation) == H5D_CHUNKED && H5Pget_chunk(creation, 1, &chunk) == 1 && H5Pget_nfilters(creation) == 1;
    return plain && chunk * h5_type_bytes(d->type) % 2 == 0 && H5Tequal(h5_file_type(d->type), h5_memory_type(d->type)) > 0 ? chunk : 0;
}

static int load(struct h5_file *file, const struct h5_dataset *d, hsize_t at, size_t n_bytes)
{
    hsize_t stored = 0;
    uint32_t mask = 0, sum;
    H5_CHECK(H5Dget_chunk_storage_size(d->id, &at, &stored) >= 0, file, "read", d->name);
    CHECK(stored == n_bytes + sizeof sum, "%s: a chunk of dataset %s has %llu bytes and should have %zu: the file is damaged: make it anew", file->path, d->name, (unsigned long long)stored,
          n_bytes + sizeof sum);
    if (file->n_chunk_bytes < stored) {
        void *grown = realloc(file->chunk, stored);
        CHECK(grown, "out of memory for reading %s", file->path);
        file->chunk = grown;
        file->n_chunk_bytes = stored;
    }
    H5_CHECK(H5Dread_chunk(d->id, H5P_DEFAULT, &at, &mask, file->chunk) >= 0, file, "read", d->name);
    memcpy(&sum, (const uint8_t *)file->chunk + n_bytes, sizeof sum);
    CHECK(mask == 0 && sum == fletcher32(file->chunk, n_bytes), "%s: cannot read %s: its checksum does not match, the file is damaged: make it anew", file->path, d->name);
    return OK;
}

int h5_chunks_read(struct h5_file *file, const struct h5_dataset *d, uint64_t first, uint64_t n, void *out)
{
    size_t size = h5_type_bytes(d->type);
    uint8_t *to = out;
    for (uint64_t end = first + n; first < end;) {
        uint64_t from = first % d->chunk_elems, count = d->chunk_elems - from < end - first ? d->chunk_elems - from : end - first;
        TRY(load(file, d, first - from, d->chunk_elems * size));
        memcpy(to, (const uint8_t *)file->chunk + from * size, count * size);
        to += count * size;
        first += count;
    }
    return OK;
}
