/* evaluate_model: a benchmark's scores, or its replies (CriticBench), by a model. Items are dealt to the data ranks in turn, so that an item's responses share their prompt. */
#ifndef LAUNCH_EVALUATE_MODEL_H
#define LAUNCH_EVALUATE_MODEL_H

#include "launch/session.h"
#include "trainer/eval/scores.h"

/* What a response is given: SCORE the reward of a trained model, as `score` computes it; JUDGE the mean of generate.candidates judge's scores of any chat model; REPLY what it replies on
 * CriticBench (trainer/infer/replier.h). */
enum evaluate_by { EVALUATE_SCORE, EVALUATE_JUDGE, EVALUATE_REPLY };

/* A response that leaves no room has no score (NAN), no verdict, and one whose judge's critiques have no score none either; how many there were is printed. Scores are there on all ranks,
 * replies on world rank 0. FAILED after a signal: nothing is kept. Free out with scores_free, also after a failure. Collective over the world. */
int evaluate_model(struct session *session, const struct benchmark *benchmark, enum evaluate_by by, struct scores *out);

#endif
