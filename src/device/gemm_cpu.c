/* gemm_cpu.c: matrix products on the CPU: our own tiles, one single-thread oneDNN product each.
 *
 *     c = op(a) op(b) (+ bias) (+ c)          float, or bf16 factors with a float or bf16 c (sums in float)
 *
 *              tn                    Tiles follow from the shape alone, never from the number of threads, and
 * an
 *         +---------+----+           element is summed by one thread in one order, so the bits are the same for
 *      tm |  tile   |    |           any number of threads (a library's own threading changes them).
 *         +---------+----+           A tile walks k in pieces of `depth`, adding into c.
 *         |         |    |
 *         +---------+----+  last row of tiles: rows rounded up to ROW_UNIT, computed in a scratch
 *
 * Preparing a shape costs 0.05 to 1 ms, and the count of rows T changes with every batch; so the height of a
 * tile (and the last piece of k in a gradient's product, where T is the length of the sum) is rounded up to
 * a multiple of 16, which leaves at most 8 heights (16 lengths). Rows and terms beyond the end are zeros in a
 * scratch of the thread; nothing outside the matrices is read or written.
 *
 * Prepared products are kept in a hash table (the berth_stream of the CPU). All products that a call needs are
 * looked up before its parallel loop, so the loop takes no lock and allocates nothing. Small products go to the
 * plain kernel: preparing and starting the library costs more than the work. */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "device/device_priv.h"
#include "device/onednn_shim.h"

#define ROW_UNIT 16         /* tile heights and lengths of the last piece are multiples of this */
#define TILE_ROWS 320       /* most rows of a tile */
#define TILE_COLUMNS 512    /* most columns of a tile */
#define SUM_PIECE 512       /* terms of a piece of a sum over rows */
#define SUM_REST 64         /* a shorter rest is cut into a multiple of this and a tail */
#define SMALL_PRODUCT 65536 /* m n k below which the plain kernel is used */
#define PREPARED_MOST 4096  /* products kept; beyond, all are dropped and prepared anew as needed */

struct entry {
    struct onednn_shape shape;
    struct onednn_product *product; /* NULL: free */
};

struct berth_stream {
    struct onednn *library;
    int threads;
    bool has_bf16; /* the processor has units for it, and the kernels of this instruction set were chosen */
    int (*small)(void *c, const void *a, const void *b, const float *bias, int64_t m, int64_t n, int64_t k,
                 int64_t lda, int64_t ldb, int64_t ldc, enum berth_gemm_form form, int accumulate,
                 enum berth_dtype c_dtype, enum berth_dtype ab_dtype, berth_stream *stream);
    struct entry *table; /* [2 * PREPARED_MOST], open addressing */
    size_t count;
    void **scratch; /* [threads] */
    size_t *scratch_bytes;
};

/* One call of the operation. */
struct call {
    void *c;
    const void *a, *b;
    const float *bias;
    enum berth_dtype c_dtype, ab_dtype;
    int64_t c_bytes, ab_bytes; /* of an element */
    int64_t m, n, k;
    int64_t a_row, a_col, b_row, b_col, ldc;
    bool accumulate, sum_rows; /* sum_rows: TN, the sum runs over rows */
    int64_t lda, ldb;
    enum berth_gemm_form form;
};

/* Pieces of k: whole ones of `depth`, then a rest that may be read in place, then a tail that is padded. */
enum { PIECE_FIRST, PIECE_LATER, PIECE_REST, PIECE_TAIL, PIECE_KINDS };

/* How a call is cut. */
struct plan {
    int64_t tile_rows, row_tiles, last_rows, padded_rows;
    int64_t tile_columns, column_tiles, last_columns;
    int64_t depth, whole, rest, tail, padded_tail;     /* whole: count of pieces; the others: terms */
    struct onednn_product *product[2][2][PIECE_KINDS]; /* [last row of tiles][last column of tiles] */
};

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t round_up(int64_t n, int64_t unit) {
    return (n + unit - 1) / unit * unit;
}

static int64_t divide_up(int64_t n, int64_t unit) {
    return (n + unit - 1) / unit;
}

/* ------------------------------------------------------------------ prepared products */

static void drop_products(berth_stream *s) {
    for (size_t i = 0; i < 2 * PREPARED_MOST; i++) {
        onednn_product_destroy(s->table[i].product);
        s->table[i].product = NULL;
    }
    s->count = 0;
}

/* The product of a shape, prepared now if it was not yet. */
static berth_status product_of(struct onednn_product **out, berth_stream *s, const struct onednn_shape *shape) {
    const struct berth_hash128 hash = berth_hash(shape, sizeof *shape);
    size_t at = hash.low % (2 * PREPARED_MOST);
    while (s->table[at].product != NULL) {
        if (memcmp(&s->table[at].shape, shape, sizeof *shape) == 0) {
            *out = s->table[at].product;
            return BERTH_OK;
        }
        at = (at + 1) % (2 * PREPARED_MOST);
    }
    BERTH_TRY(onednn_product_create(out, s->library, shape));
    memcpy(&s->table[at].shape, shape, sizeof *shape); /* with its padding, which is compared */
    s->table[at].product = *out;
    s->count++;
    return BERTH_OK;
}

int64_t gemm_cpu_prepared(berth_stream *stream) {
    return (int64_t)stream->count;
}

/* ------------------------------------------------------------------ the cut */

/* Relative time of one tile, fitted to timings on a Zen 5 (kernels/README.md). Low and narrow tiles read their
 * factors more often. For NT the library packs b anew in every tile; where the tile is whole rows of dense
 * matrices it takes another way (its block products), which for long sums is a tenth faster, and for NN with
 * a large b a fifth slower. */
static double tile_cost(const struct call *q, int64_t tile_rows, int64_t tile_columns) {
    const bool dense = tile_columns == q->n && q->ldc == q->n && !q->sum_rows && q->a_row == q->k;
    const double rows = (double)round_up(tile_rows, ROW_UNIT), columns = (double)tile_columns;
    if (q->b_row == 1 && dense && q->b_col == q->k) return 1 + 9 / rows;
    if (q->b_row == 1) {
        const double packing = (double)q->k / 12000;
        return 1.03 + (packing < 0.12 ? packing : 0.12) + 9 / rows + (columns < 128 ? 48 : 8) / columns;
    }
    return (dense && q->n * q->k > 1000000 ? 1.2 : 1.0) + 10 / rows + 10 / columns;
}

/* Relative time of a grid of tiles: what its busiest thread does, over an even share. The threads of the run
 * must not matter, so three counts of them are averaged. */
static double grid_cost(const struct call *q, int64_t tile_rows, int64_t tile_columns) {
    const int64_t tiles = divide_up(q->m, tile_rows) * divide_up(q->n, tile_columns);
    const double share = (double)(tile_rows * tile_columns) / ((double)q->m * (double)q->n);
    double busiest = 0;
    for (int64_t threads = 2; threads <= 8; threads *= 2)
        busiest += 1.0 / 3 * (double)(divide_up(tiles, threads) * threads) * share;
    return busiest * tile_cost(q, tile_rows, tile_columns);
}

static void cut_grid(struct plan *p, const struct call *q) {
    const int64_t least_rows = divide_up(q->m, TILE_ROWS), least_columns = divide_up(q->n, TILE_COLUMNS);
    double best = 1e300;
    for (int64_t i = least_rows; i < least_rows + 12; i++) {
        const int64_t rows = round_up(divide_up(q->m, i), ROW_UNIT);
        for (int64_t j = least_columns - 1; j < least_columns + 8; j++) {
            const int64_t columns = j <= least_columns - 1 || j == 1 ? q->n : round_up(divide_up(q->n, j), 32);
            const double cost = grid_cost(q, rows, columns);
            if (cost >= best) continue;
            best = cost;
            p->tile_rows = rows;
            p->tile_columns = columns;
        }
    }
    p->row_tiles = divide_up(q->m, p->tile_rows);
    p->last_rows = q->m - (p->row_tiles - 1) * p->tile_rows;
    p->padded_rows = q->sum_rows ? p->last_rows : round_up(p->last_rows, ROW_UNIT); /* TN: rows of a weight */
    p->column_tiles = divide_up(q->n, p->tile_columns);
    p->last_columns = q->n - (p->column_tiles - 1) * p->tile_columns;
}

static void cut_sum(struct plan *p, const struct call *q) {
    p->depth = q->sum_rows ? SUM_PIECE : q->k;
    p->whole = q->k / p->depth;
    const int64_t left = q->k - p->whole * p->depth;
    p->rest = left / SUM_REST * SUM_REST;
    p->tail = left - p->rest;
    p->padded_tail = round_up(p->tail, ROW_UNIT);
}

/* Terms that a piece is computed with; 0 where the plan has no such piece. */
static int64_t piece_terms(const struct plan *p, int kind) {
    switch (kind) {
    case PIECE_FIRST:
        return p->whole > 0 ? p->depth : 0;
    case PIECE_LATER:
        return p->whole > 1 ? p->depth : 0;
    case PIECE_REST:
        return p->rest;
    default:
        return p->padded_tail;
    }
}

/* Whether the piece of this kind is the first one of its sum, which adds the bias and begins c. */
static bool begins(const struct plan *p, int kind) {
    return kind == PIECE_FIRST || (kind == PIECE_REST && p->whole == 0) ||
           (kind == PIECE_TAIL && p->whole == 0 && p->rest == 0);
}

static berth_status prepare_tile(struct plan *p, berth_stream *s, const struct call *q, int bottom, int right) {
    for (int kind = 0; kind < PIECE_KINDS; kind++) {
        if (piece_terms(p, kind) == 0) continue;
        struct onednn_shape shape;
        memset(&shape, 0, sizeof shape); /* the shape is hashed: no stray bytes */
        const bool short_rows = bottom && p->padded_rows != p->last_rows;
        const bool copied_sum = kind == PIECE_TAIL;
        shape.m = bottom ? p->padded_rows : p->tile_rows;
        shape.n = right ? p->last_columns : p->tile_columns;
        shape.k = piece_terms(p, kind);
        shape.a_row = short_rows ? shape.k : copied_sum ? 1 : q->a_row;
        shape.a_col = short_rows ? 1 : copied_sum ? shape.m : q->a_col;
        shape.b_row = copied_sum ? shape.n : q->b_row;
        shape.b_col = copied_sum ? 1 : q->b_col;
        shape.c_row = short_rows ? shape.n : q->ldc;
        shape.half = q->ab_dtype == BERTH_BF16;
        shape.half_c = q->c_dtype == BERTH_BF16;
        shape.bias = q->bias != NULL && begins(p, kind);
        shape.accumulate = q->accumulate || !begins(p, kind);
        BERTH_TRY(product_of(&p->product[bottom][right][kind], s, &shape));
    }
    return BERTH_OK;
}

static berth_status prepare(struct plan *p, berth_stream *s, const struct call *q) {
    if (s->count + 4 * PIECE_KINDS > PREPARED_MOST) drop_products(s);
    for (int bottom = p->row_tiles == 1; bottom < 2; bottom++)
        for (int right = p->column_tiles == 1; right < 2; right++)
            BERTH_TRY(prepare_tile(p, s, q, bottom, right));
    return BERTH_OK;
}

/* ------------------------------------------------------------------ one tile */

/* Room in the thread's scratch, or NULL. */
static void *scratch_of(berth_stream *s, int thread, int64_t bytes) {
    if (s->scratch_bytes[thread] >= (size_t)bytes) return s->scratch[thread];
    free(s->scratch[thread]);
    s->scratch[thread] = aligned_alloc(64, ((size_t)bytes + 63) / 64 * 64);
    s->scratch_bytes[thread] = s->scratch[thread] == NULL ? 0 : (size_t)bytes;
    return s->scratch[thread];
}

static const void *element(const void *x, int64_t index, int64_t bytes) {
    return (const char *)x + index * bytes;
}

static void *element_of(void *x, int64_t index, int64_t bytes) {
    return (char *)x + index * bytes;
}

/* to[rows_to, columns] = from[rows, columns], the rest zero */
static void copy_padded(void *to, const void *from, int64_t ld_from, int64_t rows, int64_t rows_to,
                        int64_t columns, int64_t bytes) {
    for (int64_t i = 0; i < rows; i++)
        memcpy(element_of(to, i * columns, bytes), element(from, i * ld_from, bytes),
               (size_t)(columns * bytes));
    memset(element_of(to, rows * columns, bytes), 0, (size_t)((rows_to - rows) * columns * bytes));
}

/* A tile whose rows end before its height: a and c by way of the scratch. */
static int run_short_rows(const struct plan *p, berth_stream *s, const struct call *q, int thread, void *c,
                          const void *a, const void *b, const float *bias, struct onednn_product *product,
                          int64_t columns) {
    const int64_t rows = p->last_rows, height = p->padded_rows;
    const int64_t a_size = round_up(height * q->k * q->ab_bytes, 64);
    void *a_copy = scratch_of(s, thread, a_size + height * columns * q->c_bytes);
    if (a_copy == NULL) return BERTH_CPU_E_LIBRARY;
    void *c_copy = (char *)a_copy + a_size;
    copy_padded(a_copy, a, q->a_row, rows, height, q->k, q->ab_bytes);
    if (q->accumulate) copy_padded(c_copy, c, q->ldc, rows, height, columns, q->c_bytes);
    if (onednn_product_run(product, s->library, thread, c_copy, a_copy, b, bias) != 0)
        return BERTH_CPU_E_LIBRARY;
    for (int64_t i = 0; i < rows; i++)
        memcpy(element_of(c, i * q->ldc, q->c_bytes), element(c_copy, i * columns, q->c_bytes),
               (size_t)(columns * q->c_bytes));
    return BERTH_CPU_OK;
}

/* The tail of a sum over rows: both factors by way of the scratch. */
static int run_tail(const struct plan *p, berth_stream *s, const struct call *q, int thread, void *c,
                    const void *a, const void *b, const float *bias, struct onednn_product *product,
                    int64_t rows, int64_t columns) {
    const int64_t a_size = round_up(p->padded_tail * rows * q->ab_bytes, 64);
    void *a_copy = scratch_of(s, thread, a_size + p->padded_tail * columns * q->ab_bytes);
    if (a_copy == NULL) return BERTH_CPU_E_LIBRARY;
    void *b_copy = (char *)a_copy + a_size;
    copy_padded(a_copy, a, q->a_col, p->tail, p->padded_tail, rows, q->ab_bytes);
    copy_padded(b_copy, b, q->b_row, p->tail, p->padded_tail, columns, q->ab_bytes);
    return onednn_product_run(product, s->library, thread, c, a_copy, b_copy, bias) == 0 ? BERTH_CPU_OK
                                                                                         : BERTH_CPU_E_LIBRARY;
}

/* A single row of a, or a single column of c, whose elements are not neighbours in memory. NOTE: oneDNN 3.7
 * takes them for neighbours (seen with AVX-512; 2.6 is right), so these tiles go to the plain kernel. */
static bool is_strided_vector(const struct call *q, int64_t rows, int64_t columns) {
    return (rows == 1 && q->a_col != 1) || (columns == 1 && q->ldc != 1);
}

static int run_tile(const struct plan *p, berth_stream *s, const struct call *q, int64_t row_tile,
                    int64_t column_tile) {
    const int thread = omp_get_thread_num();
    const int bottom = row_tile == p->row_tiles - 1, right = column_tile == p->column_tiles - 1;
    const int64_t m0 = row_tile * p->tile_rows, n0 = column_tile * p->tile_columns;
    const int64_t rows = bottom ? p->last_rows : p->tile_rows;
    const int64_t columns = right ? p->last_columns : p->tile_columns;
    const int64_t pieces = p->whole + (p->rest > 0) + (p->tail > 0);
    void *c = element_of(q->c, m0 * q->ldc + n0, q->c_bytes);
    const void *a = element(q->a, m0 * q->a_row, q->ab_bytes), *b = element(q->b, n0 * q->b_col, q->ab_bytes);
    if (is_strided_vector(q, rows, columns))
        return s->small(c, a, b, q->bias == NULL ? NULL : q->bias + n0, rows, columns, q->k, q->lda, q->ldb,
                        q->ldc, q->form, q->accumulate, q->c_dtype, q->ab_dtype, s);
    int64_t k0 = 0;
    for (int64_t i = 0; i < pieces; i++) {
        const int kind = i < p->whole ? (i == 0 ? PIECE_FIRST : PIECE_LATER)
                                      : (i == p->whole && p->rest > 0 ? PIECE_REST : PIECE_TAIL);
        struct onednn_product *product = p->product[bottom][right][kind];
        const void *a_piece = element(a, k0 * q->a_col, q->ab_bytes);
        const void *b_piece = element(b, k0 * q->b_row, q->ab_bytes);
        const float *bias = q->bias == NULL || i > 0 ? NULL : q->bias + n0;
        int error;
        if (bottom && p->padded_rows != p->last_rows)
            error = run_short_rows(p, s, q, thread, c, a_piece, b_piece, bias, product, columns);
        else if (kind == PIECE_TAIL)
            error = run_tail(p, s, q, thread, c, a_piece, b_piece, bias, product, rows, columns);
        else
            error = onednn_product_run(product, s->library, thread, c, a_piece, b_piece, bias) == 0
                        ? BERTH_CPU_OK
                        : BERTH_CPU_E_LIBRARY;
        if (error != BERTH_CPU_OK) return error;
        k0 += piece_terms(p, kind);
    }
    return BERTH_CPU_OK;
}

/* ------------------------------------------------------------------ the operation */

static bool stream_has_bf16(const berth_stream *stream) {
    return stream == NULL || stream->has_bf16; /* without a stream the call fails for that */
}

int gemm_cpu(void *c, const void *a, const void *b, const float *bias, int64_t m, int64_t n, int64_t k,
             int64_t lda, int64_t ldb, int64_t ldc, enum berth_gemm_form form, int accumulate,
             enum berth_dtype c_dtype, enum berth_dtype ab_dtype, berth_stream *stream) {
    if (ab_dtype != BERTH_F32 && (ab_dtype != BERTH_BF16 || !stream_has_bf16(stream))) return BERTH_CPU_E_DTYPE;
    if (c_dtype != BERTH_F32 && (c_dtype != BERTH_BF16 || ab_dtype != BERTH_BF16)) return BERTH_CPU_E_DTYPE;
    if (stream == NULL) return BERTH_CPU_E_STREAM;
    if (m <= 0 || n <= 0) return BERTH_CPU_OK;
    if (k <= 0 || m * n * k < SMALL_PRODUCT)
        return stream->small(c, a, b, bias, m, n, k, lda, ldb, ldc, form, accumulate, c_dtype, ab_dtype,
                             stream);
    const bool sum_rows = form == BERTH_GEMM_TN;
    const struct call q = {c,
                           a,
                           b,
                           bias,
                           c_dtype,
                           ab_dtype,
                           c_dtype == BERTH_BF16 ? 2 : 4,
                           ab_dtype == BERTH_BF16 ? 2 : 4,
                           m,
                           n,
                           k,
                           sum_rows ? 1 : lda,
                           sum_rows ? lda : 1,
                           form == BERTH_GEMM_NT ? 1 : ldb,
                           form == BERTH_GEMM_NT ? ldb : 1,
                           ldc,
                           accumulate != 0,
                           sum_rows,
                           lda,
                           ldb,
                           form};
    struct plan p = {0};
    cut_grid(&p, &q);
    cut_sum(&p, &q);
    if (prepare(&p, stream, &q) != BERTH_OK) return BERTH_CPU_E_LIBRARY;
    const int threads = (int)smaller(omp_get_max_threads(), stream->threads);
    int failed = 0;
    /* Always a parallel region, even for one tile: inside it the library never opens one of its own. */
#pragma omp parallel for collapse(2) schedule(static) num_threads(threads) reduction(| : failed)
    for (int64_t j = 0; j < p.column_tiles; j++) /* columns outside: neighbours share their part of b */
        for (int64_t i = 0; i < p.row_tiles; i++)
            failed |= run_tile(&p, stream, &q, i, j);
    return failed ? BERTH_CPU_E_LIBRARY : BERTH_CPU_OK;
}

berth_status gemm_cpu_open(berth_stream **out, const struct berth_ops *reference, bool has_bf16) {
    berth_status status = BERTH_OK;
    berth_stream *s = NULL;
    BERTH_TRY_OUT(berth_calloc(&s, 1, sizeof *s));
    s->threads = omp_get_max_threads();
    s->small = reference->gemm;
    s->has_bf16 = has_bf16;
    BERTH_TRY_OUT(onednn_open(&s->library, s->threads));
    BERTH_TRY_OUT(berth_calloc(&s->table, 2 * PREPARED_MOST, sizeof *s->table));
    BERTH_TRY_OUT(berth_calloc(&s->scratch, (size_t)s->threads, sizeof *s->scratch));
    BERTH_TRY_OUT(berth_calloc(&s->scratch_bytes, (size_t)s->threads, sizeof *s->scratch_bytes));
out:
    if (status != BERTH_OK) {
        gemm_cpu_close(s);
        s = NULL;
    }
    *out = s;
    return status;
}

void gemm_cpu_close(berth_stream *stream) {
    if (stream == NULL) return;
    if (stream->table != NULL) drop_products(stream);
    for (int t = 0; stream->scratch != NULL && t < stream->threads; t++)
        free(stream->scratch[t]);
    free(stream->scratch);
    free(stream->scratch_bytes);
    free(stream->table);
    onednn_close(stream->library);
    free(stream);
}
