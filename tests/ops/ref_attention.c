/* ref_attention.c: attention in double, one probability at a time. */
#include <math.h>
#include <stdlib.h>

#include "berth/base.h"
#include "ops/ref_ops.h"

int64_t ref_pair(const int32_t *cu, int64_t heads, int64_t b, int64_t head, int64_t query, int64_t key) {
    int64_t before = 0;
    for (int64_t i = 0; i < b; i++)
        before += (int64_t)(cu[i + 1] - cu[i]) * (cu[i + 1] - cu[i]) * heads;
    const int64_t n = cu[b + 1] - cu[b];
    return before + (head * n + query) * n + key;
}

/* The vector of part 0 (query), 1 (key) or 2 (value). */
static int64_t at(int64_t token, int64_t part, int64_t head, int64_t heads, int64_t head_size) {
    return ((token * 3 + part) * heads + head) * head_size;
}

static double dot(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* p[n] = softmax of one query's scores; returns log Σ exp */
static double probabilities(double *p, const double *qkv, int64_t first, int64_t n, int64_t query, int64_t head,
                            int64_t heads, int64_t head_size, double scale) {
    double top = -INFINITY, sum = 0;
    for (int64_t j = 0; j < n; j++) {
        p[j] = scale * dot(qkv + at(first + query, 0, head, heads, head_size),
                           qkv + at(first + j, 1, head, heads, head_size), head_size);
        top = p[j] > top ? p[j] : top;
    }
    for (int64_t j = 0; j < n; j++)
        sum += exp(p[j] - top);
    for (int64_t j = 0; j < n; j++)
        p[j] = exp(p[j] - top) / sum;
    return top + log(sum);
}

void ref_attention(double *out, double *lse, const double *qkv, const double *kept, const int32_t *cu,
                   int64_t sequences, int64_t heads, int64_t head_size, double scale) {
    double *p = malloc((size_t)(cu[sequences] + 1) * sizeof *p);
    BERTH_ASSERT(p != NULL);
    for (int64_t b = 0; b < sequences; b++) {
        const int64_t first = cu[b], n = cu[b + 1] - first;
        for (int64_t h = 0; h < heads; h++) {
            for (int64_t q = 0; q < n; q++) {
                double *o = out + ((first + q) * heads + h) * head_size;
                lse[(first + q) * heads + h] = probabilities(p, qkv, first, n, q, h, heads, head_size, scale);
                const int64_t row = ref_pair(cu, heads, b, h, q, 0);
                for (int64_t d = 0; d < head_size; d++)
                    o[d] = 0;
                for (int64_t j = 0; j < n; j++)
                    for (int64_t d = 0; d < head_size; d++)
                        o[d] +=
                            p[j] * (kept ? kept[row + j] : 1) * qkv[at(first + j, 2, h, heads, head_size) + d];
            }
        }
    }
    free(p);
}

void ref_attention_backward(double *dqkv, const double *dout, const double *qkv, const double *kept,
                            const int32_t *cu, int64_t sequences, int64_t heads, int64_t head_size,
                            double scale) {
    const int64_t total = cu[sequences];
    double *p = malloc((size_t)(total + 1) * sizeof *p), *dp = malloc((size_t)(total + 1) * sizeof *dp);
    BERTH_ASSERT(p != NULL && dp != NULL);
    for (int64_t i = 0; i < total * 3 * heads * head_size; i++)
        dqkv[i] = 0;
    for (int64_t b = 0; b < sequences; b++) {
        const int64_t first = cu[b], n = cu[b + 1] - first;
        for (int64_t h = 0; h < heads; h++) {
            for (int64_t q = 0; q < n; q++) {
                const double *g = dout + ((first + q) * heads + h) * head_size;
                const int64_t row = ref_pair(cu, heads, b, h, q, 0),
                              q_at = at(first + q, 0, h, heads, head_size);
                double mean = 0;
                probabilities(p, qkv, first, n, q, h, heads, head_size, scale);
                for (int64_t j = 0; j < n; j++) {
                    const double factor = kept ? kept[row + j] : 1;
                    const int64_t v_at = at(first + j, 2, h, heads, head_size);
                    dp[j] = factor * dot(g, qkv + v_at, head_size);
                    mean += p[j] * dp[j];
                    for (int64_t d = 0; d < head_size; d++)
                        dqkv[v_at + d] += p[j] * factor * g[d];
                }
                for (int64_t j = 0; j < n; j++) {
                    const double ds = scale * p[j] * (dp[j] - mean);
                    const int64_t k_at = at(first + j, 1, h, heads, head_size);
                    for (int64_t d = 0; d < head_size; d++) {
                        dqkv[q_at + d] += ds * qkv[k_at + d];
                        dqkv[k_at + d] += ds * qkv[q_at + d];
                    }
                }
            }
        }
    }
    free(p);
    free(dp);
}
