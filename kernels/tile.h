/* tile.h: the register-blocked product of small matrices, for attention and for the plain matrix product.
 *
 *     c[r, 0..n) (+)= Σ_k a[r, k] b[k, 0..n)          n a multiple of BERTH_VEC
 *
 * a is read one element at a time and broadcast, so it may have any two strides (a transposed factor costs
 * nothing); b and c have contiguous rows. An inner tile is up to TILE_ROWS x TILE_VECS vectors of c, held in
 * registers over all of k: 6 x 4 of the 32 registers of AVX-512, 6 x 2 of the 16 of AVX2. With 24 or 12 chains
 * the multiply-adds never wait for one another.
 *
 * An element of c is one chain over k in order whatever the tile it falls in, so its bits do not depend on m
 * and n. Vectors are GCC's and clang's vector extension: one source for each instruction set. */
#ifndef BERTH_KERNELS_TILE_H
#define BERTH_KERNELS_TILE_H

#include "common.h"

#if defined(__AVX512F__)
#define BERTH_VEC 16
#define TILE_VECS 4
#define VEC_ZIP_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define VEC_ZIP_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif defined(__AVX__)
#define BERTH_VEC 8
#define TILE_VECS 2
#define VEC_ZIP_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define VEC_ZIP_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#else
#define BERTH_VEC 4
#define TILE_VECS 2
#define VEC_ZIP_LOW 0, 4, 1, 5
#define VEC_ZIP_HIGH 2, 6, 3, 7
#endif
#define TILE_ROWS 6

typedef float berth_vec __attribute__((vector_size(BERTH_VEC * sizeof(float))));
typedef float berth_vec_unaligned
    __attribute__((vector_size(BERTH_VEC * sizeof(float)), aligned(sizeof(float)), may_alias));

static inline berth_vec vec_load(const float *from) {
    return *(const berth_vec_unaligned *)from;
}

static inline void vec_store(float *to, berth_vec value) {
    *(berth_vec_unaligned *)to = value;
}

/* The sum of a vector's elements, by halves: log2 steps, where the compiler's own reduction takes one a lane.
 */
static inline float vec_sum(berth_vec value) {
    typedef float vec4 __attribute__((vector_size(16)));
#if BERTH_VEC == 16
    typedef float vec8 __attribute__((vector_size(32)));
    const vec8 eight = __builtin_shufflevector(value, value, 0, 1, 2, 3, 4, 5, 6, 7) +
                       __builtin_shufflevector(value, value, 8, 9, 10, 11, 12, 13, 14, 15);
#elif BERTH_VEC == 8
    const berth_vec eight = value;
#endif
#if BERTH_VEC == 4
    const vec4 four = value;
#else
    const vec4 four =
        __builtin_shufflevector(eight, eight, 0, 1, 2, 3) + __builtin_shufflevector(eight, eight, 4, 5, 6, 7);
#endif
    const vec4 two = four + __builtin_shufflevector(four, four, 2, 3, 0, 1);
    return two[0] + two[1];
}

/* mr and nv are constants where this is inlined, so acc is a set of registers. */
static inline __attribute__((always_inline)) void tile_fixed(float *c, int64_t ldc, const float *a,
                                                             int64_t a_row, int64_t a_k, const float *b,
                                                             int64_t ldb, int64_t k, int accumulate,
                                                             const int mr, const int nv) {
    berth_vec acc[TILE_ROWS][TILE_VECS];
    for (int r = 0; r < mr; r++)
        for (int v = 0; v < nv; v++)
            acc[r][v] = accumulate ? vec_load(c + r * ldc + v * BERTH_VEC) : (berth_vec){0};
    for (int64_t i = 0; i < k; i++) {
        berth_vec bv[TILE_VECS];
        for (int v = 0; v < nv; v++)
            bv[v] = vec_load(b + i * ldb + v * BERTH_VEC);
        for (int r = 0; r < mr; r++) {
            const float factor = a[r * a_row + i * a_k];
            for (int v = 0; v < nv; v++)
                acc[r][v] += factor * bv[v];
        }
    }
    for (int r = 0; r < mr; r++)
        for (int v = 0; v < nv; v++)
            vec_store(c + r * ldc + v * BERTH_VEC, acc[r][v]);
}

#define TILE_CASE(mr, nv)                                                                                      \
    case (mr)*8 + (nv):                                                                                        \
        tile_fixed(c, ldc, a, a_row, a_k, b, ldb, k, accumulate, (mr), (nv));                                  \
        break;
#define TILE_CASES(nv)                                                                                         \
    TILE_CASE(1, nv) TILE_CASE(2, nv) TILE_CASE(3, nv) TILE_CASE(4, nv) TILE_CASE(5, nv) TILE_CASE(6, nv)

static void tile_run(float *c, int64_t ldc, const float *a, int64_t a_row, int64_t a_k, const float *b,
                     int64_t ldb, int64_t k, int accumulate, int64_t mr, int64_t nv) {
    switch (mr * 8 + nv) {
        TILE_CASES(1)
        TILE_CASES(2)
#if TILE_VECS == 4
        TILE_CASES(3)
        TILE_CASES(4)
#endif
    }
}

/* The next share of `left`: all of it, the most a tile takes, or half when the rest would be a thin tile. */
static inline int64_t tile_share(int64_t left, int64_t most) {
    return left <= most ? left : left >= 2 * most ? most : (left + 1) / 2;
}

/* c[m, n] (+)= a[m, k] b[k, n], n a multiple of BERTH_VEC; element (r, i) of a is a[r * a_row + i * a_k]. */
static inline void tile_product(float *c, int64_t ldc, const float *a, int64_t a_row, int64_t a_k,
                                const float *b, int64_t ldb, int64_t m, int64_t n, int64_t k, int accumulate) {
    for (int64_t j = 0, nv; j < n; j += nv * BERTH_VEC) {
        nv = tile_share((n - j) / BERTH_VEC, TILE_VECS);
        for (int64_t r = 0, mr; r < m; r += mr) {
            mr = tile_share(m - r, TILE_ROWS);
            tile_run(c + r * ldc + j, ldc, a + r * a_row, a_row, a_k, b + j, ldb, k, accumulate, mr, nv);
        }
    }
}

/* to[j, i] = from[i, j] for a square of BERTH_VEC rows, of which `rows` exist (the others count as zero): each
 * round zips row i with row i + half, which after log2(BERTH_VEC) rounds is the transpose. */
static inline void tile_transpose_square(float *to, int64_t ld_to, const float *from, int64_t ld_from,
                                         int64_t rows) {
    berth_vec row[2][BERTH_VEC];
    for (int i = 0; i < BERTH_VEC; i++)
        row[0][i] = i < rows ? vec_load(from + i * ld_from) : (berth_vec){0};
    int now = 0;
#pragma GCC unroll 4
    for (int width = 1; width < BERTH_VEC; width *= 2) {
#pragma GCC unroll 16
        for (int i = 0; i < BERTH_VEC / 2; i++) {
            const berth_vec low = row[now][i], high = row[now][i + BERTH_VEC / 2];
            row[1 - now][2 * i] = __builtin_shufflevector(low, high, VEC_ZIP_LOW);
            row[1 - now][2 * i + 1] = __builtin_shufflevector(low, high, VEC_ZIP_HIGH);
        }
        now = 1 - now;
    }
#pragma GCC unroll 16
    for (int i = 0; i < BERTH_VEC; i++)
        vec_store(to + i * ld_to, row[now][i]);
}

/* to[columns, padded] = transpose of from[rows, columns], padded = rows rounded up to BERTH_VEC, rest zero */
static inline void tile_transpose(float *to, const float *from, int64_t ld_from, int64_t rows,
                                  int64_t columns) {
    const int64_t padded = berth_round_up(rows, BERTH_VEC), whole = columns / BERTH_VEC * BERTH_VEC;
    for (int64_t i = 0; i < rows; i += BERTH_VEC)
        for (int64_t j = 0; j < whole; j += BERTH_VEC)
            tile_transpose_square(to + j * padded + i, padded, from + i * ld_from + j, ld_from, rows - i);
    for (int64_t j = whole; j < columns; j++)
        for (int64_t i = 0; i < padded; i++)
            to[j * padded + i] = i < rows ? from[i * ld_from + j] : 0.0f;
}

/* to[rows, padded] = from[rows, columns], padded = columns rounded up to BERTH_VEC, rest zero */
static inline void tile_pack(float *to, const float *from, int64_t ld_from, int64_t rows, int64_t columns) {
    const int64_t padded = berth_round_up(columns, BERTH_VEC);
    if (padded == columns) {
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < columns; j += BERTH_VEC)
                vec_store(to + i * padded + j, vec_load(from + i * ld_from + j));
        return;
    }
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < columns; j++)
            to[i * padded + j] = from[i * ld_from + j];
        for (int64_t j = columns; j < padded; j++)
            to[i * padded + j] = 0.0f;
    }
}

#endif /* BERTH_KERNELS_TILE_H */
