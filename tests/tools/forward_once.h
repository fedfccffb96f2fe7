/* forward_once: the forward of one forest over a backbone that stands by itself, on the CPU, where all is done on return. */
#ifndef TESTS_TOOLS_FORWARD_ONCE_H
#define TESTS_TOOLS_FORWARD_ONCE_H

#include "base/status.h"
#include "trainer/model/backbone.h"

static inline int forward_once(struct device *device, struct backbone *backbone, const struct forest *forest, const void **hidden_TC)
{
    const struct forest_room room = {forest->n_rows, forest->n_predictions, forest->n_rewards, forest->n_comparisons};
    const struct placed_forest *placed;
    struct forest_places *places;
    TRY(forest_places_create(device, &room, &places));
    int status = forest_enter(places, forest, &placed);
    if (status == OK)
        status = backbone_forward(backbone, placed, hidden_TC);
    forest_places_destroy(&places);
    return status;
}

#endif
