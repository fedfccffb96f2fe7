/* evaluate_model: a benchmark's scores, or its replies (CriticBench), by a model. Items are dealt to the data ranks in turn, an item's responses together, so that they share their
 * prompt: one by one, all in memory, or in parts of a folder (dataset/parts.h), and then a job that ended early goes on where it stopped. */
#ifndef LAUNCH_EVALUATE_MODEL_H
#define LAUNCH_EVALUATE_MODEL_H

#include "dataset/parts.h"
#include "launch/session.h"
#include "trainer/eval/scores.h"

/* What a response is given: SCORE the reward of a trained model, as `score` computes it; JUDGE the mean of generate.candidates judge's scores of any chat model; REPLY what it replies on
 * CriticBench (trainer/infer/replier.h). */
enum evaluate_by { EVALUATE_SCORE, EVALUATE_JUDGE, EVALUATE_REPLY };

/* A response that the context leaves no room has no score (NAN), no verdict, and one whose judge's critiques have no score none either; how many there were is printed. Scores and replies are there
 * on world rank 0. parts: of the benchmark's items; what is done there is not done again. STOPPED after a signal. parts NULL: all in memory, and FAILED after a signal, for nothing is
 * kept. Free out with scores_free, also after a failure. Collective over the world. */
int evaluate_model(struct session *session, const struct benchmark *benchmark, enum evaluate_by by, const struct parts *parts, struct scores *out);

#endif
