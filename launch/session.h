/* session: what commands that generate or score have open: mesh, device, the text side, and a model in memory. */
#ifndef LAUNCH_SESSION_H
#define LAUNCH_SESSION_H

#include "comm/mesh.h"
#include "dataset/encode.h"
#include "launch/command.h"
#include "trainer/infer/infer.h"
#include "trainer/model/trained_as.h"

struct session {
    struct comm *world;
    struct config config;       /* the command's, with the model's folder as backbone.path */
    struct mesh *mesh;
    struct device *device;
    struct encoder *encoder;
    struct infer infer;
    char checkpoint[OPTION_TEXT_SIZE];  /* "": the folder holds the weights itself */
    bool is_trained;            /* the model's folder says what its reward head was trained on: */
    struct trained_as trained;
};

/* model: a run, a checkpoint, or a Hugging Face folder (as export writes); NULL: backbone.path. Prints what it will use of memory. Collective over the world; close it also
 * after a failure. */
int session_open(const struct command *command, const char *model, bool batch_invariant, struct session *out);
void session_close(struct session *session);

/* FAILED unless the model has a trained reward head, and reads the text that this config renders. */
int session_check_reward(const struct session *session);

#endif
