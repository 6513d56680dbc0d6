/* crf.c: linear-chain conditional random field: log-likelihood by the forward algorithm, gradient by
 * forward-backward.
 *
 *     alpha_0(j) = start(j) + z(0, j)            alpha_t(j) = z(t, j) + log Σ_i e^(alpha_{t-1}(i) + T(i, j))
 *     beta_last(j) = end(j)                      beta_{t-1}(i) = log Σ_j e^(T(i, j) + z(t, j) + beta_t(j))
 *     p_t(j) ∝ e^(alpha_t(j) + beta_t(j))        p_t(i, j) ∝ e^(alpha_{t-1}(i) + T(i, j) + z(t, j) + beta_t(j))
 *     dz(t, j) = dloss (p_t(j) - q_t(j))         dT(i, j) += dloss Σ_t (p_t(i, j) - q_t(i, j))
 *
 * p over all paths, q over those that agree with the labels: the same sums with a word's tags limited to its
 * label. Messages are kept with their maximum at 0, what is taken out is added up in double: a long sentence
 * loses nothing. Sequences are cut in chunks of CHUNK, a thread does a chunk in order; the chunks' parts of dT
 * are added in order. */
#include <math.h>
#include <stdbool.h>

#include "common.h"

#define CHUNK 8 /* sequences */

struct chain { /* one sequence */
    const float *z, *transitions, *start, *end;
    const int32_t *labels; /* NULL: all paths */
    int64_t words, classes;
};

/* Tags that a word may have: [low, high). */
static void word_range(const struct chain *c, int64_t t, int64_t *low, int64_t *high) {
    const bool fixed = c->labels != NULL && c->labels[t] >= 0;
    *low = fixed ? c->labels[t] : 0;
    *high = fixed ? c->labels[t] + 1 : c->classes;
}

static float largest(const float *x, int64_t low, int64_t high) {
    float top = x[low];
    for (int64_t j = low + 1; j < high; j++)
        top = x[j] > top ? x[j] : top;
    return top;
}

/* log Σ e^(a[j] + b[j]) */
static double sum_log(const float *a, const float *b, int64_t low, int64_t high) {
    float top = a[low] + b[low], sum = 0;
#pragma omp simd reduction(max : top)
    for (int64_t j = low; j < high; j++)
        top = a[j] + b[j] > top ? a[j] + b[j] : top;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = low; j < high; j++)
        sum += berth_exp(a[j] + b[j] - top);
    return (double)top + log((double)sum);
}

/* Takes the largest out of x and returns it. */
static double settle(float *x, int64_t low, int64_t high) {
    const float top = largest(x, low, high);
    for (int64_t j = low; j < high; j++)
        x[j] -= top;
    return (double)top;
}

/* Messages alpha [words, classes]; the log of the sum over the paths. top and sum: room for classes each. */
static double chain_forward(const struct chain *c, float *alpha, float *top, float *sum) {
    const int64_t k = c->classes;
    int64_t low = 0, high = 0, from = 0, to = 0;
    word_range(c, 0, &low, &high);
    for (int64_t j = low; j < high; j++)
        alpha[j] = c->start[j] + c->z[j];
    double total = settle(alpha, low, high);
    for (int64_t t = 1; t < c->words; t++) {
        const float *before = alpha + (t - 1) * k;
        float *now = alpha + t * k;
        from = low;
        to = high;
        word_range(c, t, &low, &high);
        for (int64_t j = low; j < high; j++) {
            top[j] = before[from] + c->transitions[from * k + j];
            sum[j] = 0;
        }
        for (int64_t i = from + 1; i < to; i++) {
            const float a = before[i], *row = c->transitions + i * k;
#pragma omp simd
            for (int64_t j = low; j < high; j++)
                top[j] = a + row[j] > top[j] ? a + row[j] : top[j];
        }
        for (int64_t i = from; i < to; i++) {
            const float a = before[i], *row = c->transitions + i * k;
#pragma omp simd
            for (int64_t j = low; j < high; j++)
                sum[j] += berth_exp(a + row[j] - top[j]);
        }
        for (int64_t j = low; j < high; j++)
            now[j] = top[j] + logf(sum[j]) + c->z[t * k + j];
        total += settle(now, low, high);
    }
    return total + sum_log(alpha + (c->words - 1) * k, c->end, low, high);
}

struct chain_gradient { /* added to; the parameters' may be NULL */
    float *dz, *dtransitions, *dstart, *dend;
};

static void add_marginals(float *to, float *also, const float *alpha, const float *beta, int64_t low,
                          int64_t high, float factor) {
    const float norm = (float)sum_log(alpha, beta, low, high);
    for (int64_t j = low; j < high; j++) {
        const float p = factor * berth_exp(alpha[j] + beta[j] - norm);
        to[j] += p;
        if (also != NULL) also[j] += p;
    }
}

/* beta, next and ahead: room for classes each. */
static void chain_backward(const struct chain *c, const float *alpha, const struct chain_gradient *g,
                           float factor, float *beta, float *next, float *ahead) {
    const int64_t k = c->classes;
    for (int64_t j = 0; j < k; j++)
        beta[j] = c->end[j];
    for (int64_t t = c->words - 1; t >= 0; t--) {
        int64_t low = 0, high = 0, from = 0, to = 0;
        word_range(c, t, &low, &high);
        add_marginals(g->dz + t * k, t == c->words - 1 ? g->dend : NULL, alpha + t * k, beta, low, high,
                      factor);
        if (t == 0) break;
        const float *before = alpha + (t - 1) * k;
        word_range(c, t - 1, &from, &to);
        for (int64_t j = low; j < high; j++)
            ahead[j] = c->z[t * k + j] + beta[j];
        for (int64_t i = from; i < to; i++)
            next[i] = (float)sum_log(c->transitions + i * k, ahead, low, high);
        if (g->dtransitions != NULL) {
            const float norm = (float)sum_log(before, next, from, to);
            for (int64_t i = from; i < to; i++) {
                const float a = before[i] - norm, *row = c->transitions + i * k;
                float *out = g->dtransitions + i * k;
#pragma omp simd
                for (int64_t j = low; j < high; j++)
                    out[j] += factor * berth_exp(a + row[j] + ahead[j]);
            }
        }
        (void)settle(next, from, to);
        float *swap = beta;
        beta = next;
        next = swap;
    }
    if (g->dstart == NULL) return;
    int64_t low = 0, high = 0; /* beta is that of the first word now */
    word_range(c, 0, &low, &high);
    const float norm = (float)sum_log(alpha, beta, low, high);
    for (int64_t j = low; j < high; j++)
        g->dstart[j] += factor * berth_exp(alpha[j] + beta[j] - norm);
}

static int64_t chunk_count(int64_t sequences) {
    return (sequences + CHUNK - 1) / CHUNK;
}

/* Of one chunk: three rows of classes, and backward the parts of dtransitions, dstart, dend behind them. */
static size_t chunk_floats(int64_t classes, int backward) {
    return (size_t)(3 * classes + (backward ? classes * classes + 2 * classes : 0));
}

static size_t crf_workspace(int64_t rows, int64_t sequences, int64_t classes, int backward) {
    (void)rows;
    return (size_t)chunk_count(sequences) * chunk_floats(classes, backward) * sizeof(float);
}

static struct chain chain_of(const void *logits, const float *transitions, const float *start, const float *end,
                             const int32_t *labels, const int32_t *cu_items, int64_t s, int64_t classes) {
    return (struct chain){.z = (const float *)logits + cu_items[s] * classes,
                          .transitions = transitions,
                          .start = start,
                          .end = end,
                          .labels = labels == NULL ? NULL : labels + cu_items[s],
                          .words = cu_items[s + 1] - cu_items[s],
                          .classes = classes};
}

static int crf_forward(float *loss, float *alpha, const void *logits, const float *transitions,
                       const float *start, const float *end, const int32_t *labels, const int32_t *cu_items,
                       void *workspace, int64_t rows, int64_t sequences, int64_t classes,
                       enum berth_dtype dtype, berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32) return BERTH_CPU_E_DTYPE;
    memset(loss, 0, (size_t)rows * sizeof(float));
    memset(alpha, 0, (size_t)(2 * rows * classes) * sizeof(float));
#pragma omp parallel for schedule(dynamic, 1)
    for (int64_t chunk = 0; chunk < chunk_count(sequences); chunk++) {
        float *room = (float *)workspace + (size_t)chunk * chunk_floats(classes, 0);
        for (int64_t s = chunk * CHUNK; s < berth_min(sequences, (chunk + 1) * CHUNK); s++) {
            const struct chain all = chain_of(logits, transitions, start, end, NULL, cu_items, s, classes);
            const struct chain agreeing =
                chain_of(logits, transitions, start, end, labels, cu_items, s, classes);
            const int64_t first = cu_items[s];
            if (all.words == 0) continue;
            const double whole = chain_forward(&all, alpha + first * classes, room, room + classes);
            const double part =
                chain_forward(&agreeing, alpha + (rows + first) * classes, room, room + classes);
            loss[first] = (float)(whole - part);
        }
    }
    return BERTH_CPU_OK;
}

static void add_parts(float *to, const float *workspace, int64_t chunks, size_t stride, size_t offset,
                      int64_t n) {
    if (to == NULL) return;
#pragma omp parallel for schedule(static) if (n * chunks > 65536)
    for (int64_t i = 0; i < n; i++) {
        float sum = 0;
        for (int64_t chunk = 0; chunk < chunks; chunk++)
            sum += workspace[(size_t)chunk * stride + offset + (size_t)i];
        to[i] += sum;
    }
}

static int crf_backward(void *dlogits, float *dtransitions, float *dstart, float *dend, const float *dloss,
                        const void *logits, const float *alpha, const float *transitions, const float *start,
                        const float *end, const int32_t *labels, const int32_t *cu_items, void *workspace,
                        int64_t rows, int64_t sequences, int64_t classes, enum berth_dtype dtype,
                        berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32) return BERTH_CPU_E_DTYPE;
    const size_t stride = chunk_floats(classes, 1), offset = 3 * (size_t)classes;
    const size_t square = (size_t)(classes * classes);
    const bool wants = dtransitions != NULL || dstart != NULL || dend != NULL;
    memset(dlogits, 0, (size_t)(rows * classes) * sizeof(float));
#pragma omp parallel for schedule(dynamic, 1)
    for (int64_t chunk = 0; chunk < chunk_count(sequences); chunk++) {
        float *room = (float *)workspace + (size_t)chunk * stride, *part = room + offset;
        memset(part, 0, (square + 2 * (size_t)classes) * sizeof(float));
        for (int64_t s = chunk * CHUNK; s < berth_min(sequences, (chunk + 1) * CHUNK); s++) {
            const int64_t first = cu_items[s];
            const struct chain_gradient g = {.dz = (float *)dlogits + first * classes,
                                             .dtransitions = wants ? part : NULL,
                                             .dstart = wants ? part + square : NULL,
                                             .dend = wants ? part + square + classes : NULL};
            const struct chain all = chain_of(logits, transitions, start, end, NULL, cu_items, s, classes);
            const struct chain agreeing =
                chain_of(logits, transitions, start, end, labels, cu_items, s, classes);
            if (all.words == 0) continue;
            chain_backward(&all, alpha + first * classes, &g, dloss[first], room, room + classes,
                           room + 2 * classes);
            chain_backward(&agreeing, alpha + (rows + first) * classes, &g, -dloss[first], room, room + classes,
                           room + 2 * classes);
        }
    }
    add_parts(dtransitions, workspace, chunk_count(sequences), stride, offset, (int64_t)square);
    add_parts(dstart, workspace, chunk_count(sequences), stride, offset + square, classes);
    add_parts(dend, workspace, chunk_count(sequences), stride, offset + square + (size_t)classes, classes);
    return BERTH_CPU_OK;
}

/* ------------------------------------------------------------------ the best path
 *
 *     d_0(j) = start(j) + z(0, j)     d_t(j) = z(t, j) + max_i (d_{t-1}(i) + T(i, j))     best: d_last(j) +
 * end(j)
 *
 * workspace: where each tag of each word came from [R, K]; d [2, K] in double of each sequence. */

static size_t came_from_bytes(int64_t rows, int64_t classes) {
    return ((size_t)(rows * classes) * sizeof(int32_t) + 63) / 64 * 64;
}

static size_t viterbi_workspace(int64_t rows, int64_t sequences, int64_t classes) {
    return came_from_bytes(rows, classes) + (size_t)(2 * sequences * classes) * sizeof(double);
}

static void best_path(int32_t *path, const struct chain *c, int64_t k, int32_t *from, double *room) {
    double *before = room, *now = room + k;
    int64_t best = 0;
    for (int64_t j = 0; j < k; j++)
        now[j] = (double)c->start[j] + (double)c->z[j];
    for (int64_t t = 1; t < c->words; t++) {
        double *swap = before;
        before = now;
        now = swap;
        for (int64_t j = 0; j < k; j++) {
            double most = before[0] + (double)c->transitions[j];
            int32_t origin = 0;
            for (int64_t i = 1; i < k; i++) {
                const double score = before[i] + (double)c->transitions[i * k + j];
                if (score > most) most = score, origin = (int32_t)i;
            }
            now[j] = most + (double)c->z[t * k + j];
            from[t * k + j] = origin;
        }
    }
    for (int64_t j = 0; j < k; j++) {
        now[j] += (double)c->end[j];
        if (now[j] > now[best]) best = j;
    }
    if (!(now[best] > -(double)INFINITY)) return;
    for (int64_t t = c->words - 1; t >= 0; t--) {
        path[t] = (int32_t)best;
        best = from[t * k + best];
    }
}

static int viterbi(int32_t *path, const void *logits, const float *transitions, const float *start,
                   const float *end, const int32_t *cu_items, void *workspace, int64_t rows, int64_t sequences,
                   int64_t classes, enum berth_dtype dtype, berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32) return BERTH_CPU_E_DTYPE;
    double *room = (double *)(void *)((char *)workspace + came_from_bytes(rows, classes));
#pragma omp parallel for schedule(dynamic, 1)
    for (int64_t s = 0; s < sequences; s++) {
        const struct chain all = chain_of(logits, transitions, start, end, NULL, cu_items, s, classes);
        if (all.words > 0)
            best_path(path + cu_items[s], &all, classes, (int32_t *)workspace + cu_items[s] * classes,
                      room + 2 * s * classes);
    }
    return BERTH_CPU_OK;
}

void BERTH_CPU_TABLE(crf)(struct berth_ops *ops) {
    ops->viterbi_workspace = viterbi_workspace;
    ops->viterbi = viterbi;
    ops->crf_workspace = crf_workspace;
    ops->crf_forward = crf_forward;
    ops->crf_backward = crf_backward;
}
