/* placed_forest: a forest's arrays on the device. They are copied in one piece, on a stream of their own, so that the next forest comes while this one is computed. */
#ifndef TRAINER_MODEL_PLACED_FOREST_H
#define TRAINER_MODEL_PLACED_FOREST_H

#include "dataset/forest.h"
#include "kernels/device.h"
#include "trainer/model/attention_plan.h"

/* Arrays are in device memory but where said. */
struct placed_forest {
    const struct forest *forest;
    struct attention_plan plan;                     /* host memory */
    const uint32_t *token_T;
    const int32_t *position_T;
    int64_t n_predicting;                           /* rows that predict, */
    const int32_t *predicting;                      /* which, [n_predicting], */
    const int32_t *first, *host_first;              /* and their predictions: row i's are [first[i], first[i + 1]) of [n_predictions]; also in host memory */
    const uint32_t *target;
    const float *weight;
    const int32_t *reward_row;                      /* [n_rewards] */
    const int32_t *chosen, *rejected;               /* [n_comparisons] */
    const float *comparison_weight;
};

/* Room for two forests. */
struct forest_places;
/* Largest forest: what is in its arrays. */
struct forest_room { int64_t rows, predictions, rewards, comparisons; };

size_t forest_places_bytes(const struct forest_room *room);
int forest_places_create(struct device *device, const struct forest_room *room, struct forest_places **out);
void forest_places_destroy(struct forest_places **places);

/* Begins to copy a forest that will be entered later; at most one at a time is on its way so. It lives until it is left. */
int forest_send(struct forest_places *places, const struct forest *forest);
/* The compute stream's later work finds the forest on the device, sent before or now; */
int forest_enter(struct forest_places *places, const struct forest *forest, const struct placed_forest **out);
/* and its work so far is the last that reads it. */
int forest_leave(struct forest_places *places, const struct placed_forest *placed);

#endif
