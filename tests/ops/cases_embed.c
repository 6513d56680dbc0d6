/* cases_embed.c: embeddings, and rows between tokens and heads. */
#include <stdlib.h>
#include <string.h>

#include "ops/ref_ops.h"
#include "ops/support_ops.h"

/* ------------------------------------------------------------------ embedding */

enum { SEGMENT = 1 };
enum { T, H, V };
enum { IDS, POS, SEG, ID_ORDER, POS_ORDER, SEG_ORDER };

static int32_t *sorting_ids; /* of the sort that runs now */

static int by_id(const void *a, const void *b) {
    const int32_t i = *(const int32_t *)a, j = *(const int32_t *)b;
    if (sorting_ids[i] != sorting_ids[j]) return sorting_ids[i] < sorting_ids[j] ? -1 : 1;
    return i < j ? -1 : i > j;
}

static void add_order(struct op_ctx *x, int32_t *ids, int64_t rows) {
    int32_t *order = op_ints(x, rows);
    for (int64_t t = 0; t < rows; t++)
        order[t] = (int32_t)t;
    sorting_ids = ids;
    qsort(order, (size_t)rows, sizeof *order, by_id);
}

static void embed_build(struct op_ctx *x) {
    const int64_t t = x->c->s[T], h = x->c->s[H], v = x->c->s[V];
    int32_t *ids = op_ints(x, t), *pos = op_ints(x, t), *seg = op_ints(x, t);
    for (int64_t i = 0; i < t; i++) {
        ids[i] = (int32_t)op_below(x, v);
        pos[i] = (int32_t)(i % 13);
        seg[i] = (int32_t)(i % 13 > 6);
    }
    add_order(x, ids, t);
    add_order(x, pos, t);
    add_order(x, seg, t);
    op_input(x, "token", v, h);
    op_input(x, "position", 13, h);
    op_input(x, "segment", 2, h);
    op_input(x, "dy", t, h);
    op_output(x, "y", t, h);
    op_added(x, "dtoken", v, h);
    op_added(x, "dposition", 13, h);
    op_added(x, "dsegment", 2, h);
    op_activations(x, "dy y");
}

static void embed_forward(struct op_ctx *x) {
    ref_embedding(op_d(x, "y"), op_d(x, "token"), op_d(x, "position"),
                  x->c->flags & SEGMENT ? op_d(x, "segment") : NULL, x->ints[IDS], x->ints[POS], x->ints[SEG],
                  x->c->s[T], x->c->s[H]);
}

static void embed_backward(struct op_ctx *x) {
    ref_embedding_backward(op_d(x, "dtoken"), op_d(x, "dy"), x->ints[IDS], x->c->s[T], x->c->s[H]);
    ref_embedding_backward(op_d(x, "dposition"), op_d(x, "dy"), x->ints[POS], x->c->s[T], x->c->s[H]);
    if (x->c->flags & SEGMENT)
        ref_embedding_backward(op_d(x, "dsegment"), op_d(x, "dy"), x->ints[SEG], x->c->s[T], x->c->s[H]);
}

static int embed_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    const bool segment = x->c->flags & SEGMENT;
    return ops->embedding_forward(op_a(x, "y"), op_f(x, "token"), op_f(x, "position"),
                                  segment ? op_f(x, "segment") : NULL, x->ints[IDS], x->ints[POS],
                                  segment ? x->ints[SEG] : NULL, x->c->s[T], x->c->s[H], x->dtype, stream);
}

static int embed_back(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    const void *dy = op_a(x, "dy");
    int error = ops->embedding_backward(op_f(x, "dtoken"), dy, x->ints[IDS], x->ints[ID_ORDER], x->c->s[T],
                                        x->c->s[H], x->dtype, stream);
    error |= ops->embedding_backward(op_f(x, "dposition"), dy, x->ints[POS], x->ints[POS_ORDER], x->c->s[T],
                                     x->c->s[H], x->dtype, stream);
    if (x->c->flags & SEGMENT)
        error |= ops->embedding_backward(op_f(x, "dsegment"), dy, x->ints[SEG], x->ints[SEG_ORDER], x->c->s[T],
                                         x->c->s[H], x->dtype, stream);
    return error;
}

static double embed_bytes(const struct op_ctx *x) {
    return (double)x->c->s[T] * (double)x->c->s[H] * 8;
}

static const struct op_kind embedding = {
    .name = "embedding",
    .sizes = "T H V",
    .flags = "segment",
    .build = embed_build,
    .forward = embed_forward,
    .backward = embed_backward,
    .steps = {{"forward", embed_call, NULL, embed_bytes}, {"backward", embed_back, NULL, embed_bytes}},
    .outputs = {{"y", "dy"}},
    .inputs = {{"token", "dtoken"}, {"position", "dposition"}, {"segment", "dsegment"}}};

/* ------------------------------------------------------------------ gather and scatter */

enum { R = 2 };
enum { ROWS };

static void gather_build(struct op_ctx *x) {
    const int64_t t = x->c->s[T], h = x->c->s[H], r = x->c->s[R];
    int32_t *rows = op_ints(x, r);
    for (int64_t i = 0; i < r; i++)
        rows[i] = (int32_t)((i * 7 + 3) % t); /* distinct where t and 7 have no common factor */
    op_input(x, "x", t, h);
    op_input(x, "dy", r, h);
    op_output(x, "y", r, h);
    op_added(x, "dx", t, h);
    op_activations(x, "x dy y dx");
}

static void gather_forward(struct op_ctx *x) {
    const int64_t h = x->c->s[H];
    for (int64_t i = 0; i < x->c->s[R] * h; i++)
        op_d(x, "y")[i] = op_d(x, "x")[x->ints[ROWS][i / h] * h + i % h];
}

static void gather_backward(struct op_ctx *x) {
    const int64_t h = x->c->s[H];
    for (int64_t i = 0; i < x->c->s[R] * h; i++)
        op_d(x, "dx")[x->ints[ROWS][i / h] * h + i % h] += op_d(x, "dy")[i];
}

static int gather_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    return ops->gather_rows(op_a(x, "y"), op_a(x, "x"), x->ints[ROWS], x->c->s[R], x->c->s[H], x->dtype,
                            stream);
}

static int scatter_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    return ops->scatter_add_rows(op_a(x, "dx"), op_a(x, "dy"), x->ints[ROWS], x->c->s[R], x->c->s[H], x->dtype,
                                 stream);
}

static const struct op_kind gather = {
    .name = "gather",
    .sizes = "T H R",
    .build = gather_build,
    .forward = gather_forward,
    .backward = gather_backward,
    .steps = {{"gather", gather_call, NULL, embed_bytes}, {"scatter", scatter_call, NULL, embed_bytes}},
    .outputs = {{"y", "dy"}},
    .inputs = {{"x", "dx"}}};

/* ------------------------------------------------------------------ mean pooling */

enum { PB, PM, PH, PR }; /* sequences, longest, hidden, chosen sequences */
enum { CU, SEQS };

static void pool_build(struct op_ctx *x) {
    const int64_t *s = x->c->s;
    int32_t *cu = op_ints(x, s[PB] + 1), *seqs = op_ints(x, s[PR]);
    const int64_t tokens = op_lengths(x, cu, s[PB], s[PM]);
    for (int64_t r = 0; r < s[PR]; r++)
        seqs[r] = (int32_t)(s[PB] - 1 - r);
    op_input(x, "x", tokens, s[PH]);
    op_input(x, "dy", s[PR], s[PH]);
    op_output(x, "y", s[PR], s[PH]);
    op_added(x, "dx", tokens, s[PH]);
    op_activations(x, "x dy y dx");
}

static void pool_forward(struct op_ctx *x) {
    ref_mean_pool(op_d(x, "y"), op_d(x, "x"), x->ints[SEQS], x->ints[CU], x->c->s[PR], x->c->s[PH]);
}

static void pool_backward(struct op_ctx *x) {
    ref_mean_pool_backward(op_d(x, "dx"), op_d(x, "dy"), x->ints[SEQS], x->ints[CU], x->c->s[PR], x->c->s[PH]);
}

static int pool_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    return ops->mean_pool_forward(op_a(x, "y"), op_a(x, "x"), x->ints[SEQS], x->ints[CU], x->c->s[PR],
                                  x->c->s[PH], x->dtype, stream);
}

static int pool_back_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    return ops->mean_pool_backward(op_a(x, "dx"), op_a(x, "dy"), x->ints[SEQS], x->ints[CU], x->c->s[PR],
                                   x->c->s[PH], x->dtype, stream);
}

static double pool_bytes(const struct op_ctx *x) {
    return (double)x->ints[CU][x->c->s[PB]] * (double)x->c->s[PH] * 4;
}

static const struct op_kind mean_pool = {
    .name = "mean_pool",
    .sizes = "B M H R",
    .build = pool_build,
    .forward = pool_forward,
    .backward = pool_backward,
    .steps = {{"forward", pool_call, NULL, pool_bytes}, {"backward", pool_back_call, NULL, pool_bytes}},
    .outputs = {{"y", "dy"}},
    .inputs = {{"x", "dx"}}};

const struct op_case cases_embed[] = {{&embedding, {1, 24, 5}, SEGMENT},
                                      {&embedding, {3, 40, 5}, 0},
                                      {&embedding, {17, 100, 50}, SEGMENT},
                                      {&embedding, {257, 768, 30}, SEGMENT},
                                      {&embedding, {0, 24, 5}, SEGMENT},
                                      {&embedding, {2000, 40, 2}, SEGMENT},
                                      {&gather, {1, 24, 1}, 0},
                                      {&gather, {17, 40, 0}, 0},
                                      {&gather, {257, 768, 100}, 0},
                                      {&gather, {3, 100, 3}, 0},
                                      {&mean_pool, {1, 1, 24, 1}, 0},
                                      {&mean_pool, {100, 1, 40, 100}, 0},
                                      {&mean_pool, {5, 12, 100, 3}, 0},
                                      {&mean_pool, {3, 512, 768, 3}, 0},
                                      {&mean_pool, {3, 5, 24, 0}, 0},
                                      {0}};
const struct op_case perf_embed[] = {{&embedding, {386, 384, 30522}, SEGMENT},
                                     {&embedding, {1024, 768, 30522}, SEGMENT},
                                     {&gather, {1024, 768, 512}, 0},
                                     {&mean_pool, {32, 20, 384, 32}, 0},
                                     {0}};
