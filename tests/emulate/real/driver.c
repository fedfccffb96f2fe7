/* The real headers say what the stand-ins say. */
#include <cuda.h>
#include <cuda_runtime.h>

#include "tests/emulate/real/driver.h"
