/* host_warp.cpp: warp operations, tensor-core instructions and asynchronous copies, emulated.
 *
 * Layouts of ldmatrix and mma.m16n8k16 are those of the PTX manual (sections "ldmatrix" and "Matrix fragments
 * for mma.m16n8k16 with floating point type"). A sum runs in the order of k in fp32: the hardware's order is
 * not defined, so results are compared by tolerance, never bit by bit.
 *
 * An asynchronous copy is done only when it is waited for, and its destination is NaN until then: a wait that
 * is too weak shows in the result, and the race detector reports the read itself. */
#include "host_cuda.h"

#include <stdlib.h>

using host::fail;
using host::run;
using host::slot_row;

static uint32_t lanes_of(unsigned mask) {
    return mask & run.warps[run.current->warp].exist;
}

/* Only a barrier of the whole warp orders the accesses of all its lanes. */
static void end_sync(slot_row *, uint32_t lanes) {
    host::warp *w = &run.warps[run.current->warp];
    if (lanes == w->exist) w->epoch++;
}

void __syncwarp(unsigned mask, const char *host_file, int host_line) {
    const int nothing = 0;
    host::meet(mask, HOST_SYNC, "__syncwarp", HOST_HERE, &nothing, sizeof nothing, end_sync);
}

unsigned __ballot_sync(unsigned mask, int predicate, const char *host_file, int host_line) {
    const slot_row *slot =
        host::meet(mask, HOST_BALLOT, "__ballot_sync", HOST_HERE, &predicate, sizeof predicate, nullptr);
    unsigned out = 0;
    for (unsigned lane = 0; lane < 32; lane++) {
        int value = 0;
        if (lanes_of(mask) >> lane & 1) memcpy(&value, slot[lane], sizeof value);
        if (value != 0) out |= 1u << lane;
    }
    return out;
}

void host_shuffle(void *out, const void *in, size_t bytes, unsigned mask, unsigned from, const char *name,
                  host::site where) {
    const slot_row *slot = host::meet(mask, HOST_SHUFFLE, name, where, in, bytes, nullptr);
    if (!(lanes_of(mask) >> from & 1))
        fail("%s:%d: %s reads lane %u, which is not in the mask %08x", where.file, where.line, name, from,
             mask);
    memcpy(out, slot[from], bytes);
}

/* ------------------------------------------------------------------ shared memory seen by instructions */

static bool in_arena(const void *at, size_t bytes) {
    const unsigned char *p = (const unsigned char *)at;
    return p >= run.arena && p + bytes <= run.arena + host::ARENA_BYTES;
}

static void touched(const void *at, size_t bytes, bool write) {
    if (run.touch != nullptr) run.touch(at, bytes, write, __builtin_return_address(0));
}

static void finish_copy(const host::pending_copy *c) {
    if (run.copy_issued != nullptr) run.copy_issued(c->to, 16, true);
    if (c->valid)
        memcpy(c->to, c->from, 16);
    else
        memset(c->to, 0, 16);
    touched(c->to, 16, true);
}

void async_copy16(void *to, const void *from, bool valid, const char *host_file, int host_line) {
    host::fiber *f = run.current;
    if ((uintptr_t)to % 16 != 0 || (uintptr_t)from % 16 != 0)
        fail("%s:%d: misaligned asynchronous copy from %p to %p", host_file, host_line, from, to);
    if (!in_arena(to, 16)) fail("%s:%d: an asynchronous copy to outside shared memory", host_file, host_line);
    if (f->copy_count == f->copy_room) {
        const int room = f->copy_room == 0 ? 64 : 2 * f->copy_room;
        void *more = realloc(f->copies, (size_t)room * sizeof *f->copies);
        if (more == nullptr) fail("no memory for asynchronous copies");
        f->copies = (host::pending_copy *)more;
        f->copy_room = room;
    }
    touched(to, 16, true);
    memset(to, 0xFF, 16);
    if (run.copy_issued != nullptr) run.copy_issued(to, 16, false);
    f->copies[f->copy_count++] = host::pending_copy{to, from, valid, f->copy_group};
}

void async_copy_commit() {
    run.current->copy_group++;
}

void host_copy_wait(int left) {
    host::fiber *f = run.current;
    int kept = 0;
    for (int i = 0; i < f->copy_count; i++) {
        if (f->copies[i].group < f->copy_group - left)
            finish_copy(&f->copies[i]);
        else
            f->copies[kept++] = f->copies[i];
    }
    f->copy_count = kept;
}

/* ------------------------------------------------------------------ ldmatrix */

/* Four 8 x 8 matrices of 16-bit elements; lane 8 m + i gives row i of matrix m. Lane l receives of each matrix
 * the elements (l/4, 2 (l%4)) and (l/4, 2 (l%4) + 1), transposed if TRANS. */
template <bool TRANS> static void end_ldmatrix(slot_row *slot, uint32_t) {
    uint32_t out[32][4];
    for (int m = 0; m < 4; m++) {
        uint16_t tile[8][8];
        for (int i = 0; i < 8; i++) {
            const void *row;
            memcpy(&row, slot[m * 8 + i], sizeof row);
            memcpy(tile[i], row, 16);
        }
        for (int lane = 0; lane < 32; lane++) {
            const int a = lane / 4, b = lane % 4 * 2;
            const uint32_t low = TRANS ? tile[b][a] : tile[a][b];
            const uint32_t high = TRANS ? tile[b + 1][a] : tile[a][b + 1];
            out[lane][m] = low | high << 16;
        }
    }
    for (int lane = 0; lane < 32; lane++)
        memcpy(slot[lane], out[lane], sizeof out[lane]);
}

static void ldmatrix(uint32_t (&r)[4], const void *row, host_operation operation, host::meeting_end *end,
                     host::site where) {
    if ((uintptr_t)row % 16 != 0) fail("%s:%d: misaligned row of ldmatrix at %p", where.file, where.line, row);
    if (!in_arena(row, 16)) fail("%s:%d: a row of ldmatrix outside shared memory", where.file, where.line);
    touched(row, 16, false);
    const slot_row *slot = host::meet(0xFFFFFFFFu, operation, "ldmatrix", where, &row, sizeof row, end);
    memcpy(r, slot[run.current->lane], sizeof r);
}

void ldmatrix_x4(uint32_t (&r)[4], const void *row, const char *host_file, int host_line) {
    ldmatrix(r, row, HOST_LDMATRIX, end_ldmatrix<false>, HOST_HERE);
}

void ldmatrix_x4_trans(uint32_t (&r)[4], const void *row, const char *host_file, int host_line) {
    ldmatrix(r, row, HOST_LDMATRIX_TRANS, end_ldmatrix<true>, HOST_HERE);
}

/* ------------------------------------------------------------------ mma.sync.m16n8k16.row.col.f32.bf16 */

struct mma_lane {
    uint32_t a[4], b[2];
    float c[4];
};

static float low_half(uint32_t pair) {
    return __uint_as_float(pair << 16);
}

static float high_half(uint32_t pair) {
    return __uint_as_float(pair & 0xFFFF0000u);
}

static void end_mma(slot_row *slot, uint32_t) {
    float a[16][16], b[16][8], c[16][8];
    for (int lane = 0; lane < 32; lane++) {
        const int g = lane / 4, t = lane % 4 * 2;
        mma_lane in;
        memcpy(&in, slot[lane], sizeof in);
        for (int i = 0; i < 4; i++) {
            const int row = g + (i & 1) * 8, column = t + (i >> 1) * 8;
            a[row][column] = low_half(in.a[i]);
            a[row][column + 1] = high_half(in.a[i]);
        }
        for (int i = 0; i < 2; i++) {
            b[t + i * 8][g] = low_half(in.b[i]);
            b[t + i * 8 + 1][g] = high_half(in.b[i]);
        }
        for (int i = 0; i < 4; i++)
            c[g + (i >> 1) * 8][t + (i & 1)] = in.c[i];
    }
    for (int i = 0; i < 16; i++)
        for (int k = 0; k < 16; k++)
            for (int j = 0; j < 8; j++)
                c[i][j] += a[i][k] * b[k][j];
    for (int lane = 0; lane < 32; lane++) {
        float out[4];
        for (int i = 0; i < 4; i++)
            out[i] = c[lane / 4 + (i >> 1) * 8][lane % 4 * 2 + (i & 1)];
        memcpy(slot[lane], out, sizeof out);
    }
}

void mma_bf16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, const char *host_file,
              int host_line) {
    mma_lane in;
    memcpy(in.a, a, sizeof in.a);
    in.b[0] = b0;
    in.b[1] = b1;
    memcpy(in.c, d, sizeof in.c);
    const slot_row *slot =
        host::meet(0xFFFFFFFFu, HOST_MMA, "mma.m16n8k16", HOST_HERE, &in, sizeof in, end_mma);
    memcpy(d, slot[run.current->lane], sizeof d);
}
