/* agreement: does a device compute what the reference computes?
 *
 * An operation under test is one function that draws its sizes and operands from a pass and calls its slot. It is run several times from the same
 * seed: by the reference in float32, by the reference in the case's type, and twice by the device. Inputs are values that the case's type holds exactly.
 *   float32           ||device - ref|| <= 1e-5 ||ref||, for every output
 *   bf16, rounded     outputs of type bf16, and float32 ones computed from such: ||device - ref32|| <= max(2 ||ref - ref32||, 2^-8 ||ref32||):
 *                     twice the error of the reference, or one bf16 rounding (8 bits of significand) where that is larger
 *   bf16, not rounded float32 outputs of exact inputs: as in float32, against the reference in bf16
 * The second run of the device must give the same bits as the first. Outputs start as random values, so that = and += are told apart.
 */
#ifndef TESTS_TOOLS_AGREEMENT_H
#define TESTS_TOOLS_AGREEMENT_H

#include "kernels/kernels.h"
#include "random_values.h"

enum operand_kind { ACTIVATION /* the case's type */, SINGLE /* float32 */, TOTAL /* double */, WHOLE /* int32 */ };

/* What an operation draws its sizes from: small and odd ones and none, or those of models. */
enum sizes { SIZES_ODD, SIZES_LARGE };

enum { MAX_OPERANDS = 16 };
struct operand { const char *name; enum operand_kind kind; int64_t n_elems; size_t n_bytes; void *memory; bool is_out, rounded; double *result; };

struct pass {
    const struct kernels *kernels;
    struct device *device;          /* whose memory and stream */
    enum dtype dtype;               /* of ACTIVATION operands in this pass */
    enum dtype exact_in;            /* the case's type: operand values are exact in it */
    enum sizes sizes;
    struct random random;
    int n_operands;
    struct operand operand[MAX_OPERANDS];
};

/* An operand in device memory: with the given host values (rounded to exact_in when ACTIVATION), with random ones in [-scale, scale), or whole numbers.
 * Freed with the pass. */
void *pass_given(struct pass *pass, enum operand_kind kind, const float *values, int64_t n_elems);
void *pass_draw(struct pass *pass, enum operand_kind kind, int64_t n_elems, double scale);
void *pass_whole(struct pass *pass, const int32_t *values, int64_t n_elems);

/* Mark an operand as compared; `rounded` for a float32 output that is computed from something the device may round to bf16. Returns memory. */
void *pass_out(struct pass *pass, void *memory, const char *name);
void *pass_out_rounded(struct pass *pass, void *memory, const char *name);

typedef int operation(struct pass *pass);

/* Runs the operation for `seed` in the case's type on `device` and on the reference, compares, and fails the running cmocka test with name, output and
 * error where they differ. assert_agreement: odd sizes. */
void assert_agreement_of(struct device *device, const char *name, operation *run, enum sizes sizes, enum dtype dtype, uint64_t seed);
void assert_agreement(struct device *device, const char *name, operation *run, enum dtype dtype, uint64_t seed);

#endif
