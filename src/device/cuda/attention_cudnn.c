/* attention_cudnn.c: the two graphs of attention_cudnn.h.
 *
 * Forward, S and P of shape [B, A, M, M]:
 *     S = scale Q Kᵀ, -inf where row or column lies beyond the sequence;  m = max S;  E = exp(S - m);  l = Σ E
 *     lse = m + log l;  P = E / l;  O = (mask P / keep) V
 * Backward (Dao, arXiv 2307.08691, algorithm 2, whole rows at once):
 *     P = exp(S - lse);  δ = Σ_d dO O;  dV = (mask P / keep)ᵀ dO
 *     dS = P (mask dO Vᵀ - keep δ) / keep scale;  dQ = dS K;  dK = dSᵀ Q
 * keep δ and the later 1/keep make up δ: with them the mask and the factor are one product each, the form in
 * which cuDNN's engines know the graph. */
#include "device/cuda/attention_cudnn.h"

struct builder {
    struct cudnn_graph *g;
    const struct cudnn_attention *a;
    int64_t square[4], column[4], wide[4]; /* [B, A, M, M], [B, A, M, 1], [B, A, M, D] */
    int lengths, qkv_offset, out_offset, lse_offset;
    int scale, minus, keep, keep_inverse; /* numbers; keep* CUDNN_NONE without dropout */
    int mask;                             /* [B, A, M, M] of 0 and 1; CUDNN_NONE without dropout */
};

static int add_number(struct builder *b, int64_t uid) {
    const struct cudnn_tensor t = {.uid = uid,
                                   .type = CUDNN_DATA_FLOAT,
                                   .rank = 4,
                                   .dims = {1, 1, 1, 1},
                                   .strides = {1, 1, 1, 1},
                                   .ragged = CUDNN_NONE,
                                   .by_value = true};
    return cudnn_graph_tensor(b->g, &t);
}

/* A list of whole numbers, one or one more than one a sequence. */
static int add_list(struct builder *b, int64_t uid, cudnnDataType_t type, int64_t count) {
    const struct cudnn_tensor t = {.uid = uid,
                                   .type = type,
                                   .rank = 4,
                                   .dims = {count, 1, 1, 1},
                                   .strides = {1, 1, 1, 1},
                                   .ragged = CUDNN_NONE};
    return cudnn_graph_tensor(b->g, &t);
}

/* [B, A, M, D] inside rows of `row` elements; transposed: [B, A, D, M]. */
static int add_rows(struct builder *b, int64_t uid, int64_t row, int offset, bool transposed) {
    const struct cudnn_attention *a = b->a;
    struct cudnn_tensor t = {.uid = uid,
                             .type = CUDNN_DATA_BFLOAT16,
                             .rank = 4,
                             .dims = {a->sequences, a->heads, a->length, a->head_size},
                             .strides = {a->length * row, a->head_size, row, 1},
                             .ragged = offset};
    if (transposed) {
        t.dims[2] = a->head_size, t.dims[3] = a->length;
        t.strides[2] = 1, t.strides[3] = row;
    }
    return cudnn_graph_tensor(b->g, &t);
}

static int add_lse(struct builder *b) {
    const struct cudnn_attention *a = b->a;
    const struct cudnn_tensor t = {.uid = ATTENTION_LSE,
                                   .type = CUDNN_DATA_FLOAT,
                                   .rank = 4,
                                   .dims = {a->sequences, a->heads, a->length, 1},
                                   .strides = {a->length * a->heads, 1, a->heads, 1},
                                   .ragged = b->lse_offset};
    return cudnn_graph_tensor(b->g, &t);
}

static int inner(struct builder *b, const int64_t dims[4]) {
    return cudnn_graph_inner(b->g, CUDNN_DATA_FLOAT, 4, dims);
}

static int pointwise(struct builder *b, cudnnPointwiseMode_t mode, const int64_t dims[4], int x, int other) {
    int y = inner(b, dims);
    cudnn_graph_pointwise(b->g, mode, y, x, other, CUDNN_NONE);
    return y;
}

/* x as BF16: what the products read. */
static int last_pointwise(struct builder *b, cudnnPointwiseMode_t mode, int x, int other) {
    int y = cudnn_graph_inner(b->g, CUDNN_DATA_BFLOAT16, 4, b->square);
    cudnn_graph_pointwise(b->g, mode, y, x, other, CUDNN_NONE);
    return y;
}

static void begin(struct builder *b, struct cudnn_graph *g, const struct cudnn_attention *a) {
    const int64_t n = a->sequences, h = a->heads, m = a->length, d = a->head_size;
    *b = (struct builder){.g = g, .a = a, .square = {n, h, m, m}, .column = {n, h, m, 1}, .wide = {n, h, m, d}};
    b->lengths = add_list(b, ATTENTION_LENGTHS, CUDNN_DATA_INT32, n);
    b->qkv_offset = add_list(b, ATTENTION_QKV_OFFSET, CUDNN_DATA_INT32, n + 1);
    b->out_offset = add_list(b, ATTENTION_OUT_OFFSET, CUDNN_DATA_INT32, n + 1);
    b->lse_offset = add_list(b, ATTENTION_LSE_OFFSET, CUDNN_DATA_INT32, n + 1);
    b->scale = add_number(b, ATTENTION_SCALE);
    b->minus = add_number(b, ATTENTION_MINUS);
    b->keep = b->keep_inverse = b->mask = CUDNN_NONE;
    if (a->keep >= 1.0) return;
    b->keep_inverse = add_number(b, ATTENTION_KEEP_INVERSE);
}

static void draw_mask(struct builder *b) {
    if (b->a->keep >= 1.0) return;
    b->mask = inner(b, b->square);
    cudnn_graph_bernoulli(b->g, b->mask, add_list(b, ATTENTION_SEED, CUDNN_DATA_INT64, 1),
                          add_list(b, ATTENTION_POSITION, CUDNN_DATA_INT64, 1), b->a->keep);
}

/* One side of the padding mask: index along the axis < the sequence's length. */
static int inside(struct builder *b, int scores, int64_t axis) {
    int index = cudnn_graph_inner(b->g, CUDNN_DATA_INT32, 4, b->square);
    int less = cudnn_graph_inner(b->g, CUDNN_DATA_BOOLEAN, 4, b->square);
    cudnn_graph_index(b->g, index, scores, axis);
    cudnn_graph_pointwise(b->g, CUDNN_POINTWISE_CMP_LT, less, index, b->lengths, CUDNN_NONE);
    return less;
}

/* scale Q Kᵀ with -inf beyond the sequence: 8 operations. */
static int scores(struct builder *b, int query, int key_transposed) {
    int product = inner(b, b->square);
    cudnn_graph_matmul(b->g, product, query, key_transposed, b->lengths, b->lengths, CUDNN_NONE);
    int scaled = pointwise(b, CUDNN_POINTWISE_MUL, b->square, product, b->scale);
    int rows = inside(b, scaled, 2), columns = inside(b, scaled, 3);
    int both = cudnn_graph_inner(b->g, CUDNN_DATA_BOOLEAN, 4, b->square);
    cudnn_graph_pointwise(b->g, CUDNN_POINTWISE_LOGICAL_AND, both, rows, columns, CUDNN_NONE);
    int out = inner(b, b->square);
    cudnn_graph_pointwise(b->g, CUDNN_POINTWISE_BINARY_SELECT, out, scaled, b->minus, both);
    return out;
}

/* mask p / keep as BF16. */
static int drop(struct builder *b, int p) {
    if (b->mask == CUDNN_NONE) return p;
    return last_pointwise(b, CUDNN_POINTWISE_MUL, pointwise(b, CUDNN_POINTWISE_MUL, b->square, p, b->mask),
                          b->keep_inverse);
}

static void build_forward(struct cudnn_graph *g, const void *user) {
    const struct cudnn_attention *a = user;
    struct builder graph, *b = &graph;
    begin(b, g, a);
    const int64_t row = 3 * a->heads * a->head_size, out_row = a->heads * a->head_size;
    int query = add_rows(b, ATTENTION_QUERY, row, b->qkv_offset, false);
    int key = add_rows(b, ATTENTION_KEY, row, b->qkv_offset, true);
    int value = add_rows(b, ATTENTION_VALUE, row, b->qkv_offset, false);
    int s = scores(b, query, key);
    int max = inner(b, b->column), sum = inner(b, b->column);
    cudnn_graph_reduce(b->g, CUDNN_REDUCE_TENSOR_MAX, max, s, false);
    int e = pointwise(b, CUDNN_POINTWISE_EXP, b->square, pointwise(b, CUDNN_POINTWISE_SUB, b->square, s, max),
                      CUDNN_NONE);
    cudnn_graph_reduce(b->g, CUDNN_REDUCE_TENSOR_ADD, sum, e, false);
    int log = pointwise(b, CUDNN_POINTWISE_LOG, b->column, sum, CUDNN_NONE);
    cudnn_graph_pointwise(b->g, CUDNN_POINTWISE_ADD, add_lse(b), max, log, CUDNN_NONE);
    int p = a->keep < 1.0 ? pointwise(b, CUDNN_POINTWISE_DIV, b->square, e, sum)
                          : last_pointwise(b, CUDNN_POINTWISE_DIV, e, sum);
    draw_mask(b);
    cudnn_graph_matmul(b->g, add_rows(b, ATTENTION_OUT, out_row, b->out_offset, false), drop(b, p), value,
                       b->lengths, CUDNN_NONE, b->lengths);
}

/* x [B, A, M, M] with its last two axes exchanged, as BF16. */
static int transposed(struct builder *b, int x) {
    const int64_t m = b->a->length, h = b->a->heads;
    const struct cudnn_tensor t = {.type = CUDNN_DATA_BFLOAT16,
                                   .rank = 4,
                                   .dims = {b->square[0], h, m, m},
                                   .strides = {h * m * m, m * m, 1, m},
                                   .ragged = CUDNN_NONE};
    int y = cudnn_graph_tensor(b->g, &t);
    cudnn_graph_reshape(b->g, y, x);
    return y;
}

/* δ (times keep with dropout): [B, A, M, 1] */
static int row_sums(struct builder *b, int dout, int out) {
    int sum = inner(b, b->column);
    cudnn_graph_reduce(b->g, CUDNN_REDUCE_TENSOR_ADD, sum,
                       pointwise(b, CUDNN_POINTWISE_MUL, b->wide, dout, out), false);
    if (b->a->keep >= 1.0) return sum;
    b->keep = add_number(b, ATTENTION_KEEP);
    return pointwise(b, CUDNN_POINTWISE_MUL, b->column, sum, b->keep);
}

static void build_backward(struct cudnn_graph *g, const void *user) {
    const struct cudnn_attention *a = user;
    struct builder graph, *b = &graph;
    begin(b, g, a);
    const int64_t row = 3 * a->heads * a->head_size, out_row = a->heads * a->head_size;
    int query = add_rows(b, ATTENTION_QUERY, row, b->qkv_offset, false);
    int key = add_rows(b, ATTENTION_KEY, row, b->qkv_offset, true);
    int value = add_rows(b, ATTENTION_VALUE, row, b->qkv_offset, true);
    int out = add_rows(b, ATTENTION_OUT, out_row, b->out_offset, false);
    int dout = add_rows(b, ATTENTION_DOUT, out_row, b->out_offset, false);
    int delta = row_sums(b, dout, out);
    int s = scores(b, query, key);
    int shifted = pointwise(b, CUDNN_POINTWISE_SUB, b->square, s, add_lse(b));
    int p = a->keep < 1.0 ? pointwise(b, CUDNN_POINTWISE_EXP, b->square, shifted, CUDNN_NONE)
                          : last_pointwise(b, CUDNN_POINTWISE_EXP, shifted, CUDNN_NONE);
    draw_mask(b);
    cudnn_graph_matmul(b->g, add_rows(b, ATTENTION_DVALUE, row, b->qkv_offset, false),
                       transposed(b, drop(b, p)), dout, b->lengths, CUDNN_NONE, b->lengths);
    int dp = inner(b, b->square);
    cudnn_graph_matmul(b->g, dp, dout, value, b->lengths, b->lengths, CUDNN_NONE);
    if (b->mask != CUDNN_NONE) dp = pointwise(b, CUDNN_POINTWISE_MUL, b->square, dp, b->mask);
    int ds = pointwise(b, CUDNN_POINTWISE_MUL, b->square,
                       pointwise(b, CUDNN_POINTWISE_SUB, b->square, dp, delta), p);
    if (b->mask != CUDNN_NONE) ds = pointwise(b, CUDNN_POINTWISE_MUL, b->square, ds, b->keep_inverse);
    ds = last_pointwise(b, CUDNN_POINTWISE_MUL, ds, b->scale);
    /* K once more, not transposed: another view of the same memory. */
    int key_rows = add_rows(b, ATTENTION_KEY_ROWS, row, b->qkv_offset, false);
    cudnn_graph_matmul(b->g, add_rows(b, ATTENTION_DKEY, row, b->qkv_offset, false), transposed(b, ds), query,
                       b->lengths, CUDNN_NONE, b->lengths);
    cudnn_graph_matmul(b->g, add_rows(b, ATTENTION_DQUERY, row, b->qkv_offset, false), ds, key_rows, b->lengths,
                       CUDNN_NONE, b->lengths);
}

berth_status cudnn_attention_forward_graph(struct cudnn_graph **out, const struct cudnn_api *api,
                                           cudnnHandle_t handle, const struct cudnn_attention *a) {
    return cudnn_graph_build(out, api, handle, build_forward, a);
}

berth_status cudnn_attention_backward_graph(struct cudnn_graph **out, const struct cudnn_api *api,
                                            cudnnHandle_t handle, const struct cudnn_attention *a) {
    return cudnn_graph_build(out, api, handle, build_backward, a);
}
