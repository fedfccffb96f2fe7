/* ref_rows: embedding, gather, scatter. */
#include <string.h>

#include "kernels/ref/ref.h"

static bool is_local(const struct embedding_args *a, int64_t t)
{
    return (int64_t)a->token[t] >= a->vocab_first && (int64_t)a->token[t] < a->vocab_first + a->vocab_count;
}

int ref_embedding_forward(struct stream *stream, const struct embedding_args *a)
{
    (void)stream;
    for (int64_t t = 0; t < a->rows; t++) {
        int64_t row = (int64_t)a->token[t] - a->vocab_first;
        for (int64_t c = 0; c < a->cols; c++)
            dtype_put(a->y, a->dtype, t * a->cols + c, is_local(a, t) ? dtype_get(a->table, a->dtype, row * a->cols + c) : 0.0f);
    }
    return OK;
}

int ref_embedding_backward(struct stream *stream, const struct embedding_args *a)
{
    (void)stream;
    for (int64_t t = 0; t < a->rows; t++) {
        if (!is_local(a, t))
            continue;
        float *row = a->dtable + ((int64_t)a->token[t] - a->vocab_first) * a->cols;
        for (int64_t c = 0; c < a->cols; c++)
            row[c] += dtype_get(a->dy, a->dtype, t * a->cols + c);
    }
    return OK;
}

int ref_gather_rows(struct stream *stream, const struct rows_args *a)
{
    (void)stream;
    for (int64_t i = 0; i < a->n_index; i++)
        for (int64_t c = 0; c < a->cols; c++)
            dtype_put(a->y, a->dtype, i * a->cols + c, a->index[i] < 0 ? 0.0f : dtype_get(a->x, a->dtype, a->index[i] * a->cols + c));
    return OK;
}

int ref_scatter_add_rows(struct stream *stream, const struct rows_args *a)
{
    (void)stream;
    for (int64_t i = 0; i < a->n_index; i++) {
        if (a->index[i] < 0)
            continue;
        int64_t at = a->index[i] * a->cols;
        for (int64_t c = 0; c < a->cols; c++)
            dtype_put(a->y, a->dtype, at + c, dtype_get(a->y, a->dtype, at + c) + dtype_get(a->x, a->dtype, i * a->cols + c));
    }
    return OK;
}

int ref_scatter_rows(struct stream *stream, const struct rows_args *a)
{
    (void)stream;
    size_t n_bytes = (size_t)a->cols * dtype_bytes(a->dtype);
    for (int64_t i = 0; i < a->n_index; i++)
        if (a->index[i] >= 0)
            memcpy(dtype_at(a->y, a->dtype, a->index[i] * a->cols), dtype_at_const(a->x, a->dtype, i * a->cols), n_bytes);
    return OK;
}
