/* trained_as: critic-rm.json of a trained model's folder: what text its reward head was trained on, so that it scores the same kind of text.
 *
 *   {"format": "critic-rm model", "mode": "critic-rm", "tokenizer": hash, "template": hash of chat template, system message and critique instruction}
 * Written when training begins, beside config.json, and copied by export. */
#ifndef TRAINER_MODEL_TRAINED_AS_H
#define TRAINER_MODEL_TRAINED_AS_H

#include <stdbool.h>

struct trained_as { int mode; char tokenizer[17], template[17]; };      /* mode: enum objective_mode */

/* Of an enum objective_mode: "critic-rm". */
const char *trained_mode_name(int mode);
int trained_as_write(const char *folder, const struct trained_as *trained);
/* *found false where the folder has no such file: no reward head was trained. */
int trained_as_read(const char *folder, struct trained_as *out, bool *found);

#endif
