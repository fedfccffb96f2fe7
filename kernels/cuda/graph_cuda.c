/* graph_cuda: recorded work (device.h) as CUDA graphs. A graph names memory: one of an earlier count of replacements is not run. */
#include <stdlib.h>

#include "kernels/cuda/cuda.h"

struct cuda_graph { cudaGraphExec_t exec; int64_t n_replaced; };

int cuda_graph_begin(struct stream *stream)
{
    CUDA_CHECK(cudaStreamBeginCapture(cuda_stream_of(stream)->handle, cudaStreamCaptureModeThreadLocal), "cannot begin to record work for the GPU");
    cuda_of(stream->device)->recording = true;
    return OK;
}

void cuda_graph_free(struct graph *graph)
{
    struct cuda_graph *g = graph->handle;
    if (g && g->exec)
        cudaGraphExecDestroy(g->exec);
    free(g);
    graph->handle = NULL;
}

int cuda_graph_end(struct stream *stream, struct graph *out)
{
    struct cuda *cuda = cuda_of(stream->device);
    cudaGraph_t recorded = NULL;
    cuda_graph_free(out);
    cuda->recording = false;
    CUDA_CHECK(cudaStreamEndCapture(cuda_stream_of(stream)->handle, &recorded), "work for the GPU cannot be recorded");
    struct cuda_graph *g = calloc(1, sizeof *g);
    cudaError_t error = g ? cudaGraphInstantiate(&g->exec, recorded, 0) : cudaSuccess;
    cudaGraphDestroy(recorded);
    CHECK(g, "out of memory for recorded work");
    *out = (struct graph){.device = stream->device, .handle = g};
    if (error != cudaSuccess)
        cuda_graph_free(out);
    CUDA_CHECK(error, "recorded work cannot be prepared for the GPU");
    g->n_replaced = cuda->n_replaced;
    return OK;
}

int cuda_graph_run(struct graph *graph, struct stream *stream, bool *ran)
{
    const struct cuda_graph *g = graph->handle;
    *ran = g && g->n_replaced == cuda_of(stream->device)->n_replaced;
    if (*ran)
        CUDA_CHECK(cudaGraphLaunch(g->exec, cuda_stream_of(stream)->handle), "recorded work does not start");
    return OK;
}
