/* toy_lesson: what the toy backbone is taught before it can judge: conversations that end in what it shall learn to write.
 *
 *   answer       question -> answer, one in four wrong
 *   judge        question, answer, the judge instruction -> a judgement, one in seven false
 *   rate         question, answer, the rank instruction over a critique, half of them false -> its rating
 *   summarise    question, answer, the summarise instruction over 2..4 critiques -> a true critique
 *   critique     question, answer, the critique instruction -> a bare verdict: writing critiques here is what training on D_sub is to teach
 *
 * The instructions are filled as the program fills them, so that a lesson has the tokens of the call that it is for.
 */
#ifndef TESTS_TOOLS_TOY_LESSON_H
#define TESTS_TOOLS_TOY_LESSON_H

#include "dataset/instruction.h"
#include "tests/tools/toy_text.h"

enum { TOY_CANDIDATES = 4 };

struct toy_lesson {
    char question[TOY_TEXT], answer[TOY_TEXT];
    bool is_answer;                     /* the answer is what is learnt; nothing follows */
    enum instruction instruction;
    int n_critiques;                    /* that the instruction shows */
    char critique[TOY_CANDIDATES][TOY_TEXT];
    char target[TOY_TEXT];
};

struct toy_lesson toy_lesson(int number);
/* The instruction with its critiques; malloc'd. text: [N_INSTRUCTIONS], as instruction_open reads them. */
int toy_lesson_instruction(const struct toy_lesson *lesson, const struct instruction_text *text, char **out);

#endif
