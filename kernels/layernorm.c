/* layernorm.c: layer normalisation (Ba et al., arXiv 1607.06450), fused with dropout and residual.
 *
 *     pre = dropout(x) + residual        mean = 1/H Σ pre        var = 1/H Σ (pre - mean)²
 *     rstd = 1/√(var + eps)              xhat = (pre - mean) rstd        y = xhat gamma + beta
 *
 * backward, g = dy gamma:
 *
 *     dpre = rstd (g - 1/H Σ g - xhat 1/H Σ g xhat)
 *     dresidual (+)= dpre        dx = dropout mask of dpre        dgamma += Σ_t dy xhat        dbeta += Σ_t dy
 *
 * A row stays in the first cache, so its passes cost little and the variance is taken in two. Parameter
 * gradients: partial sums of ROW_CHUNK rows, added in the order of the chunks: the same bits for any number of
 * threads. */
#include <math.h>

#include "common.h"

#define ROW_CHUNK 64     /* rows of a partial sum */
#define COLUMN_BLOCK 256 /* columns of one work item */

static void normalise_row(float *y, float *mean, float *rstd, const float *pre, const float *gamma,
                          const float *beta, int64_t hidden, float eps) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < hidden; j++)
        sum += pre[j];
    const float mu = sum / (float)hidden;
    float square = 0;
#pragma omp simd reduction(+ : square)
    for (int64_t j = 0; j < hidden; j++)
        square += (pre[j] - mu) * (pre[j] - mu);
    const float scale = 1.0f / sqrtf(square / (float)hidden + eps);
#pragma omp simd
    for (int64_t j = 0; j < hidden; j++)
        y[j] = (pre[j] - mu) * scale * gamma[j] + beta[j];
    if (mean != NULL) *mean = mu;
    if (rstd != NULL) *rstd = scale;
}

static int layernorm_forward(void *y, void *pre, float *mean, float *rstd, const void *x, const void *residual,
                             const float *gamma, const float *beta, int64_t rows, int64_t hidden, float eps,
                             const struct berth_dropout *dropout, enum berth_dtype dtype,
                             berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32) return BERTH_CPU_E_DTYPE;
    const int drops = berth_dropout_active(dropout);
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < rows; t++) {
        float *out = (float *)y + t * hidden;
        float *sum = pre == NULL ? out : (float *)pre + t * hidden;
        const float *in = (const float *)x + t * hidden;
        if (drops) {
            berth_dropout_row(sum, in, hidden, dropout, (uint32_t)dropout->ordinal[t],
                              (uint32_t)dropout->position[t]);
            in = sum;
        }
        if (residual != NULL) {
            const float *skip = (const float *)residual + t * hidden;
#pragma omp simd
            for (int64_t j = 0; j < hidden; j++)
                sum[j] = in[j] + skip[j];
        } else if (sum != in) {
            memcpy(sum, in, (size_t)hidden * sizeof(float));
        }
        normalise_row(out, mean == NULL ? NULL : mean + t, rstd == NULL ? NULL : rstd + t, sum, gamma, beta,
                      hidden, eps);
    }
    return BERTH_CPU_OK;
}

static void backward_row(float *dx, float *dresidual, const float *dy, const float *pre, float mean, float rstd,
                         const float *gamma, int64_t hidden, int accumulate) {
    float sum = 0, dot = 0;
#pragma omp simd reduction(+ : sum, dot)
    for (int64_t j = 0; j < hidden; j++) {
        const float g = dy[j] * gamma[j];
        sum += g;
        dot += g * ((pre[j] - mean) * rstd);
    }
    const float c0 = sum / (float)hidden, c1 = dot / (float)hidden;
    if (dresidual == NULL) {
#pragma omp simd
        for (int64_t j = 0; j < hidden; j++)
            dx[j] = rstd * (dy[j] * gamma[j] - c0 - (pre[j] - mean) * rstd * c1);
    } else {
        const float keep = accumulate ? 1.0f : 0.0f;
        if (!accumulate) memset(dresidual, 0, (size_t)hidden * sizeof(float));
#pragma omp simd
        for (int64_t j = 0; j < hidden; j++) {
            const float d = rstd * (dy[j] * gamma[j] - c0 - (pre[j] - mean) * rstd * c1);
            dresidual[j] = keep * dresidual[j] + d;
            if (dx != NULL) dx[j] = d;
        }
    }
}

static int layernorm_backward(void *dx, void *dresidual, const void *dy, const void *pre, const float *mean,
                              const float *rstd, const float *gamma, int64_t rows, int64_t hidden,
                              int accumulate_residual, const struct berth_dropout *dropout,
                              enum berth_dtype dtype, berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32) return BERTH_CPU_E_DTYPE;
    if (dx == NULL && dresidual == NULL) return BERTH_CPU_OK;
    const int drops = berth_dropout_active(dropout) && dx != NULL;
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < rows; t++) {
        float *out = dx == NULL ? NULL : (float *)dx + t * hidden;
        backward_row(out, dresidual == NULL ? NULL : (float *)dresidual + t * hidden,
                     (const float *)dy + t * hidden, (const float *)pre + t * hidden, mean[t], rstd[t], gamma,
                     hidden, accumulate_residual);
        if (drops)
            berth_dropout_row(out, out, hidden, dropout, (uint32_t)dropout->ordinal[t],
                              (uint32_t)dropout->position[t]);
    }
    return BERTH_CPU_OK;
}

static int64_t row_chunks(int64_t rows) {
    return (rows + ROW_CHUNK - 1) / ROW_CHUNK;
}

static size_t layernorm_param_workspace(int64_t rows, int64_t hidden) {
    return (size_t)(2 * row_chunks(rows) * hidden) * sizeof(float);
}

/* parts [2, H] of one chunk of rows, columns [first, first + width): Σ dy xhat, Σ dy */
static void param_chunk(float *parts, const float *dy, const float *pre, const float *mean, const float *rstd,
                        int64_t rows, int64_t hidden, int64_t first, int64_t width) {
    float dgamma[COLUMN_BLOCK] = {0}, dbeta[COLUMN_BLOCK] = {0};
    for (int64_t t = 0; t < rows; t++) {
        const float *d = dy + t * hidden + first, *p = pre + t * hidden + first;
        const float mu = mean[t], scale = rstd[t];
#pragma omp simd
        for (int64_t j = 0; j < width; j++) {
            dgamma[j] += d[j] * ((p[j] - mu) * scale);
            dbeta[j] += d[j];
        }
    }
    memcpy(parts + first, dgamma, (size_t)width * sizeof(float));
    memcpy(parts + hidden + first, dbeta, (size_t)width * sizeof(float));
}

/* out[j] += Σ_chunk parts[chunk, 2, H][which] */
static void add_parts(float *out, const float *parts, int64_t chunks, int64_t hidden, int64_t first,
                      int64_t width) {
    float sum[COLUMN_BLOCK] = {0};
    for (int64_t chunk = 0; chunk < chunks; chunk++)
        for (int64_t j = 0; j < width; j++)
            sum[j] += parts[2 * chunk * hidden + first + j];
    for (int64_t j = 0; j < width; j++)
        out[first + j] += sum[j];
}

static int layernorm_param_backward(float *dgamma, float *dbeta, const void *dy, const void *pre,
                                    const float *mean, const float *rstd, void *workspace, int64_t rows,
                                    int64_t hidden, enum berth_dtype dtype, berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32) return BERTH_CPU_E_DTYPE;
    float *parts = workspace; /* [chunks, 2, H] */
    const int64_t chunks = row_chunks(rows), blocks = (hidden + COLUMN_BLOCK - 1) / COLUMN_BLOCK;
#pragma omp parallel
    {
#pragma omp for collapse(2) schedule(static)
        for (int64_t chunk = 0; chunk < chunks; chunk++) {
            for (int64_t block = 0; block < blocks; block++) {
                const int64_t t = chunk * ROW_CHUNK, first = block * COLUMN_BLOCK;
                param_chunk(parts + 2 * chunk * hidden, (const float *)dy + t * hidden,
                            (const float *)pre + t * hidden, mean + t, rstd + t, berth_min(ROW_CHUNK, rows - t),
                            hidden, first, berth_min(COLUMN_BLOCK, hidden - first));
            }
        }
#pragma omp for schedule(static)
        for (int64_t block = 0; block < blocks; block++) {
            const int64_t first = block * COLUMN_BLOCK, width = berth_min(COLUMN_BLOCK, hidden - first);
            if (dgamma != NULL) add_parts(dgamma, parts, chunks, hidden, first, width);
            if (dbeta != NULL) add_parts(dbeta, parts + hidden, chunks, hidden, first, width);
        }
    }
    return BERTH_CPU_OK;
}

void BERTH_CPU_TABLE(layernorm)(struct berth_ops *ops) {
    ops->layernorm_forward = layernorm_forward;
    ops->layernorm_backward = layernorm_backward;
    ops->layernorm_param_workspace = layernorm_param_workspace;
    ops->layernorm_param_backward = layernorm_param_backward;
}
