/* step: one optimizer step, from a planned batch to new weights. Read step.c first. */
#ifndef TRAINER_STEP_H
#define TRAINER_STEP_H

#include "dataset/stream.h"
#include "trainer/loss/heads.h"
#include "trainer/loss/lambda.h"
#include "trainer/model/backbone.h"
#include "trainer/optim/optimizer.h"

/* Bytes per rank by class. */
struct trainer_bytes { size_t weights, gradients, optimizer, activations, heads; };

/* All that training works on. Owned by trainer.c. */
struct trainer {
    const struct config *config;
    struct mesh *mesh;
    struct device *device;
    struct model_config model;
    struct param_table *table;
    struct trainer_bytes bytes;     /* the plan that its memory was taken by */
    struct store *store;
    struct forest_places *places;
    struct backbone *backbone;
    struct heads *heads;
    struct comm *copies;            /* the optimizer's */
    struct optimizer *optimizer;
    struct lambda_schedule lambda;
    struct lr_schedule lr, reward_lr;
    int64_t reward_updates;     /* of the reward head's group so far */
};

/* What a metrics line says of a step; NAN where nothing was computed. */
struct step_result {
    int64_t step, epoch;
    double lambda, loss, critique_loss, reward_loss, reward_accuracy, reward_margin, grad_norm, lr;
    int64_t tokens, tokens_unshared, operations, n_pairs;
};

/* The first half: losses, and the step's gradients summed over the mesh in the owned chunks of the store. Collective over the world. */
int train_gradients(struct trainer *trainer, const struct step_batch *batch, struct loss_sums *sums);

/* next: the forest that the next step begins with, if it is known: it is on its way to the device while this step is computed. Collective over the world. A loss or gradient that is not
 * finite is FAILED on all ranks before any update. */
int train_step(struct trainer *trainer, const struct step_batch *batch, const struct forest *next, struct step_result *result);

#endif
