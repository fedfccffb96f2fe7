/* runtime: what the files of the stand-in of the CUDA runtime (include/cuda_runtime.h) share: runtime.c whose turn it is, and errors; memory.c device and pinned memory, copies; streams.c
 * streams and events; launch.c kernels and devices. */
#ifndef TESTS_EMULATE_RUNTIME_H
#define TESTS_EMULATE_RUNTIME_H

#include <cuda_runtime.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "emulate.h"

/* One caller at a time, from here to the end of the function. */
#define MY_TURN int my_turn __attribute__((cleanup(runtime_give_turn), unused)) = runtime_take_turn()
int runtime_take_turn(void);
void runtime_give_turn(int *unused);
/* For a thread that goes on for the host: true, with the turn taken, when the host has left it for IDLE_MS. */
bool runtime_take_idle_turn(void);
void runtime_leave_idle_turn(void);
int64_t runtime_now_ms(void);
/* The host begins to wait for the device, or asks. */
void runtime_begin_wait(void);

/* A failing call says why, and returns what the real library would. runtime_fail says nothing. */
cudaError_t runtime_refuse(cudaError_t error, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
cudaError_t runtime_fail(cudaError_t error);

/* Opens device memory (PROT_READ | PROT_WRITE), or closes it (PROT_NONE). */
void runtime_protect(int how);

/* Is it a stream that lives? */
bool runtime_is_stream(const struct CUstream_st *stream);
#define KNOWN_STREAM(call, s) do { if (!runtime_is_stream(s)) return runtime_refuse(cudaErrorInvalidResourceHandle, call ": this is no stream"); } while (0)
/* Is some stream capturing? Then what the call would do is not permitted, and the capture is lost. */
bool runtime_spoils_capture(void);
#define NO_CAPTURE(call) do { if (runtime_spoils_capture()) return runtime_refuse(cudaErrorStreamCaptureUnsupported, call ": a stream is capturing"); } while (0)
/* Until the stream, or all of them, are empty. */
void runtime_finish(struct CUstream_st *stream);
void runtime_run_all(void);
/* The host waits for the device: counted. */
void runtime_count_wait(void);

#endif
