/* emulate: kernels/cuda/gpu.h on the CPU. Each thread of a block is a fiber (block.c); blocks run one behind the other, threads in a seeded random order
 * between the places where they must meet. What a GPU would leave undefined stops the program with a sentence. For C, and for kernel sources. */
#ifndef TESTS_EMULATE_EMULATE_H
#define TESTS_EMULATE_EMULATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What gpu_kernel.entry points to. */
enum { EMULATE_KERNEL = 0x6b65726e };
struct emulate_kernel { uint32_t magic; const char *name; void (*run)(const void *args); size_t args_bytes; int max_threads; };

/* A launch, and where the running thread is in it. */
struct emulate_launch { const struct emulate_kernel *kernel; const void *args; unsigned grid[3]; int n_threads; size_t shared_bytes; };
struct emulate_here { unsigned block[3], grid[3]; int thread, n_threads; };
extern struct emulate_here emulate_here;

/* Runs all blocks, each to its end. */
void emulate_run(const struct emulate_launch *launch);

/* For threads of kernels. */
enum emulate_exchange { EMULATE_SHUFFLE, EMULATE_SHUFFLE_XOR, EMULATE_BALLOT, EMULATE_WARP_BARRIER, EMULATE_MMA, EMULATE_MATRIX, EMULATE_OTHER /* and above: others' own */ };
enum { EMULATE_LANE_BYTES = 64, EMULATE_LANES = 32 };
struct emulate_lane { unsigned char bytes[EMULATE_LANE_BYTES]; };

void emulate_barrier(void);
/* All 32 lanes of the warp bring n_bytes to the same kind of exchange; returns what they brought, by lane, until this lane's next but one exchange. */
const struct emulate_lane *emulate_exchange(int kind, const void *mine, size_t n_bytes);
/* gpu_mma_bf16_16x8x16. */
void emulate_mma(float *c, const uint32_t *a, const uint32_t *b);
/* Shared memory of the running block: one piece for each `site`, full of NaN when the block begins; that of the launch. */
void *emulate_shared(const void *site, size_t n_bytes, size_t alignment);
void *emulate_dynamic_shared(void);
struct emulate_place { void *memory; size_t n_bytes; };
struct emulate_place emulate_dynamic_place(void);
/* 16 bytes are written: products of warpgroups may not read them before a fence. */
void emulate_written16(const void *to);
/* 16-byte accesses: stops unless `p` lies on 16 bytes. */
void emulate_on_16(const void *p);
/* Begins a copy, or (from NULL) zeros: made now or when the thread waits for it. wait: for all but the newest n_left groups. */
void emulate_copy_async(void *to, const void *from, size_t n_bytes);
void emulate_copy_commit(void);
void emulate_copy_wait(int n_left);

/* For stand-ins of other libraries. Queues a call with a copy of args, done in the stream's order with device memory open; false when this is no stream. Whether n_bytes of
 * device memory at `at` lie in one allocation. */
struct CUstream_st;
bool emulate_queue(struct CUstream_st *stream, void (*call)(const void *args), const void *args, size_t n_bytes);
bool emulate_holds(const void *at, size_t n_bytes);
/* Device memory that a library takes for itself, or with n_bytes < 0 gives back: it has no addresses. False, and nothing taken, when less is free. How much they hold. */
bool emulate_take(int64_t n_bytes);
int64_t emulate_taken(void);

/* For stand-ins of libraries that move data between ranks. Queues `advance`: at the head of its stream, with device memory open, it is called until it returns true; what cannot
 * go on alone lets other streams go on. False when this is no stream. A thread of the stand-in calls emulate_go_on from time to time: a GPU works although the host waits for other
 * ranks, so when the host has not called for a while, and something is queued that others may wait for, all streams do what they can. What such a thread and calls of the host
 * share is used between emulate_lock and emulate_unlock. before_wait is called when the host begins to wait for the device, or asks. */
bool emulate_queue_shared(struct CUstream_st *stream, bool (*advance)(void *context), void *context);
void emulate_go_on(void);
void emulate_lock(void);
void emulate_unlock(void);
extern void (*emulate_before_wait)(void);
/* The device that cudaSetDevice chose. */
int emulate_device(void);

/* For tests: the seed of all orders from here on (the start: CRITIC_RM_EMULATE_SEED, or 1), how often the host has waited for the device, and how many
 * copies from host to device it has begun. */
void emulate_seed(uint64_t seed);
uint64_t emulate_random(uint64_t below);
int64_t emulate_n_waits(void);
int64_t emulate_n_allocations(void);     /* calls of cudaMalloc */
int64_t emulate_n_uploads(void);
int64_t emulate_n_launches(void);        /* kernels that the host named: those of a graph count when it is made */
void emulate_stop(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

#ifdef __cplusplus
}

#include <string.h>

#define GPU_DEVICE static inline

#define GPU_KERNEL(name, max_threads, type, a)                                                                                            \
    static void name##_body(const type &a);                                                                                               \
    static void name##_run(const void *args) { name##_body(*(const type *)args); }                                                        \
    static const struct emulate_kernel name##_entry = {EMULATE_KERNEL, #name, name##_run, sizeof(type), max_threads};                     \
    extern "C" { extern const struct gpu_kernel name; const struct gpu_kernel name = {#name, &name##_entry, sizeof(type), max_threads}; } \
    static void name##_body(const type &a)

#define GPU_SHARED(type, name, dims)                \
    static const char name##_site = 0;              \
    typedef type name##_type dims;                  \
    name##_type &name = *(name##_type *)emulate_shared(&name##_site, sizeof(name##_type), alignof(type))

/* full of NaN, so that what is read before it is filled shows */
#define GPU_REGISTERS(type, name, dims) \
    type name dims;                     \
    memset(name, 0xff, sizeof name)

#define GPU_UNROLL

GPU_DEVICE int gpu_thread(void) { return emulate_here.thread; }
GPU_DEVICE int gpu_n_threads(void) { return emulate_here.n_threads; }
GPU_DEVICE unsigned gpu_block_x(void) { return emulate_here.block[0]; }
GPU_DEVICE unsigned gpu_block_y(void) { return emulate_here.block[1]; }
GPU_DEVICE unsigned gpu_block_z(void) { return emulate_here.block[2]; }
GPU_DEVICE unsigned gpu_n_blocks_x(void) { return emulate_here.grid[0]; }
GPU_DEVICE void gpu_barrier(void) { emulate_barrier(); }
GPU_DEVICE void gpu_warp_barrier(void) { emulate_exchange(EMULATE_WARP_BARRIER, NULL, 0); }
GPU_DEVICE void *gpu_dynamic_shared(void) { return emulate_dynamic_shared(); }
GPU_DEVICE int gpu_popcount(uint32_t x) { return __builtin_popcount(x); }

/* The value of one lane of an exchange. */
template <class T> static inline T emulate_value(const struct emulate_lane *lanes, int lane)
{
    T x;
    memcpy(&x, lanes[lane].bytes, sizeof x);
    return x;
}

template <class T> static inline T gpu_shuffle(T x, int lane) { return emulate_value<T>(emulate_exchange(EMULATE_SHUFFLE, &x, sizeof x), lane % EMULATE_LANES); }

template <class T> static inline T gpu_shuffle_xor(T x, int mask)
{
    return emulate_value<T>(emulate_exchange(EMULATE_SHUFFLE_XOR, &x, sizeof x), (emulate_here.thread ^ mask) % EMULATE_LANES);
}

GPU_DEVICE uint32_t gpu_ballot(bool x)
{
    const struct emulate_lane *lanes = emulate_exchange(EMULATE_BALLOT, &x, sizeof x);
    uint32_t votes = 0;
    for (int i = 0; i < EMULATE_LANES; i++)
        votes |= (uint32_t)emulate_value<bool>(lanes, i) << i;
    return votes;
}

GPU_DEVICE struct gpu_16 gpu_load16(const void *from)
{
    struct gpu_16 x;
    emulate_on_16(from);
    memcpy(&x, from, 16);
    return x;
}

GPU_DEVICE void gpu_store16(void *to, struct gpu_16 x)
{
    emulate_on_16(to);
    emulate_written16(to);
    memcpy(to, &x, 16);
}

GPU_DEVICE uint32_t gpu_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}

/* to nearest, ties to even */
GPU_DEVICE uint16_t gpu_bf16(float x)
{
    uint32_t bits = gpu_bits(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return 0x7fff;
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

GPU_DEVICE float gpu_float(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float y;
    memcpy(&y, &bits, 4);
    return y;
}

GPU_DEVICE uint32_t gpu_bf16_pair(float low, float high) { return (uint32_t)gpu_bf16(low) | (uint32_t)gpu_bf16(high) << 16; }
GPU_DEVICE float gpu_exp2(float x) { return exp2f(x); }

GPU_DEVICE void gpu_mma_bf16_16x8x16(float *c, const uint32_t *a, const uint32_t *b) { emulate_mma(c, a, b); }

GPU_DEVICE void gpu_load_matrix4(uint32_t *x, const void *row)
{
    struct gpu_16 mine = gpu_load16(row);
    const struct emulate_lane *lanes = emulate_exchange(EMULATE_MATRIX, &mine, sizeof mine);
    int lane = emulate_here.thread % EMULATE_LANES;
    for (int i = 0; i < 4; i++)
        memcpy(&x[i], lanes[i * 8 + lane / 4].bytes + lane % 4 * 4, 4);
}

GPU_DEVICE void gpu_load_matrix4_transposed(uint32_t *x, const void *row)
{
    struct gpu_16 mine = gpu_load16(row);
    const struct emulate_lane *lanes = emulate_exchange(EMULATE_MATRIX, &mine, sizeof mine);
    int lane = emulate_here.thread % EMULATE_LANES;
    for (int i = 0; i < 4; i++)
        for (int half = 0; half < 2; half++)
            memcpy((char *)&x[i] + half * 2, lanes[i * 8 + lane % 4 * 2 + half].bytes + lane / 4 * 2, 2);
}

GPU_DEVICE void gpu_copy_async16(void *to, const void *from, bool there)
{
    emulate_on_16(to);
    emulate_on_16(from);
    emulate_copy_async(to, there ? from : NULL, 16);
}

GPU_DEVICE void gpu_copy_async4(void *to, const void *from, bool there) { emulate_copy_async(to, there ? from : NULL, 4); }
GPU_DEVICE void gpu_copy_commit(void) { emulate_copy_commit(); }
template <int N> GPU_DEVICE void gpu_copy_wait(void) { emulate_copy_wait(N); }

#endif

#endif
