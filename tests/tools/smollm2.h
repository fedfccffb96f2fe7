/* smollm2: where SmolLM2-135M-Instruct stands, for tests: CRITIC_RM_SMOLLM2, else models/smollm2-135m-instruct, as ci/smollm2.sh makes it. NULL: it is not there. */
#ifndef TESTS_TOOLS_SMOLLM2_H
#define TESTS_TOOLS_SMOLLM2_H

#include <stdlib.h>
#include <sys/stat.h>

static inline const char *smollm2_folder(void)
{
    struct stat s;
    const char *folder = getenv("CRITIC_RM_SMOLLM2");
    if (!folder)
        folder = TEST_SOURCE_DIR "/models/smollm2-135m-instruct";
    return stat(folder, &s) == 0 ? folder : NULL;
}

#endif
