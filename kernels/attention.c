/* attention.c: softmax attention within each sequence, forward and backward.
 *
 *     S = scale Q Kᵀ      lse = log Σ_j e^S        P = e^(S - lse)        out = (P ∘ M) V
 *     M: dropout, 0 or 1/share kept, by (head, query, key)
 *
 *     dP~ = dout Vᵀ       delta = Σ_d dout out     dS = P ∘ (M ∘ dP~ - delta)
 *     dQ = scale dS K     dK = scale dSᵀ Q         dV = (P ∘ M)ᵀ dout
 *
 * A work item is one (sequence, head): its K and V (a few hundred KiB at 512 tokens) are packed once, K
 * transposed, so that every product runs over contiguous rows in cache. Queries are taken QUERIES at a time and
 * whole rows of scores are held for those, so the softmax is the plain one; nothing of size length² is stored.
 * Backward recomputes P from lse (Dao et al., arXiv 2205.14135). Products: tile.h. A result depends on its
 * own sequence alone, not on the others of the batch, on threads, or on where it lies. */
#include <math.h>
#include <omp.h>

#include "tile.h"

#define QUERIES 48 /* rows of scores held at a time; a multiple of TILE_ROWS */

/* One (sequence, head): where its rows are. */
struct item {
    int64_t first, length; /* rows of the packed arrays */
    int64_t sequence, head;
};

struct sizes {
    int64_t heads, head_size;
    int64_t row, part, out_row; /* floats between tokens of qkv, from q to k to v, between tokens of out */
    int64_t padded;             /* head_size rounded up to a vector */
    float scale;
    const struct berth_dropout *dropout; /* NULL: none */
};

/* A thread's scratch, carved for the longest length n: np, dp rounded up to a vector.
 * Forward uses kt, v, scores, rows, halves, word0. */
struct scratch {
    float *kt;       /* [D, np] Kᵀ */
    float *vt;       /* [D, np] Vᵀ; backward */
    float *k, *v;    /* [n, dp]; k in backward, v in forward */
    float *dk, *dv;  /* [n, dp]; backward */
    float *scores;   /* [QUERIES, np] S, then P */
    float *dscores;  /* [QUERIES, np] dP, then dS; backward */
    float *rows;     /* [QUERIES, dp] product rows */
    float *q, *dout; /* [QUERIES, dp]; backward */
    float
        *wide; /* bf16: an item's rows in float, [n, 3, D]; backward also dout and out [n, D], dqkv [n, 3, D] */
    uint16_t *halves; /* [QUERIES, key blocks * 8] */
    uint32_t *word0;  /* [QUERIES, key blocks] */
};

/* Blocks of eight decisions a query, to whole vectors of scores. */
static int64_t key_blocks(int64_t length) {
    return (berth_round_up(length, BERTH_VEC) + 7) / 8;
}

/* Gives the next `count` floats of *at, kept on 64-byte lines; with base NULL only counts. */
static float *carve(float *base, int64_t *at, int64_t count) {
    float *out = base == NULL ? NULL : base + *at;
    *at += berth_round_up(count, 16);
    return out;
}

/* Lays out a scratch at base (or NULL to measure); returns its floats. */
static int64_t scratch_carve(struct scratch *s, float *base, int64_t length, int64_t head_size, int backward) {
    const int64_t np = berth_round_up(length, BERTH_VEC), dp = berth_round_up(head_size, BERTH_VEC);
    const int64_t blocks = berth_round_up(QUERIES * key_blocks(length), BERTH_DROPOUT_UNIT);
    int64_t at = 0;
    memset(s, 0, sizeof *s);
    s->kt = carve(base, &at, head_size * np);
    s->scores = carve(base, &at, QUERIES * np);
    s->rows = carve(base, &at, QUERIES * dp);
    s->halves = (uint16_t *)(void *)carve(base, &at, blocks * 4);
    s->word0 = (uint32_t *)(void *)carve(base, &at, blocks);
    s->wide = carve(base, &at, length * head_size * (backward ? 8 : 4));
    if (!backward) {
        s->v = carve(base, &at, length * dp);
        return at;
    }
    s->vt = carve(base, &at, head_size * np);
    s->k = carve(base, &at, length * dp);
    s->dk = carve(base, &at, length * dp);
    s->dv = carve(base, &at, length * dp);
    s->dscores = carve(base, &at, QUERIES * np);
    s->q = carve(base, &at, QUERIES * dp);
    s->dout = carve(base, &at, QUERIES * dp);
    return at;
}

static size_t attention_workspace(int64_t tokens, int64_t sequences, int64_t max_length, int64_t heads,
                                  int64_t head_size, int backward) {
    (void)tokens, (void)sequences, (void)heads;
    struct scratch unused;
    return (size_t)(scratch_carve(&unused, NULL, max_length, head_size, backward) * omp_get_max_threads()) *
           sizeof(float);
}

/* Draws the decisions of queries [first, first + count) against all keys: halves[q, blocks * 8]. */
static void draw_masks(struct scratch *s, const struct sizes *z, const struct item *it, int64_t first,
                       int64_t count) {
    const int64_t blocks = key_blocks(it->length), total = count * blocks;
    uint32_t *word = s->word0;
    for (int64_t q = first; q < first + count; q++)
        for (int64_t block = 0; block < blocks; block++)
            *word++ = ((uint32_t)q << 16) | ((uint32_t)block & 0xFFFFu);
    for (int64_t i = total; i < berth_round_up(total, BERTH_DROPOUT_UNIT); i++)
        *word++ = 0;
    berth_dropout_draw(s->halves, s->word0, total, z->dropout, (uint32_t)z->dropout->ordinal[it->sequence],
                       (uint32_t)it->head);
}

/* Rows of scores are read to a whole number of vectors, so no loop has a slow end: the columns behind the last
 * key hold LOWEST before the softmax and zeros after it. */
#define LOWEST (-3e38f)

static inline void pad_scores(float *s, int64_t n, int64_t np) {
    for (int64_t j = n; j < np; j++)
        s[j] = LOWEST;
}

/* s[np] raw products -> e^(scale s - top), dropped where half says so; *sum before dropping; returns top */
static float softmax_row(float *s, int64_t np, float scale, const uint16_t *half, uint32_t threshold,
                         float *sum) {
    np &= -(int64_t)BERTH_VEC; /* says so to the compiler */
    float top = LOWEST;
#pragma omp simd reduction(max : top)
    for (int64_t j = 0; j < np; j++)
        top = s[j] > top ? s[j] : top;
    top *= scale;
#pragma omp simd
    for (int64_t j = 0; j < np; j++)
        s[j] = berth_exp(scale * s[j] - top);
    berth_vec total = {0};
    for (int64_t j = 0; j < np; j += BERTH_VEC)
        total += vec_load(s + j);
    *sum = vec_sum(total);
    if (half == NULL) return top;
#pragma omp simd
    for (int64_t j = 0; j < np; j++)
        s[j] = half[j] >= threshold ? s[j] : 0.0f;
    return top;
}

/* out, lse and q at the item's first row; rows of q, k and v lie z->row apart, theirs z->out_row. */
static void forward_item(float *out, float *lse, const float *q, struct scratch *s, const struct sizes *z,
                         const struct item *it) {
    const int64_t n = it->length, np = berth_round_up(n, BERTH_VEC), dp = z->padded, d = z->head_size;
    const int64_t mask_row = key_blocks(n) * 8;
    const float *k = q + z->part, *v = k + z->part;
    const uint32_t threshold = z->dropout == NULL ? 0 : z->dropout->threshold;
    const float keep = z->dropout == NULL ? 1.0f : berth_dropout_scale(threshold);
    float top[QUERIES] = {0}, sum[QUERIES], log_sum[QUERIES];
    for (int64_t r = 0; r < QUERIES; r++)
        sum[r] = 1;
    tile_transpose(s->kt, k, z->row, n, d);
    tile_pack(s->v, v, z->row, n, d);
    for (int64_t first = 0; first < n; first += QUERIES) {
        const int64_t count = berth_min(QUERIES, n - first);
        tile_product(s->scores, np, q + first * z->row, z->row, 1, s->kt, np, count, np, d, 0);
        if (z->dropout != NULL) draw_masks(s, z, it, first, count);
        for (int64_t r = 0; r < count; r++) {
            pad_scores(s->scores + r * np, n, np);
            top[r] = softmax_row(s->scores + r * np, np, z->scale,
                                 z->dropout == NULL ? NULL : s->halves + r * mask_row, threshold, &sum[r]);
        }
        for (int64_t r = 0; r < QUERIES; r++) /* rows beyond count hold older values, or ones */
            log_sum[r] = top[r] + berth_log(sum[r]);
        tile_product(s->rows, dp, s->scores, np, 1, s->v, dp, count, dp, n, 0);
        for (int64_t r = 0; r < count; r++) {
            float *to = out + (first + r) * z->out_row;
            const float share = keep / sum[r];
            for (int64_t j = 0; j < d; j++)
                to[j] = s->rows[r * dp + j] * share;
            if (lse != NULL) lse[(first + r) * z->heads] = log_sum[r];
        }
    }
}

/* Raw products s and dP~ of one query row, np of each -> P ∘ M in s, scale dS in ds. Columns behind the last
 * key give values that no product reads. */
static void backward_row(float *s, float *ds, const uint16_t *half, int64_t np, float scale, float lse,
                         float delta, uint32_t threshold, float keep) {
    np &= -(int64_t)BERTH_VEC; /* says so to the compiler */
    if (half == NULL) {
#pragma omp simd
        for (int64_t j = 0; j < np; j++) {
            const float p = berth_exp(scale * s[j] - lse);
            s[j] = p;
            ds[j] = scale * p * (ds[j] - delta);
        }
        return;
    }
#pragma omp simd
    for (int64_t j = 0; j < np; j++) {
        const float p = berth_exp(scale * s[j] - lse);
        const float mask = half[j] >= threshold ? keep : 0.0f;
        s[j] = p * mask;
        ds[j] = scale * p * (mask * ds[j] - delta);
    }
}

static float dot_row(const float *a, const float *b, int64_t n) {
    const int64_t whole = n & -(int64_t)BERTH_VEC;
    berth_vec total = {0};
    for (int64_t j = 0; j < whole; j += BERTH_VEC)
        total += vec_load(a + j) * vec_load(b + j);
    float sum = vec_sum(total);
    for (int64_t j = whole; j < n; j++)
        sum += a[j] * b[j];
    return sum;
}

/* Queries [first, first + count) of one item: their dQ, and their share of dK and dV. */
static void backward_queries(float *dq, const float *q, const float *dout, const float *out, const float *lse,
                             struct scratch *s, const struct sizes *z, const struct item *it, int64_t first,
                             int64_t count) {
    const int64_t n = it->length, np = berth_round_up(n, BERTH_VEC), dp = z->padded, d = z->head_size;
    const int64_t width = z->out_row, mask_row = key_blocks(n) * 8;
    const uint32_t threshold = z->dropout == NULL ? 0 : z->dropout->threshold;
    const float keep = z->dropout == NULL ? 1.0f : berth_dropout_scale(threshold);
    tile_pack(s->q, q + first * z->row, z->row, count, d);
    tile_pack(s->dout, dout + first * width, width, count, d);
    tile_product(s->scores, np, s->q, dp, 1, s->kt, np, count, np, d, 0);
    tile_product(s->dscores, np, s->dout, dp, 1, s->vt, np, count, np, d, 0);
    if (z->dropout != NULL) draw_masks(s, z, it, first, count);
    for (int64_t r = 0; r < count; r++) {
        const float delta = dot_row(s->dout + r * dp, out + (first + r) * width, d);
        backward_row(s->scores + r * np, s->dscores + r * np,
                     z->dropout == NULL ? NULL : s->halves + r * mask_row, np, z->scale,
                     lse[(first + r) * z->heads], delta, threshold, keep);
    }
    tile_product(s->rows, dp, s->dscores, np, 1, s->k, dp, count, dp, n, 0);
    for (int64_t r = 0; r < count; r++)
        memcpy(dq + (first + r) * z->row, s->rows + r * dp, (size_t)d * sizeof(float));
    tile_product(s->dv, dp, s->scores, 1, np, s->dout, dp, n, dp, count, first > 0);
    tile_product(s->dk, dp, s->dscores, 1, np, s->q, dp, n, dp, count, first > 0);
}

/* All at the item's first row, dqkv laid out as q. */
static void backward_item(float *dqkv, const float *dout, const float *q, const float *out, const float *lse,
                          struct scratch *s, const struct sizes *z, const struct item *it) {
    const int64_t n = it->length, d = z->head_size;
    tile_transpose(s->kt, q + z->part, z->row, n, d);
    tile_transpose(s->vt, q + 2 * z->part, z->row, n, d);
    tile_pack(s->k, q + z->part, z->row, n, d);
    for (int64_t first = 0; first < n; first += QUERIES)
        backward_queries(dqkv, q, dout, out, lse, s, z, it, first, berth_min(QUERIES, n - first));
    for (int64_t t = 0; t < n; t++) {
        float *to = dqkv + t * z->row;
        memcpy(to + z->part, s->dk + t * z->padded, (size_t)d * sizeof(float));
        memcpy(to + 2 * z->part, s->dv + t * z->padded, (size_t)d * sizeof(float));
    }
}

/* ------------------------------------------------------------------ bf16: the item's rows in float and back */

/* to [n, parts, D] = the item's rows of x [T, parts, A, D] */
static void widen_item(float *to, const uint16_t *x, const struct sizes *z, const struct item *it,
                       int64_t parts) {
    const int64_t d = z->head_size, width = z->heads * d;
    for (int64_t t = 0; t < it->length; t++)
        for (int64_t part = 0; part < parts; part++)
            berth_widen(to + (t * parts + part) * d,
                        x + ((it->first + t) * parts + part) * width + it->head * d, d, 1);
}

static void narrow_item(uint16_t *x, const float *from, const struct sizes *z, const struct item *it,
                        int64_t parts) {
    const int64_t d = z->head_size, width = z->heads * d;
    for (int64_t t = 0; t < it->length; t++)
        for (int64_t part = 0; part < parts; part++)
            berth_narrow(x + ((it->first + t) * parts + part) * width + it->head * d,
                         from + (t * parts + part) * d, d, 1);
}

static void forward_any(void *out, float *lse, const void *qkv, struct scratch *s, const struct sizes *z,
                        const struct item *it, int half) {
    const int64_t d = z->head_size, width = z->heads * d;
    if (lse != NULL) lse += it->first * z->heads + it->head;
    if (!half) {
        forward_item((float *)out + it->first * width + it->head * d, lse,
                     (const float *)qkv + it->first * 3 * width + it->head * d, s, z, it);
        return;
    }
    float *wide_out = s->wide + it->length * 3 * d;
    widen_item(s->wide, qkv, z, it, 3);
    forward_item(wide_out, lse, s->wide, s, z, it);
    narrow_item(out, wide_out, z, it, 1);
}

static void backward_any(void *dqkv, const void *dout, const void *qkv, const void *out, const float *lse,
                         struct scratch *s, const struct sizes *z, const struct item *it, int half) {
    const int64_t n = it->length, d = z->head_size, width = z->heads * d;
    const int64_t at = it->first * 3 * width + it->head * d, row = it->first * width + it->head * d;
    lse += it->first * z->heads + it->head;
    if (!half) {
        backward_item((float *)dqkv + at, (const float *)dout + row, (const float *)qkv + at,
                      (const float *)out + row, lse, s, z, it);
        return;
    }
    float *wide_dout = s->wide + n * 3 * d, *wide_out = wide_dout + n * d, *wide_dqkv = wide_out + n * d;
    widen_item(s->wide, qkv, z, it, 3);
    widen_item(wide_dout, dout, z, it, 1);
    widen_item(wide_out, out, z, it, 1);
    backward_item(wide_dqkv, wide_dout, s->wide, wide_out, lse, s, z, it);
    narrow_item(dqkv, wide_dqkv, z, it, 3);
}

static struct item item_of(int64_t index, const int32_t *cu_seqlens, int64_t heads) {
    const int64_t b = index / heads;
    return (struct item){cu_seqlens[b], cu_seqlens[b + 1] - cu_seqlens[b], b, index % heads};
}

static struct sizes sizes_of(int64_t heads, int64_t head_size, float scale, const struct berth_dropout *dropout,
                             int half) {
    const int64_t width = half ? head_size : heads * head_size; /* bf16: an item's own copy */
    return (struct sizes){heads,     head_size,
                          3 * width, width,
                          width,     berth_round_up(head_size, BERTH_VEC),
                          scale,     berth_dropout_active(dropout) ? dropout : NULL};
}

static int attention_forward(void *out, float *lse, const void *qkv, const int32_t *cu_seqlens, void *workspace,
                             int64_t tokens, int64_t sequences, int64_t max_length, int64_t heads,
                             int64_t head_size, float scale, const struct berth_dropout *dropout,
                             enum berth_dtype dtype, berth_stream *stream) {
    (void)tokens, (void)stream;
    if (dtype != BERTH_F32 && dtype != BERTH_BF16) return BERTH_CPU_E_DTYPE;
    const int half = dtype == BERTH_BF16;
    const struct sizes z = sizes_of(heads, head_size, scale, dropout, half);
#pragma omp parallel
    {
        struct scratch s;
        const int64_t floats = scratch_carve(&s, NULL, max_length, head_size, 0);
        scratch_carve(&s, (float *)workspace + floats * omp_get_thread_num(), max_length, head_size, 0);
#pragma omp for schedule(dynamic, 1)
        for (int64_t index = 0; index < sequences * heads; index++) {
            const struct item it = item_of(index, cu_seqlens, heads);
            if (it.length > 0) forward_any(out, lse, qkv, &s, &z, &it, half);
        }
    }
    return BERTH_CPU_OK;
}

static int attention_backward(void *dqkv, const void *dout, const void *qkv, const void *out, const float *lse,
                              const int32_t *cu_seqlens, void *workspace, int64_t tokens, int64_t sequences,
                              int64_t max_length, int64_t heads, int64_t head_size, float scale,
                              const struct berth_dropout *dropout, enum berth_dtype dtype,
                              berth_stream *stream) {
    (void)tokens, (void)stream;
    if (dtype != BERTH_F32 && dtype != BERTH_BF16) return BERTH_CPU_E_DTYPE;
    const int half = dtype == BERTH_BF16;
    const struct sizes z = sizes_of(heads, head_size, scale, dropout, half);
#pragma omp parallel
    {
        struct scratch s;
        const int64_t floats = scratch_carve(&s, NULL, max_length, head_size, 1);
        scratch_carve(&s, (float *)workspace + floats * omp_get_thread_num(), max_length, head_size, 1);
#pragma omp for schedule(dynamic, 1)
        for (int64_t index = 0; index < sequences * heads; index++) {
            const struct item it = item_of(index, cu_seqlens, heads);
            if (it.length > 0) backward_any(dqkv, dout, qkv, out, lse, &s, &z, &it, half);
        }
    }
    return BERTH_CPU_OK;
}

void BERTH_CPU_TABLE(attention)(struct berth_ops *ops) {
    ops->attention_workspace = attention_workspace;
    ops->attention_forward = attention_forward;
    ops->attention_backward = attention_backward;
}
