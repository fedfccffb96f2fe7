/* tiny_folder DIR MODEL_TYPE KV_HEADS N_PAIRS: a small model without weights and a small D_sub, for tests of the program. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/tools/tiny_run.h"

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "tiny_folder DIR MODEL_TYPE KV_HEADS N_PAIRS\n");
        return 2;
    }
    tiny_model_write(argv[1], argv[2], atoi(argv[3]), false);
    tiny_dsub_write(argv[1], atoi(argv[4]), 11);
    return 0;
}
