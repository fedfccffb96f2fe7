/* gemm_company: is a row of a matrix product the same bits alone and in company? For a device of any backend, opened with batch_invariant. */
#ifndef TESTS_TOOLS_GEMM_COMPANY_H
#define TESTS_TOOLS_GEMM_COMPANY_H

#include "kernels/device.h"

/* In how many of 160 companies (1 to 5,000 rows, the row first, last and in between; both types, with and without accumulation) a row x w' is not the bits that it is alone. */
int gemm_company_differences(struct device *device);

#endif
