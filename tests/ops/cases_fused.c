/* cases_fused.c: operations that do in one pass what others do in several, and the best path of a CRF. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ref_heads.h"
#include "ops/ref_ops.h"
#include "ops/support_ops.h"

/* ------------------------------------------------------------------ embeddings, normalised, with dropout */

enum { SEGMENT = 1, DROPOUT = 2, NOT_SAVED = 4 };
enum { T, H, V, B };
enum { CU, ORDINAL, POSITION, IDS, SEG, ID_ORDER, POS_ORDER, SEG_ORDER };
enum { POSITIONS = 600 };

static const float eps = 0.03125f; /* large, so that leaving it out shows; exact in float */
static const int32_t *sorting_ids; /* of the sort that runs now */

static int by_id(const void *a, const void *b) {
    const int32_t i = *(const int32_t *)a, j = *(const int32_t *)b;
    if (sorting_ids[i] != sorting_ids[j]) return sorting_ids[i] < sorting_ids[j] ? -1 : 1;
    return i < j ? -1 : i > j;
}

static void add_order(struct op_ctx *x, const int32_t *ids, int64_t rows) {
    int32_t *order = op_ints(x, rows);
    for (int64_t t = 0; t < rows; t++)
        order[t] = (int32_t)t;
    sorting_ids = ids;
    qsort(order, (size_t)rows, sizeof *order, by_id);
}

static void build_ints(struct op_ctx *x) {
    const int64_t t = x->c->s[T], sequences = x->c->s[B];
    int32_t *cu = op_ints(x, sequences + 1);
    for (int64_t b = 0; b <= sequences; b++)
        cu[b] = (int32_t)(t * b / sequences);
    op_dropout_rows(x, cu, sequences, 0.1f, false);
    int32_t *ids = op_ints(x, t), *seg = op_ints(x, t);
    for (int64_t i = 0; i < t; i++) {
        ids[i] = (int32_t)op_below(x, x->c->s[V]);
        seg[i] = (int32_t)(i % 13 > 6);
    }
    add_order(x, ids, t);
    add_order(x, x->ints[POSITION], t);
    add_order(x, seg, t);
}

static double kept(const struct op_ctx *x, int64_t t, int64_t j) {
    if (!(x->c->flags & DROPOUT)) return 1;
    const bool keep =
        op_kept(x, (uint32_t)x->dropout.ordinal[t], 0, (uint32_t)x->dropout.position[t], (uint32_t)j);
    return keep ? 65536.0 / (65536.0 - x->dropout.threshold) : 0;
}

static void embed_build(struct op_ctx *x) {
    const int64_t t = x->c->s[T], h = x->c->s[H], v = x->c->s[V];
    build_ints(x);
    op_input(x, "token", v, h);
    op_input(x, "position", POSITIONS, h);
    op_input(x, "segment", 2, h);
    op_range(x, op_input(x, "gamma", 1, h), 0.5, 1.5);
    op_input(x, "beta", 1, h);
    op_input(x, "dy", t, h);
    op_output(x, "y", t, h)->tolerance = 2e-6;
    op_output(x, "pre", t, h);
    op_output(x, "mean", t, 1)->tolerance = 4e-6;
    op_output(x, "rstd", t, 1);
    op_output(x, "masked", t, h);
    op_output(x, "dpre", t, h)->tolerance = 4e-6;
    static const char *const sums[] = {"dtoken", "dposition", "dsegment", "dgamma", "dbeta"};
    const int64_t rows[] = {v, POSITIONS, 2, 1, 1};
    for (int i = 0; i < 5; i++)
        op_added(x, sums[i], rows[i], h)->tolerance = 4e-6;
    op_activations(x, "dy y pre masked dpre");
}

static void embed_forward(struct op_ctx *x) {
    const int64_t t = x->c->s[T], h = x->c->s[H];
    ref_embedding(op_d(x, "pre"), op_d(x, "token"), op_d(x, "position"),
                  x->c->flags & SEGMENT ? op_d(x, "segment") : NULL, x->ints[IDS], x->ints[POSITION],
                  x->ints[SEG], t, h);
    double *pre = malloc((size_t)(t * h + 1) * sizeof *pre);
    BERTH_ASSERT(pre != NULL);
    memcpy(pre, op_d(x, "pre"), (size_t)(t * h) * sizeof *pre);
    ref_layernorm(op_d(x, "y"), op_d(x, "pre"), op_d(x, "mean"), op_d(x, "rstd"), pre, NULL, op_d(x, "gamma"),
                  op_d(x, "beta"), NULL, t, h, (double)eps);
    free(pre);
    for (int64_t i = 0; i < t * h; i++)
        op_d(x, "y")[i] *= kept(x, i / h, i % h);
}

static void embed_backward(struct op_ctx *x) {
    const int64_t t = x->c->s[T], h = x->c->s[H];
    for (int64_t i = 0; i < t * h; i++)
        op_d(x, "masked")[i] = op_d(x, "dy")[i] * kept(x, i / h, i % h);
    double *spare = calloc((size_t)(t * h + 1), sizeof *spare);
    BERTH_ASSERT(spare != NULL);
    ref_layernorm_backward(op_d(x, "dpre"), spare, op_d(x, "dgamma"), op_d(x, "dbeta"), op_d(x, "masked"),
                           op_d(x, "pre"), op_d(x, "gamma"), NULL, t, h, (double)eps);
    free(spare);
    ref_embedding_backward(op_d(x, "dtoken"), op_d(x, "dpre"), x->ints[IDS], t, h);
    ref_embedding_backward(op_d(x, "dposition"), op_d(x, "dpre"), x->ints[POSITION], t, h);
    if (x->c->flags & SEGMENT) ref_embedding_backward(op_d(x, "dsegment"), op_d(x, "dpre"), x->ints[SEG], t, h);
}

static int gather_call(struct op_ctx *x, const struct berth_ops *ops, bool saves, berth_stream *stream) {
    const bool segment = x->c->flags & SEGMENT;
    return ops->embedding_norm_forward(
        op_a(x, "y"), saves ? op_a(x, "pre") : NULL, saves ? op_f(x, "mean") : NULL,
        saves ? op_f(x, "rstd") : NULL, op_f(x, "token"), op_f(x, "position"),
        segment ? op_f(x, "segment") : NULL, op_f(x, "gamma"), op_f(x, "beta"), x->ints[IDS], x->ints[POSITION],
        segment ? x->ints[SEG] : NULL, x->c->s[T], x->c->s[H], eps, x->c->flags & DROPOUT ? &x->dropout : NULL,
        x->dtype, stream);
}

/* Saved, and then y again without saving where the case says so: the same y. */
static int embed_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    const int error = gather_call(x, ops, true, stream);
    if (error != 0 || !(x->c->flags & NOT_SAVED)) return error;
    return gather_call(x, ops, false, stream);
}

static int embed_back(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    const int64_t t = x->c->s[T], h = x->c->s[H];
    int error = ops->dropout(op_a(x, "masked"), op_a(x, "dy"), t, h, x->c->flags & DROPOUT ? &x->dropout : NULL,
                             x->dtype, stream);
    error |= ops->layernorm_backward(op_a(x, "dpre"), NULL, op_a(x, "masked"), op_a(x, "pre"), op_f(x, "mean"),
                                     op_f(x, "rstd"), op_f(x, "gamma"), t, h, 0, NULL, x->dtype, stream);
    void *workspace = op_workspace(x, ops->layernorm_param_workspace(t, h));
    error |=
        ops->layernorm_param_backward(op_f(x, "dgamma"), op_f(x, "dbeta"), op_a(x, "masked"), op_a(x, "pre"),
                                      op_f(x, "mean"), op_f(x, "rstd"), workspace, t, h, x->dtype, stream);
    const int32_t *const ids[] = {x->ints[IDS], x->ints[POSITION], x->ints[SEG]};
    const int32_t *const order[] = {x->ints[ID_ORDER], x->ints[POS_ORDER], x->ints[SEG_ORDER]};
    static const char *const tables[] = {"dtoken", "dposition", "dsegment"};
    for (int i = 0; i < (x->c->flags & SEGMENT ? 3 : 2); i++)
        error |= ops->embedding_backward(op_f(x, tables[i]), op_a(x, "dpre"), ids[i], order[i], t, h, x->dtype,
                                         stream);
    return error;
}

static double embed_bytes(const struct op_ctx *x) {
    return (double)x->c->s[T] * (double)x->c->s[H] * 20; /* three rows read, two written */
}

static const struct op_kind embedding_norm = {
    .name = "embedding_norm",
    .sizes = "T H V B",
    .flags = "segment dropout not-saved",
    .build = embed_build,
    .forward = embed_forward,
    .backward = embed_backward,
    .steps = {{"forward", embed_call, NULL, embed_bytes}, {"backward", embed_back, NULL, NULL}},
    .outputs = {{"y", "dy"}},
    .inputs = {{"token", "dtoken"}, {"position", "dposition"}, {"gamma", "dgamma"}, {"beta", "dbeta"}}};

/* ------------------------------------------------------------------ the best path of a CRF */

enum { S, K, LONGEST };
enum { PATHS = 1, NO_PATH = 2 };
enum { PATH_CU };

static void path_build(struct op_ctx *x) {
    const int64_t s = x->c->s[S], k = x->c->s[K];
    int32_t *cu = op_ints(x, s + 1);
    const int64_t r = op_lengths(x, cu, s, x->c->s[LONGEST]);
    op_range(x, op_input(x, "z", r, k), -2, 2);
    op_input(x, "transitions", k, k);
    struct op_tensor *start = op_input(x, "start", 1, k);
    for (int64_t j = 0; x->c->flags & NO_PATH && j < k; j++) {
        start->f[j] = start->start[j] = -INFINITY;
        if (x->reference) start->d[j] = start->first[j] = -(double)INFINITY;
    }
    op_input(x, "end", 1, k);
    op_output(x, "path", r, 1)->tolerance = 0;
    op_activations(x, "z");
}

static double path_score(const struct ref_crf *c, const int64_t *tag) {
    double score = c->start[tag[0]] + c->end[tag[c->words - 1]];
    for (int64_t t = 0; t < c->words; t++) {
        score += c->z[t * c->classes + tag[t]];
        if (t > 0) score += c->transitions[tag[t - 1] * c->classes + tag[t]];
    }
    return score;
}

/* Every path alone: counts in base K. */
static void best_of_all(int64_t *best, const struct ref_crf *c) {
    int64_t tag[16] = {0};
    double most = -(double)INFINITY;
    for (;;) {
        const double score = path_score(c, tag);
        if (score > most) {
            most = score;
            memcpy(best, tag, sizeof tag);
        }
        int64_t t = 0;
        while (t < c->words && ++tag[t] == c->classes)
            tag[t++] = 0;
        if (t == c->words) return;
    }
}

/* The best score of the words from t on, behind a tag, by recursion from the end: right to left. */
static void best_of_long(int64_t *best, const struct ref_crf *c) {
    const int64_t k = c->classes;
    double *rest = calloc((size_t)(c->words * k), sizeof *rest);
    BERTH_ASSERT(rest != NULL);
    for (int64_t t = c->words - 1; t >= 0; t--)
        for (int64_t i = 0; i < k; i++) {
            double most = t == c->words - 1 ? c->end[i] : -(double)INFINITY;
            for (int64_t j = 0; t < c->words - 1 && j < k; j++)
                most = fmax(most, c->transitions[i * k + j] + rest[(t + 1) * k + j]);
            rest[t * k + i] = c->z[t * k + i] + most;
        }
    for (int64_t t = 0; t < c->words; t++) {
        double most = -(double)INFINITY;
        for (int64_t j = 0; j < k; j++) {
            const double way = rest[t * k + j] + (t == 0 ? c->start[j] : c->transitions[best[t - 1] * k + j]);
            if (way > most) most = way, best[t] = j;
        }
    }
    free(rest);
}

static void path_forward(struct op_ctx *x) {
    const int32_t *cu = x->ints[PATH_CU];
    const int64_t k = x->c->s[K];
    for (int64_t s = 0; s < x->c->s[S]; s++) {
        int64_t best[1024] = {0};
        const struct ref_crf c = {.z = op_d(x, "z") + cu[s] * k,
                                  .transitions = op_d(x, "transitions"),
                                  .start = op_d(x, "start"),
                                  .end = op_d(x, "end"),
                                  .words = cu[s + 1] - cu[s],
                                  .classes = k};
        if (x->c->flags & PATHS)
            best_of_all(best, &c);
        else
            best_of_long(best, &c);
        for (int64_t t = 0; t < c.words; t++)
            op_d(x, "path")[cu[s] + t] = x->c->flags & NO_PATH ? 7 : (double)best[t];
    }
}

/* Tags are integers: they begin as 7, and are handed over as floats to be compared. */
static int path_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    const int64_t s = x->c->s[S], k = x->c->s[K], r = x->ints[PATH_CU][s];
    int32_t *path = op_block(x, (size_t)(r + 1) * sizeof *path);
    for (int64_t i = 0; i < r; i++)
        path[i] = 7;
    void *workspace = op_workspace(x, ops->viterbi_workspace(r, s, k));
    const int error = ops->viterbi(path, op_a(x, "z"), op_f(x, "transitions"), op_f(x, "start"), op_f(x, "end"),
                                   x->ints[PATH_CU], workspace, r, s, k, x->dtype, stream);
    if (error != 0 || !op_wait(x)) return error != 0 ? error : -1;
    for (int64_t i = 0; i < r; i++)
        op_f(x, "path")[i] = (float)path[i];
    return 0;
}

static const struct op_kind viterbi = {.name = "viterbi",
                                       .sizes = "S K longest",
                                       .flags = "paths none",
                                       .build = path_build,
                                       .forward = path_forward,
                                       .steps = {{"decode", path_call, NULL, NULL}}};

const struct op_case cases_fused[] = {{&embedding_norm, {1, 24, 5, 1}, SEGMENT},
                                      {&embedding_norm, {3, 40, 5, 3}, DROPOUT},
                                      {&embedding_norm, {17, 100, 50, 2}, SEGMENT | DROPOUT},
                                      {&embedding_norm, {130, 384, 30, 9}, SEGMENT | DROPOUT | NOT_SAVED},
                                      {&embedding_norm, {60, 768, 30, 4}, SEGMENT | DROPOUT},
                                      {&embedding_norm, {5, 1032, 9, 1}, SEGMENT | DROPOUT},
                                      {&embedding_norm, {0, 24, 5, 1}, SEGMENT},
                                      {&viterbi, {1, 1, 1}, PATHS},
                                      {&viterbi, {5, 3, 7}, PATHS},
                                      {&viterbi, {2, 9, 1}, PATHS},
                                      {&viterbi, {4, 72, 30}, 0},
                                      {&viterbi, {2, 300, 5}, 0},
                                      {&viterbi, {3, 5, 512}, 0},
                                      {&viterbi, {3, 5, 6}, NO_PATH},
                                      {0}};
const struct op_case perf_fused[] = {{&embedding_norm, {386, 384, 30522, 32}, SEGMENT | DROPOUT},
                                     {&embedding_norm, {1024, 768, 30522, 8}, SEGMENT | DROPOUT},
                                     {&viterbi, {32, 72, 20}, 0},
                                     {0}};
