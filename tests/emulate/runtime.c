/* runtime: see runtime.h. Whose turn it is, and errors. */
#include "tests/emulate/runtime.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

/* ---- one caller at a time -------------------------------------------------------------------------------------------------------------------- */

/* The host, or the thread that goes on for it when it has not called for IDLE_MS. */
enum { IDLE_MS = 20 };
static struct { pthread_mutex_t mutex; int64_t last_call_ms; } turn = {.mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP};

int64_t runtime_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void emulate_lock(void)
{
    pthread_mutex_lock(&turn.mutex);
    turn.last_call_ms = runtime_now_ms();
}

void emulate_unlock(void)
{
    turn.last_call_ms = runtime_now_ms();
    pthread_mutex_unlock(&turn.mutex);
}

int runtime_take_turn(void)
{
    emulate_lock();
    return 0;
}

void runtime_give_turn(int *unused)
{
    (void)unused;
    emulate_unlock();
}

bool runtime_take_idle_turn(void)
{
    if (pthread_mutex_trylock(&turn.mutex) != 0)
        return false;
    if (runtime_now_ms() - turn.last_call_ms > IDLE_MS)
        return true;
    pthread_mutex_unlock(&turn.mutex);
    return false;
}

/* Not a call of the host's: it stays as idle as it was. */
void runtime_leave_idle_turn(void) { pthread_mutex_unlock(&turn.mutex); }

void (*emulate_before_wait)(void);

void runtime_begin_wait(void)
{
    if (emulate_before_wait)
        emulate_before_wait();
}

/* ---- errors ---------------------------------------------------------------------------------------------------------------------------------- */

static cudaError_t last_error = cudaSuccess;

cudaError_t runtime_refuse(cudaError_t error, const char *fmt, ...)
{
    va_list list;
    va_start(list, fmt);
    fprintf(stderr, "emulate: ");
    vfprintf(stderr, fmt, list);
    fprintf(stderr, "\n");
    va_end(list);
    return last_error = error;
}

cudaError_t runtime_fail(cudaError_t error) { return last_error = error; }

cudaError_t cudaGetLastError(void)
{
    cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

const char *cudaGetErrorString(cudaError_t error)
{
    static const struct { cudaError_t error; const char *words; } table[] = {
        {cudaSuccess, "no error"}, {cudaErrorInvalidValue, "invalid argument"}, {cudaErrorMemoryAllocation, "out of memory"},
        {cudaErrorInvalidConfiguration, "invalid configuration argument"}, {cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy"},
        {cudaErrorInvalidDeviceFunction, "invalid device function"}, {cudaErrorInvalidDevice, "invalid device ordinal"},
        {cudaErrorInvalidResourceHandle, "invalid resource handle"}, {cudaErrorNotReady, "device not ready"}, {cudaErrorLaunchOutOfResources, "too many resources requested for launch"},
        {cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing"}, {cudaErrorStreamCaptureInvalidated, "operation failed due to a previous error during capture"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].error == error)
            return table[i].words;
    return "unrecognized error code";
}
