/* agreement: see the header. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "agreement.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t kind_bytes(const struct pass *pass, enum operand_kind kind)
{
    if (kind == ACTIVATION)
        return dtype_bytes(pass->dtype);
    return kind == TOTAL ? sizeof(double) : 4;
}

static void *allocate(size_t n_bytes)
{
    void *memory = calloc(1, n_bytes + 1);
    assert_non_null(memory);
    return memory;
}

/* host: n_elems of the kind's type */
static void *upload(struct pass *pass, enum operand_kind kind, const void *host, int64_t n_elems)
{
    assert_true(pass->n_operands < MAX_OPERANDS);
    struct operand *operand = &pass->operand[pass->n_operands++];
    *operand = (struct operand){.kind = kind, .n_elems = n_elems, .n_bytes = (size_t)n_elems * kind_bytes(pass, kind)};
    assert_int_equal(device_alloc(pass->device, operand->n_bytes, &operand->memory), OK);
    assert_int_equal(pass->device->ops->copy(&pass->device->stream, operand->memory, host, operand->n_bytes, HOST_TO_DEVICE), OK);
    assert_int_equal(pass->device->ops->synchronize(&pass->device->stream), OK);
    return operand->memory;
}

void *pass_given(struct pass *pass, enum operand_kind kind, const float *values, int64_t n_elems)
{
    void *host = allocate((size_t)n_elems * sizeof(double));
    for (int64_t i = 0; i < n_elems; i++) {
        float value = kind == ACTIVATION && pass->exact_in == BF16 ? bf16_to_f32(f32_to_bf16(values[i])) : values[i];
        if (kind == TOTAL)
            ((double *)host)[i] = (double)value;
        else
            dtype_put(host, kind == ACTIVATION ? pass->dtype : F32, i, value);
    }
    void *memory = upload(pass, kind, host, n_elems);
    free(host);
    return memory;
}

void *pass_draw(struct pass *pass, enum operand_kind kind, int64_t n_elems, double scale)
{
    float *values = allocate((size_t)n_elems * sizeof *values);
    random_fill(&pass->random, values, n_elems, scale, F32);
    void *memory = pass_given(pass, kind, values, n_elems);
    free(values);
    return memory;
}

void *pass_whole(struct pass *pass, const int32_t *values, int64_t n_elems) { return upload(pass, WHOLE, values, n_elems); }

static void *mark(struct pass *pass, void *memory, const char *name, bool rounded)
{
    for (int i = 0; i < pass->n_operands; i++)
        if (pass->operand[i].memory == memory) {
            pass->operand[i].name = name;
            pass->operand[i].is_out = true;
            pass->operand[i].rounded = rounded || pass->operand[i].kind == ACTIVATION;
            return memory;
        }
    fail_msg("%s is no operand of this pass", name);
    return NULL;
}

void *pass_out(struct pass *pass, void *memory, const char *name) { return mark(pass, memory, name, false); }
void *pass_out_rounded(struct pass *pass, void *memory, const char *name) { return mark(pass, memory, name, true); }

static void download(struct pass *pass, struct operand *operand)
{
    char *host = allocate(operand->n_bytes);
    assert_int_equal(pass->device->ops->copy(&pass->device->stream, host, operand->memory, operand->n_bytes, DEVICE_TO_HOST), OK);
    assert_int_equal(pass->device->ops->synchronize(&pass->device->stream), OK);
    operand->result = allocate((size_t)operand->n_elems * sizeof(double));
    if (operand->kind == TOTAL)
        memcpy(operand->result, host, operand->n_bytes);
    else
        for (int64_t i = 0; i < operand->n_elems; i++)
            operand->result[i] = operand->kind == WHOLE ? ((const int32_t *)host)[i] : (double)dtype_get(host, operand->kind == ACTIVATION ? pass->dtype : F32, i);
    free(host);
}

/* Results of the outputs are kept, device memory is given back. */
static struct pass run_pass(struct device *device, const char *name, operation *run, enum sizes sizes, enum dtype dtype, enum dtype exact_in, uint64_t seed)
{
    struct pass pass = {.kernels = device->kernels, .device = device, .dtype = dtype, .exact_in = exact_in, .sizes = sizes, .random = {seed}};
    if (run(&pass) != OK)
        fail_msg("%s, seed %llu: %s", name, (unsigned long long)seed, trace_sentence());
    for (int i = 0; i < pass.n_operands; i++) {
        if (pass.operand[i].is_out)
            download(&pass, &pass.operand[i]);
        device_free(device, &pass.operand[i].memory, pass.operand[i].n_bytes);
    }
    return pass;
}

static void free_results(struct pass *pass)
{
    for (int i = 0; i < pass->n_operands; i++)
        free(pass->operand[i].result);
}

static double distance(const double *a, const double *b, int64_t n_elems)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n_elems; i++)
        sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sqrt(sum);
}

static double size_of(const double *a, int64_t n_elems)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n_elems; i++)
        sum += a[i] * a[i];
    return sqrt(sum);
}

static void compare(const char *name, const struct operand *exact, const struct operand *ref, const struct operand *got, enum dtype dtype, uint64_t seed)
{
    bool rounded = dtype == BF16 && got->rounded;
    double error = distance(got->result, rounded ? exact->result : ref->result, got->n_elems), limit = 1e-5 * size_of(ref->result, got->n_elems);
    if (rounded)
        limit = fmax(2.0 * distance(ref->result, exact->result, got->n_elems), 0x1p-8 * size_of(exact->result, got->n_elems));
    if (!(error <= limit))
        fail_msg("%s %s, %lld elements of %s, seed %llu: error %.3g, limit %.3g", name, dtype_name(dtype), (long long)got->n_elems, got->name,
                 (unsigned long long)seed, error, limit);
}

static void assert_same_bits(const char *name, const struct operand *a, const struct operand *b, uint64_t seed)
{
    if (memcmp(a->result, b->result, (size_t)a->n_elems * sizeof(double)) != 0)
        fail_msg("%s, %s, seed %llu: two runs differ", name, a->name, (unsigned long long)seed);
}

void assert_agreement_of(struct device *device, const char *name, operation *run, enum sizes sizes, enum dtype dtype, uint64_t seed)
{
    struct device *reference = NULL;
    assert_int_equal(device_ref_create(&reference), OK);
    struct pass exact = run_pass(reference, name, run, sizes, F32, dtype, seed), ref = run_pass(reference, name, run, sizes, dtype, dtype, seed);
    struct pass got = run_pass(device, name, run, sizes, dtype, dtype, seed), again = run_pass(device, name, run, sizes, dtype, dtype, seed);
    for (int i = 0; i < got.n_operands; i++)
        if (got.operand[i].is_out) {
            compare(name, &exact.operand[i], &ref.operand[i], &got.operand[i], dtype, seed);
            assert_same_bits(name, &got.operand[i], &again.operand[i], seed);
        }
    free_results(&exact), free_results(&ref), free_results(&got), free_results(&again);
    device_destroy(&reference);
}

void assert_agreement(struct device *device, const char *name, operation *run, enum dtype dtype, uint64_t seed) { assert_agreement_of(device, name, run, SIZES_ODD, dtype, seed); }
