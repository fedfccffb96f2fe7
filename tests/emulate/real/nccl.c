/* The real header says what the stand-in says. */
#include <nccl.h>

#include "tests/emulate/real/nccl.h"
