/* The real header says what the stand-in says. */
#include <cublasLt.h>

#include "tests/emulate/real/cublaslt.h"
