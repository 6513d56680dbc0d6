/* crf.cu: linear-chain conditional random field; formulas in crf.c.
 *
 * A sequence belongs to a block: forward two warps (all paths; those that agree with the labels), backward one
 * warp that does both in turn, since both go into the same gradient. A lane has the tags lane, lane + 32, ...
 * always; a word's messages lie in shared memory for the next word. Messages are kept with their maximum at 0,
 * what is taken out is added up in double. Each sequence leaves its own part of the tables' gradients, and the
 * parts are added in the order of the sequences. */
#include "column_sums.cuh"

enum { MOST_TAGS = 2048, FORWARD_THREADS = 2 * WARP };

struct crf_tables {
    const float *transitions, *start, *end;
    const int32_t *labels, *cu_items;
    int64_t rows;
    int classes;
};

/* One sequence; limited: paths that agree with the labels. */
template <class T> struct chain {
    const T *z;
    const int32_t *labels; /* NULL: all paths */
    int words;
};

struct tag_range {
    int low, high;
};

/* The tags of a range that are this lane's: always the same lane for a tag, whatever the range. */
#define EACH_TAG(j, r, lane) for (int j = (r).low + (((lane) - (r).low) & (WARP - 1)); j < (r).high; j += WARP)

template <class T>
static __device__ __forceinline__ chain<T> chain_of(const T *logits, const crf_tables &c, bool limited) {
    const int64_t first = c.cu_items[blockIdx.x];
    return chain<T>{logits + first * c.classes, limited ? c.labels + first : nullptr,
                    (int)(c.cu_items[blockIdx.x + 1] - first)};
}

template <class T>
static __device__ __forceinline__ tag_range range_of(const chain<T> &s, const crf_tables &c, int t) {
    const bool fixed = s.labels != nullptr && s.labels[t] >= 0;
    return fixed ? tag_range{s.labels[t], s.labels[t] + 1} : tag_range{0, c.classes};
}

/* log Σ e^x(j) over the tags of a range, by the warp */
template <class X> static __device__ __forceinline__ double warp_log_sum(const tag_range &r, int lane, X x) {
    float top = -INFINITY, sum = 0.0f;
    EACH_TAG (j, r, lane) {
        top = fmaxf(top, x(j));
    }
    top = warp_max(top);
    EACH_TAG (j, r, lane) {
        sum += expf(x(j) - top);
    }
    return (double)top + log((double)warp_sum(sum));
}

/* Takes the largest of x out of it, and returns it. x is in shared memory; the lane's own tags only. */
static __device__ __forceinline__ double settle(float *x, const tag_range &r, int lane) {
    float top = -INFINITY;
    EACH_TAG (j, r, lane) {
        top = fmaxf(top, x[j]);
    }
    top = warp_max(top);
    EACH_TAG (j, r, lane) {
        x[j] -= top;
    }
    return (double)top;
}

/* A word's messages to memory, zeros for the tags it may not have; then visible to the other lanes. */
static __device__ __forceinline__ void keep_messages(float *alpha, const float *now, const tag_range &r,
                                                     int classes, int lane) {
    for (int j = lane; j < classes; j += WARP)
        alpha[j] = j >= r.low && j < r.high ? now[j] : 0.0f;
    __syncwarp();
}

/* log Σ over the paths of e^score; messages to alpha [words, K]. room: 2 K floats of shared memory of this
 * warp. */
template <class T>
static __device__ __forceinline__ double chain_forward(const chain<T> &s, const crf_tables &c, float *alpha,
                                                       float *room, int lane) {
    const int k = c.classes;
    float *before = room, *now = room + k;
    tag_range r = range_of(s, c, 0);
    EACH_TAG (j, r, lane) {
        now[j] = c.start[j] + to_float(s.z[j]);
    }
    double total = settle(now, r, lane);
    keep_messages(alpha, now, r, k, lane);
    for (int t = 1; t < s.words; t++) {
        float *swap = before;
        before = now;
        now = swap;
        const tag_range from = r;
        r = range_of(s, c, t);
        EACH_TAG (j, r, lane) {
            float top = -INFINITY, sum = 0.0f;
            for (int i = from.low; i < from.high; i++)
                top = fmaxf(top, before[i] + c.transitions[i * k + j]);
            for (int i = from.low; i < from.high; i++)
                sum += expf(before[i] + c.transitions[i * k + j] - top);
            now[j] = top + logf(sum) + to_float(s.z[(int64_t)t * k + j]);
        }
        total += settle(now, r, lane);
        keep_messages(alpha + (int64_t)t * k, now, r, k, lane);
    }
    return total + warp_log_sum(r, lane, [&](int j) { return now[j] + c.end[j]; });
}

template <class T>
static __global__ void __launch_bounds__(FORWARD_THREADS)
    crf_forward_kernel(float *loss, float *alpha, const T *logits, crf_tables c) {
    BERTH_DYNAMIC_SHARED(float, room);
    BERTH_SHARED(double, sums, [2]);
    const int lane = (int)threadIdx.x % WARP, limited = (int)threadIdx.x / WARP;
    const chain<T> s = chain_of(logits, c, limited != 0);
    const int64_t first = c.cu_items[blockIdx.x];
    if (s.words == 0) return; /* the whole block */
    const double sum = chain_forward(s, c, alpha + (limited * c.rows + first) * c.classes,
                                     room + limited * 2 * c.classes, lane);
    if (lane == 0) sums[limited] = sum;
    __syncthreads();
    for (int t = (int)threadIdx.x; t < s.words; t += FORWARD_THREADS)
        loss[first + t] = t == 0 ? (float)(sums[0] - sums[1]) : 0.0f;
}

/* ------------------------------------------------------------------ backward */

template <class T> struct chain_gradient {
    T *dz;                               /* written by the second pass */
    float *first;                        /* [words, K] what the first pass gives to dz */
    float *dtransitions, *dstart, *dend; /* this sequence's parts */
    bool second;
};

/* factor p(j) of a word's tags to first, or with what stands there to dz; also[j] += the same. */
template <class T>
static __device__ __forceinline__ void add_marginals(const chain_gradient<T> &g, float *also, int t,
                                                     const float *alpha, const float *beta, const tag_range &r,
                                                     int classes, float factor, int lane) {
    const float norm = (float)warp_log_sum(r, lane, [&](int j) { return alpha[j] + beta[j]; });
    for (int j = lane; j < classes; j += WARP) {
        const bool inside = j >= r.low && j < r.high;
        const float p = inside ? factor * expf(alpha[j] + beta[j] - norm) : 0.0f;
        float *first = g.first + (int64_t)t * classes + j;
        if (g.second)
            from_float(g.dz + (int64_t)t * classes + j, *first + p);
        else
            *first = p;
        if (also != nullptr && inside) also[j] += p;
    }
}

/* room: 4 K floats: beta of this word and of the next, z + beta of this word, alpha of the word before less its
 * norm */
template <class T>
static __device__ __forceinline__ void chain_backward(const chain<T> &s, const crf_tables &c,
                                                      const float *alpha, const chain_gradient<T> &g,
                                                      float factor, float *room, int lane) {
    const int k = c.classes;
    float *beta = room, *next = room + k, *ahead = room + 2 * k, *behind = room + 3 * k;
    for (int j = lane; j < k; j += WARP)
        beta[j] = c.end[j];
    __syncwarp();
    for (int t = s.words - 1; t >= 0; t--) {
        const tag_range r = range_of(s, c, t);
        add_marginals(g, t == s.words - 1 ? g.dend : nullptr, t, alpha + (int64_t)t * k, beta, r, k, factor,
                      lane);
        if (t == 0) break;
        const float *before = alpha + (int64_t)(t - 1) * k;
        const tag_range from = range_of(s, c, t - 1);
        EACH_TAG (j, r, lane) {
            ahead[j] = to_float(s.z[(int64_t)t * k + j]) + beta[j];
        }
        __syncwarp();
        EACH_TAG (i, from, lane) {
            const float *row = c.transitions + i * k;
            float top = -INFINITY, sum = 0.0f;
            for (int j = r.low; j < r.high; j++)
                top = fmaxf(top, row[j] + ahead[j]);
            for (int j = r.low; j < r.high; j++)
                sum += expf(row[j] + ahead[j] - top);
            next[i] = top + logf(sum);
        }
        const float norm = (float)warp_log_sum(from, lane, [&](int i) { return before[i] + next[i]; });
        EACH_TAG (i, from, lane) {
            behind[i] = before[i] - norm;
        }
        __syncwarp();
        for (int i = from.low; i < from.high; i++)
            EACH_TAG (j, r, lane) {
                g.dtransitions[i * k + j] += factor * expf(behind[i] + c.transitions[i * k + j] + ahead[j]);
            }
        settle(next, from, lane);
        float *swap = beta;
        beta = next;
        next = swap;
        __syncwarp();
    }
    const tag_range r = range_of(s, c, 0); /* beta is that of the first word now */
    const float norm = (float)warp_log_sum(r, lane, [&](int j) { return alpha[j] + beta[j]; });
    EACH_TAG (j, r, lane) {
        g.dstart[j] += factor * expf(alpha[j] + beta[j] - norm);
    }
}

static __host__ __device__ __forceinline__ int64_t part_floats(int64_t classes) {
    return classes * classes + 2 * classes;
}

template <class T>
static __global__ void __launch_bounds__(WARP)
    crf_backward_kernel(T *dlogits, float *parts, float *marginals, const float *dloss, const T *logits,
                        const float *alpha, crf_tables c) {
    BERTH_DYNAMIC_SHARED(float, room);
    const int lane = (int)threadIdx.x;
    const int64_t first = c.cu_items[blockIdx.x], k = c.classes;
    float *part = parts + (int64_t)blockIdx.x * part_floats(k);
    const chain<T> all = chain_of(logits, c, false), agreeing = chain_of(logits, c, true);
    for (int64_t i = lane; i < part_floats(k); i += WARP)
        part[i] = 0.0f;
    __syncwarp();
    if (all.words == 0) return;
    chain_gradient<T> g = {dlogits + first * k, marginals + first * k, part,
                           part + k * k,        part + k * k + k,      false};
    const float factor = dloss[first];
    chain_backward(all, c, alpha + first * k, g, factor, room, lane);
    __syncwarp();
    g.second = true;
    chain_backward(agreeing, c, alpha + (c.rows + first) * k, g, -factor, room, lane);
}

/* ------------------------------------------------------------------ launchers */

static size_t crf_workspace(int64_t rows, int64_t sequences, int64_t classes, int backward) {
    return backward ? (size_t)(sequences * part_floats(classes) + rows * classes) * sizeof(float) : 0;
}

static int check(int64_t classes, enum berth_dtype dtype) {
    if (dtype != BERTH_F32 && dtype != BERTH_BF16) return BERTH_CUDA_E_DTYPE;
    return classes > MOST_TAGS ? BERTH_CUDA_E_SHAPE : BERTH_CUDA_OK;
}

static int crf_forward(float *loss, float *alpha, const void *logits, const float *transitions,
                       const float *start, const float *end, const int32_t *labels, const int32_t *cu_items,
                       void *workspace, int64_t rows, int64_t sequences, int64_t classes,
                       enum berth_dtype dtype, berth_stream *stream) {
    const crf_tables c = {transitions, start, end, labels, cu_items, rows, (int)classes};
    const size_t bytes = (size_t)(4 * classes) * sizeof(float);
    const int error = check(classes, dtype);
    (void)workspace;
    if (error != 0 || rows == 0) return error;
    if (dtype == BERTH_F32)
        return launch(crf_forward_kernel<float>, dim3((unsigned)sequences), dim3(FORWARD_THREADS), bytes,
                      stream, loss, alpha, (const float *)logits, c);
    return launch(crf_forward_kernel<bf16>, dim3((unsigned)sequences), dim3(FORWARD_THREADS), bytes, stream,
                  loss, alpha, (const bf16 *)logits, c);
}

/* to += Σ parts, `count` floats from `offset` of each sequence's part */
static int add_table(float *to, const float *parts, int64_t offset, int64_t count, int64_t sequences,
                     int64_t classes, berth_stream *stream) {
    if (to == nullptr) return BERTH_CUDA_OK;
    return sum_parts(to, parts + offset, sequences, part_floats(classes), count, 1, stream);
}

static int crf_backward(void *dlogits, float *dtransitions, float *dstart, float *dend, const float *dloss,
                        const void *logits, const float *alpha, const float *transitions, const float *start,
                        const float *end, const int32_t *labels, const int32_t *cu_items, void *workspace,
                        int64_t rows, int64_t sequences, int64_t classes, enum berth_dtype dtype,
                        berth_stream *stream) {
    const crf_tables c = {transitions, start, end, labels, cu_items, rows, (int)classes};
    const size_t bytes = (size_t)(4 * classes) * sizeof(float);
    const int64_t square = classes * classes;
    float *parts = (float *)workspace, *marginals = parts + sequences * part_floats(classes);
    int error = check(classes, dtype);
    if (error != 0 || rows == 0) return error;
    error = dtype == BERTH_F32
                ? launch(crf_backward_kernel<float>, dim3((unsigned)sequences), dim3(WARP), bytes, stream,
                         (float *)dlogits, parts, marginals, dloss, (const float *)logits, alpha, c)
                : launch(crf_backward_kernel<bf16>, dim3((unsigned)sequences), dim3(WARP), bytes, stream,
                         (bf16 *)dlogits, parts, marginals, dloss, (const bf16 *)logits, alpha, c);
    if (error == 0) error = add_table(dtransitions, parts, 0, square, sequences, classes, stream);
    if (error == 0) error = add_table(dstart, parts, square, classes, sequences, classes, stream);
    if (error == 0) error = add_table(dend, parts, square + classes, classes, sequences, classes, stream);
    return error;
}

/* ------------------------------------------------------------------ the best path; formulas in crf.c
 *
 * A block a sequence, a thread its tags; d of two words in shared memory, in double, so the path is the host's.
 */

enum { PATH_THREADS = 128 };

/* NOTE: without a number of blocks ptxas takes 32 registers and spills. */
template <class T>
static __global__ void __launch_bounds__(PATH_THREADS, 8)
    viterbi_kernel(int32_t *path, int32_t *came_from, const T *logits, crf_tables c) {
    BERTH_DYNAMIC_SHARED(double, room);
    const chain<T> s = chain_of(logits, c, false);
    const int64_t first = c.cu_items[blockIdx.x];
    int32_t *from = came_from + first * c.classes;
    const int k = c.classes;
    double *before = room, *now = room + k;
    if (s.words == 0) return; /* the whole block */
    for (int j = (int)threadIdx.x; j < k; j += PATH_THREADS)
        now[j] = (double)c.start[j] + (double)to_float(s.z[j]);
    for (int t = 1; t < s.words; t++) {
        double *swap = before;
        before = now;
        now = swap;
        __syncthreads(); /* before is whole */
        for (int j = (int)threadIdx.x; j < k; j += PATH_THREADS) {
            double most = before[0] + (double)c.transitions[j];
            int origin = 0;
            for (int i = 1; i < k; i++) {
                const double score = before[i] + (double)c.transitions[(int64_t)i * k + j];
                if (score > most) most = score, origin = i;
            }
            now[j] = most + (double)to_float(s.z[(int64_t)t * k + j]);
            from[(int64_t)t * k + j] = origin;
        }
    }
    __syncthreads();
    if (threadIdx.x != 0) return;
    int best = 0;
    double most = now[0] + (double)c.end[0];
    for (int j = 1; j < k; j++) {
        const double score = now[j] + (double)c.end[j];
        if (score > most) most = score, best = j;
    }
    if (!(most > -(double)INFINITY)) return;
    for (int t = s.words - 1; t >= 0; t--) {
        path[first + t] = best;
        if (t > 0) best = from[(int64_t)t * k + best];
    }
}

static size_t viterbi_workspace(int64_t rows, int64_t sequences, int64_t classes) {
    (void)sequences;
    return (size_t)(rows * classes) * sizeof(int32_t);
}

static int viterbi(int32_t *path, const void *logits, const float *transitions, const float *start,
                   const float *end, const int32_t *cu_items, void *workspace, int64_t rows, int64_t sequences,
                   int64_t classes, enum berth_dtype dtype, berth_stream *stream) {
    const crf_tables c = {transitions, start, end, nullptr, cu_items, rows, (int)classes};
    const size_t bytes = (size_t)(2 * classes) * sizeof(double);
    if (dtype != BERTH_F32 && dtype != BERTH_BF16) return BERTH_CUDA_E_DTYPE;
    if (classes > MOST_TAGS) return BERTH_CUDA_E_SHAPE;
    if (sequences == 0 || rows == 0) return BERTH_CUDA_OK;
    const dim3 grid((unsigned)sequences), block(PATH_THREADS);
    if (dtype == BERTH_F32)
        return launch(viterbi_kernel<float>, grid, block, bytes, stream, path, (int32_t *)workspace,
                      (const float *)logits, c);
    return launch(viterbi_kernel<bf16>, grid, block, bytes, stream, path, (int32_t *)workspace,
                  (const bf16 *)logits, c);
}

BERTH_CUDA_TABLE(crf)(struct berth_ops *ops) {
    ops->viterbi_workspace = viterbi_workspace;
    ops->viterbi = viterbi;
    ops->crf_workspace = crf_workspace;
    ops->crf_forward = crf_forward;
    ops->crf_backward = crf_backward;
}
