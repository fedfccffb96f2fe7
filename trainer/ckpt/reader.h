/* reader: an opened checkpoint. Any part of any tensor, whatever mesh wrote it; the checksum of every slice that is touched is checked first. */
#ifndef TRAINER_CKPT_READER_H
#define TRAINER_CKPT_READER_H

#include "trainer/ckpt/manifest.h"

struct reader;

/* The folder that holds manifest.json. Data files are opened when they are first needed. */
int reader_open(const char *dir, struct reader **out);
void reader_close(struct reader **reader);
const struct manifest *reader_manifest(const struct reader *reader);

/* Elements [first, first + count) of a box of the tensor, row-major, bit for bit as saved. */
int reader_read(struct reader *reader, int tensor, enum state_kind state, const struct box *box, int64_t first, int64_t count, float *out);

/* Every slice: its file, key, length and checksum. */
int reader_verify(struct reader *reader);

#endif
