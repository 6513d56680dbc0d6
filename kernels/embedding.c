/* embedding.c: the sum of three table rows, and its backward without atomics.
 *
 *     y[t] = token[ids[t]] + position[pos[t]] + segment[seg[t]]        dtable[ids[t]] += dy[t]
 *
 * Backward: `order` lists the tokens sorted by (id, t), so the tokens of one table row are a run of it. A run
 * is summed by one thread, from its beginning, RUN_FLUSH rows at a time (a partial sum keeps the error of a
 * run of thousands, as the segment table has, near that of a short one). Columns are cut in blocks so that a
 * table of two rows still feeds all threads. */
#include "common.h"

#define BLOCK 128    /* columns of a work item: 512 bytes of a row */
#define RUN_FLUSH 64 /* rows of a partial sum */

static int embedding_forward(void *y, const float *token, const float *position, const float *segment,
                             const int32_t *ids, const int32_t *pos, const int32_t *seg, int64_t rows,
                             int64_t hidden, enum berth_dtype dtype, berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32) return BERTH_CPU_E_DTYPE;
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < rows; t++) {
        float *out = (float *)y + t * hidden;
        const float *a = token + ids[t] * hidden, *b = position + pos[t] * hidden;
        if (segment == NULL) {
#pragma omp simd
            for (int64_t j = 0; j < hidden; j++)
                out[j] = a[j] + b[j];
        } else {
            const float *c = segment + (seg == NULL ? 0 : seg[t]) * hidden;
#pragma omp simd
            for (int64_t j = 0; j < hidden; j++)
                out[j] = a[j] + b[j] + c[j];
        }
    }
    return BERTH_CPU_OK;
}

/* Adds the run that starts at order[i] into its table row, columns [first, first + width). */
static void add_run(float *dtable, const float *dy, const int32_t *ids, const int32_t *order, int64_t i,
                    int64_t rows, int64_t hidden, int64_t first, int64_t width) {
    const int32_t id = ids[order[i]];
    float *out = dtable + id * hidden + first;
    while (i < rows && ids[order[i]] == id) {
        float part[BLOCK] = {0};
        for (int64_t end = i + RUN_FLUSH; i < rows && i < end && ids[order[i]] == id; i++) {
            const float *in = dy + order[i] * hidden + first;
#pragma omp simd
            for (int64_t j = 0; j < width; j++)
                part[j] += in[j];
        }
#pragma omp simd
        for (int64_t j = 0; j < width; j++)
            out[j] += part[j];
    }
}

static int embedding_backward(float *dtable, const void *dy, const int32_t *ids, const int32_t *order,
                              int64_t rows, int64_t hidden, enum berth_dtype dtype, berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32) return BERTH_CPU_E_DTYPE;
    const int64_t blocks = (hidden + BLOCK - 1) / BLOCK;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t block = 0; block < blocks; block++) {
        for (int64_t i = 0; i < rows; i++) {
            if (i > 0 && ids[order[i]] == ids[order[i - 1]]) continue;
            const int64_t first = block * BLOCK;
            add_run(dtable, dy, ids, order, i, rows, hidden, first, berth_min(BLOCK, hidden - first));
        }
    }
    return BERTH_CPU_OK;
}

void BERTH_CPU_TABLE(embedding)(struct berth_ops *ops) {
    ops->embedding_forward = embedding_forward;
    ops->embedding_backward = embedding_backward;
}
