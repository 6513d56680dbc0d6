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

BERTH_INLINE void normalise_row(void *y, float *mean, float *rstd, const void *pre, const float *gamma,
                                const float *beta, int64_t hidden, float eps, const int half) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < hidden; j++)
        sum += berth_get(pre, j, half);
    const float mu = sum / (float)hidden;
    float square = 0;
#pragma omp simd reduction(+ : square)
    for (int64_t j = 0; j < hidden; j++)
        square += (berth_get(pre, j, half) - mu) * (berth_get(pre, j, half) - mu);
    const float scale = 1.0f / sqrtf(square / (float)hidden + eps);
#pragma omp simd
    for (int64_t j = 0; j < hidden; j++)
        berth_put(y, j, (berth_get(pre, j, half) - mu) * scale * gamma[j] + beta[j], half);
    if (mean != NULL) *mean = mu;
    if (rstd != NULL) *rstd = scale;
}

/* One row: dropout, residual, statistics of what is stored, output. */
BERTH_INLINE void forward_row(void *out, void *sum, float *mean, float *rstd, const void *in, const void *skip,
                              const float *gamma, const float *beta, int64_t hidden, float eps,
                              const struct berth_dropout *dropout, int64_t t, const int half) {
    if (dropout != NULL) {
        berth_dropout_row(sum, in, hidden, dropout, (uint32_t)dropout->ordinal[t],
                          (uint32_t)dropout->position[t], half);
        in = sum;
    }
    if (skip != NULL) {
#pragma omp simd
        for (int64_t j = 0; j < hidden; j++)
            berth_put(sum, j, berth_get(in, j, half) + berth_get(skip, j, half), half);
    } else if (sum != in) {
        memcpy(sum, in, (size_t)hidden * (half ? 2 : 4));
    }
    normalise_row(out, mean, rstd, sum, gamma, beta, hidden, eps, half);
}

static int layernorm_forward(void *y, void *pre, float *mean, float *rstd, const void *x, const void *residual,
                             const float *gamma, const float *beta, int64_t rows, int64_t hidden, float eps,
                             const struct berth_dropout *dropout, enum berth_dtype dtype,
                             berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32 && dtype != BERTH_BF16) return BERTH_CPU_E_DTYPE;
    const int half = dtype == BERTH_BF16;
    const struct berth_dropout *drops = berth_dropout_active(dropout) ? dropout : NULL;
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < rows; t++) {
        const int64_t at = t * hidden;
        float *mu = mean == NULL ? NULL : mean + t, *scale = rstd == NULL ? NULL : rstd + t;
        void *out = berth_to(y, at, half), *sum = pre == NULL ? out : berth_to(pre, at, half);
        const void *in = berth_at(x, at, half), *skip = residual == NULL ? NULL : berth_at(residual, at, half);
        if (half)
            forward_row(out, sum, mu, scale, in, skip, gamma, beta, hidden, eps, drops, t, 1);
        else
            forward_row(out, sum, mu, scale, in, skip, gamma, beta, hidden, eps, drops, t, 0);
    }
    return BERTH_CPU_OK;
}

/* The sum of a token's three table rows. */
BERTH_INLINE void gather_row(void *sum, const float *a, const float *b, const float *c, int64_t hidden,
                             const int half) {
#pragma omp simd
    for (int64_t j = 0; j < hidden; j++)
        berth_put(sum, j, c == NULL ? a[j] + b[j] : a[j] + b[j] + c[j], half);
}

static int embedding_norm_forward(void *y, void *pre, float *mean, float *rstd, const float *token,
                                  const float *position, const float *segment, const float *gamma,
                                  const float *beta, const int32_t *ids, const int32_t *pos, const int32_t *seg,
                                  int64_t rows, int64_t hidden, float eps, const struct berth_dropout *dropout,
                                  enum berth_dtype dtype, berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32 && dtype != BERTH_BF16) return BERTH_CPU_E_DTYPE;
    const int half = dtype == BERTH_BF16, drops = berth_dropout_active(dropout);
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < rows; t++) {
        const int64_t at = t * hidden;
        float *mu = mean == NULL ? NULL : mean + t, *scale = rstd == NULL ? NULL : rstd + t;
        void *out = berth_to(y, at, half), *sum = pre == NULL ? out : berth_to(pre, at, half);
        const float *a = token + ids[t] * hidden, *b = position + pos[t] * hidden;
        const float *c = segment == NULL ? NULL : segment + (seg == NULL ? 0 : seg[t]) * hidden;
        if (half) {
            gather_row(sum, a, b, c, hidden, 1);
            normalise_row(out, mu, scale, sum, gamma, beta, hidden, eps, 1);
        } else {
            gather_row(sum, a, b, c, hidden, 0);
            normalise_row(out, mu, scale, sum, gamma, beta, hidden, eps, 0);
        }
        if (drops)
            berth_dropout_row(out, out, hidden, dropout, (uint32_t)dropout->ordinal[t],
                              (uint32_t)dropout->position[t], half);
    }
    return BERTH_CPU_OK;
}

BERTH_INLINE void backward_row(void *dx, void *dresidual, const void *dy, const void *pre, float mean,
                               float rstd, const float *gamma, int64_t hidden, int accumulate, const int half) {
    float sum = 0, dot = 0;
#pragma omp simd reduction(+ : sum, dot)
    for (int64_t j = 0; j < hidden; j++) {
        const float g = berth_get(dy, j, half) * gamma[j];
        sum += g;
        dot += g * ((berth_get(pre, j, half) - mean) * rstd);
    }
    const float c0 = sum / (float)hidden, c1 = dot / (float)hidden;
    if (dresidual == NULL) {
#pragma omp simd
        for (int64_t j = 0; j < hidden; j++)
            berth_put(
                dx, j,
                rstd * (berth_get(dy, j, half) * gamma[j] - c0 - (berth_get(pre, j, half) - mean) * rstd * c1),
                half);
    } else {
        const float keep = accumulate ? 1.0f : 0.0f;
        if (!accumulate) memset(dresidual, 0, (size_t)hidden * (half ? 2 : 4));
#pragma omp simd
        for (int64_t j = 0; j < hidden; j++) {
            const float d =
                rstd * (berth_get(dy, j, half) * gamma[j] - c0 - (berth_get(pre, j, half) - mean) * rstd * c1);
            berth_put(dresidual, j, keep * berth_get(dresidual, j, half) + d, half);
            if (dx != NULL) berth_put(dx, j, d, half);
        }
    }
}

static int layernorm_backward(void *dx, void *dresidual, const void *dy, const void *pre, const float *mean,
                              const float *rstd, const float *gamma, int64_t rows, int64_t hidden,
                              int accumulate_residual, const struct berth_dropout *dropout,
                              enum berth_dtype dtype, berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32 && dtype != BERTH_BF16) return BERTH_CPU_E_DTYPE;
    const int half = dtype == BERTH_BF16;
    if (dx == NULL && dresidual == NULL) return BERTH_CPU_OK;
    const int drops = berth_dropout_active(dropout) && dx != NULL;
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < rows; t++) {
        const int64_t at = t * hidden;
        void *out = dx == NULL ? NULL : berth_to(dx, at, half);
        void *skip = dresidual == NULL ? NULL : berth_to(dresidual, at, half);
        const void *d = berth_at(dy, at, half), *p = berth_at(pre, at, half);
        const uint32_t ordinal = drops ? (uint32_t)dropout->ordinal[t] : 0;
        const uint32_t position = drops ? (uint32_t)dropout->position[t] : 0;
        if (half) {
            backward_row(out, skip, d, p, mean[t], rstd[t], gamma, hidden, accumulate_residual, 1);
            if (drops) berth_dropout_row(out, out, hidden, dropout, ordinal, position, 1);
        } else {
            backward_row(out, skip, d, p, mean[t], rstd[t], gamma, hidden, accumulate_residual, 0);
            if (drops) berth_dropout_row(out, out, hidden, dropout, ordinal, position, 0);
        }
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
BERTH_INLINE void param_chunk(float *parts, const void *dy, const void *pre, const float *mean,
                              const float *rstd, int64_t rows, int64_t hidden, int64_t first, int64_t width,
                              const int half) {
    float dgamma[COLUMN_BLOCK] = {0}, dbeta[COLUMN_BLOCK] = {0};
    for (int64_t t = 0; t < rows; t++) {
        const void *d = berth_at(dy, t * hidden + first, half), *p = berth_at(pre, t * hidden + first, half);
        const float mu = mean[t], scale = rstd[t];
#pragma omp simd
        for (int64_t j = 0; j < width; j++) {
            dgamma[j] += berth_get(d, j, half) * ((berth_get(p, j, half) - mu) * scale);
            dbeta[j] += berth_get(d, j, half);
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
    if (dtype != BERTH_F32 && dtype != BERTH_BF16) return BERTH_CPU_E_DTYPE;
    const int half = dtype == BERTH_BF16;
    float *parts = workspace; /* [chunks, 2, H] */
    const int64_t chunks = row_chunks(rows), blocks = (hidden + COLUMN_BLOCK - 1) / COLUMN_BLOCK;
#pragma omp parallel
    {
#pragma omp for collapse(2) schedule(static)
        for (int64_t chunk = 0; chunk < chunks; chunk++) {
            for (int64_t block = 0; block < blocks; block++) {
                const int64_t t = chunk * ROW_CHUNK, first = block * COLUMN_BLOCK;
                const int64_t count = berth_min(ROW_CHUNK, rows - t),
                              width = berth_min(COLUMN_BLOCK, hidden - first);
                const void *d = berth_at(dy, t * hidden, half), *p = berth_at(pre, t * hidden, half);
                float *to = parts + 2 * chunk * hidden;
                if (half)
                    param_chunk(to, d, p, mean + t, rstd + t, count, hidden, first, width, 1);
                else
                    param_chunk(to, d, p, mean + t, rstd + t, count, hidden, first, width, 0);
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
    ops->embedding_norm_forward = embedding_norm_forward;
    ops->layernorm_backward = layernorm_backward;
    ops->layernorm_param_workspace = layernorm_param_workspace;
    ops->layernorm_param_backward = layernorm_param_backward;
}
