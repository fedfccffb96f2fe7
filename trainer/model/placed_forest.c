/* placed_forest: see placed_forest.h. A place is free when its forest is NULL; its memory is filled again behind the event of the compute stream that left it. */
#include "trainer/model/placed_forest.h"

#include <stdlib.h>

#include "base/slicer.h"
#include "base/status.h"

/* A forest's arrays in one block, of the host or the device. */
struct arrays {
    uint32_t *token_T, *target;
    int32_t *position_T, *predicting, *first, *reward_row, *chosen, *rejected;
    float *weight, *comparison_weight;
};

struct place { struct placed_forest placed; char *host; void *memory; struct event copied, left; };

struct forest_places { struct device *device; struct forest_room room; size_t n_bytes; struct stream ahead; struct place place[2]; };

/* The same counts give the same places in both blocks. */
static size_t lay(char *base, const struct forest_room *n, struct arrays *a)
{
    struct slicer s = {base, 0};
    a->token_T = slice(&s, n->rows, sizeof *a->token_T);
    a->position_T = slice(&s, n->rows, sizeof *a->position_T);
    a->predicting = slice(&s, n->predictions, sizeof *a->predicting);
    a->first = slice(&s, n->predictions + 1, sizeof *a->first);
    a->target = slice(&s, n->predictions, sizeof *a->target);
    a->weight = slice(&s, n->predictions, sizeof *a->weight);
    a->reward_row = slice(&s, n->rewards, sizeof *a->reward_row);
    a->chosen = slice(&s, n->comparisons, sizeof *a->chosen);
    a->rejected = slice(&s, n->comparisons, sizeof *a->rejected);
    a->comparison_weight = slice(&s, n->comparisons, sizeof *a->comparison_weight);
    return s.used;
}

static size_t place_bytes(const struct forest_room *room)
{
    struct arrays a;
    return lay(NULL, room, &a);
}

size_t forest_places_bytes(const struct forest_room *room) { return 2 * device_room(place_bytes(room)); }

int forest_places_create(struct device *device, const struct forest_room *room, struct forest_places **out)
{
    int status = OK;
    struct forest_places *p = calloc(1, sizeof *p);
    CHECK(p, "out of memory for the places of forests");
    p->device = device;
    p->room = *room;
    p->n_bytes = place_bytes(room);
    TRY_DONE(device->ops->stream_open(device, &p->ahead));
    for (int i = 0; i < 2; i++) {
        p->place[i].host = malloc(p->n_bytes);
        CHECK_DONE(p->place[i].host, "out of memory for a forest of %lld rows", (long long)room->rows);
        TRY_DONE(device_alloc(device, p->n_bytes, &p->place[i].memory));
    }
    *out = p;
    return OK;
done:
    forest_places_destroy(&p);
    return status;
}

void forest_places_destroy(struct forest_places **out)
{
    struct forest_places *p = *out;
    if (!p)
        return;
    if (p->ahead.device)
        p->device->ops->synchronize(&p->ahead);
    for (int i = 0; i < 2; i++) {
        device_free(p->device, &p->place[i].memory, p->n_bytes);
        attention_plan_free(&p->place[i].placed.plan);
        free(p->place[i].host);
    }
    free(p);
    *out = NULL;
}

/* ---- filling --------------------------------------------------------------------------------------------------------------------------------- */

/* Predictions grouped by row. Returns the number of rows. */
static int64_t group_by_row(const struct forest *forest, struct arrays *a)
{
    int64_t n = 0;
    for (int32_t i = 0; i < forest->n_predictions; i++) {
        const struct forest_prediction *p = &forest->prediction[i];
        if (n == 0 || a->predicting[n - 1] != p->row) {
            a->predicting[n] = p->row;
            a->first[n++] = i;
        }
        a->target[i] = p->target;
        a->weight[i] = p->weight;
    }
    a->first[n] = forest->n_predictions;
    return n;
}

static int64_t fill(const struct forest *forest, struct arrays *a)
{
    for (int32_t i = 0; i < forest->n_rows; i++) {
        a->token_T[i] = forest->token[i];
        a->position_T[i] = forest->position[i];
    }
    for (int32_t i = 0; i < forest->n_rewards; i++)
        a->reward_row[i] = forest->reward_row[i];
    for (int32_t i = 0; i < forest->n_comparisons; i++) {
        a->chosen[i] = forest->comparison[i].chosen;
        a->rejected[i] = forest->comparison[i].rejected;
        a->comparison_weight[i] = forest->comparison[i].weight;
    }
    return group_by_row(forest, a);
}

static void describe(struct placed_forest *out, const struct forest *forest, const struct arrays *a, const struct arrays *host, int64_t n_predicting)
{
    struct attention_plan plan = out->plan;
    *out = (struct placed_forest){.forest = forest, .plan = plan, .token_T = a->token_T, .position_T = a->position_T, .n_predicting = n_predicting, .predicting = a->predicting,
                                  .first = a->first, .host_first = host->first, .target = a->target, .weight = a->weight, .reward_row = a->reward_row, .chosen = a->chosen,
                                  .rejected = a->rejected, .comparison_weight = a->comparison_weight};
}

static int copy(struct forest_places *p, struct place *place, const struct forest *forest)
{
    struct arrays host, there;
    const struct device_ops *ops = p->device->ops;
    const struct forest_room n = {forest->n_rows, forest->n_predictions, forest->n_rewards, forest->n_comparisons};
    ASSERT(n.rows <= p->room.rows && n.predictions <= p->room.predictions && n.rewards <= p->room.rewards && n.comparisons <= p->room.comparisons);
    size_t n_bytes = lay(place->host, &n, &host);
    lay(place->memory, &n, &there);
    TRY(attention_plan_make(&place->placed.plan, forest));
    describe(&place->placed, forest, &there, &host, fill(forest, &host));
    TRY(ops->event_wait(&place->left, &p->ahead));
    TRY(ops->copy(&p->ahead, place->memory, place->host, n_bytes, HOST_TO_DEVICE));
    return ops->event_record(&place->copied, &p->ahead);
}

/* ---- use ------------------------------------------------------------------------------------------------------------------------------------- */

static struct place *place_of(struct forest_places *p, const struct forest *forest)
{
    for (int i = 0; i < 2; i++)
        if (p->place[i].placed.forest == forest)
            return &p->place[i];
    return NULL;
}

int forest_send(struct forest_places *p, const struct forest *forest)
{
    struct place *place = place_of(p, NULL);
    if (place_of(p, forest))
        return OK;
    ASSERT(place);
    return copy(p, place, forest);
}

int forest_enter(struct forest_places *p, const struct forest *forest, const struct placed_forest **out)
{
    TRY(forest_send(p, forest));
    struct place *place = place_of(p, forest);
    *out = &place->placed;
    return p->device->ops->event_wait(&place->copied, &p->device->stream);
}

int forest_leave(struct forest_places *p, const struct placed_forest *placed)
{
    struct place *place = place_of(p, placed->forest);
    place->placed.forest = NULL;
    return p->device->ops->event_record(&place->left, &p->device->stream);
}
