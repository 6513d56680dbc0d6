/* support_ops.c: tensors between guards, random inputs, comparisons. */
#include "ops/support_ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "berth/bf16.h"

#define GUARD 64 /* floats on each side */

static const uint32_t guard_bits = 0x7FC0DEADu; /* a NaN */

static void *must(void *pointer) {
    if (pointer == NULL) {
        fprintf(stderr, "test_ops: out of memory\n");
        exit(1);
    }
    return pointer;
}

static void *plain_alloc(size_t bytes) {
    return aligned_alloc(64, bytes);
}

static const char *plain_wait(void) {
    return NULL;
}

struct op_memory op_memory = {plain_alloc, free, plain_wait};

/* Bytes rounded up to 64. */
static size_t whole_lines(int64_t bytes) {
    return (size_t)((bytes + 63) / 64 * 64);
}

/* Memory that operations see, for at least one byte. */
static void *device_block(int64_t bytes) {
    return must(op_memory.alloc(whole_lines(bytes + 1)));
}

static double draw(struct op_ctx *x) {
    return berth_random_unit(17, BERTH_PURPOSE_TEST, 1, x->seed++);
}

int64_t op_below(struct op_ctx *x, int64_t bound) {
    return (int64_t)berth_random_below(17, BERTH_PURPOSE_TEST, 2, x->seed++, (uint64_t)bound);
}

static void fill_guard(float *at, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        memcpy(at + i, &guard_bits, sizeof guard_bits);
}

static struct op_tensor *declare(struct op_ctx *x, const char *name, int64_t rows, int64_t columns, bool output,
                                 bool adds) {
    BERTH_ASSERT(x->tensors < OP_TENSORS);
    struct op_tensor *t = &x->tensor[x->tensors++];
    const int64_t n = rows * columns;
    float *block = device_block((n + 2 * GUARD) * 4);
    memset(t, 0, sizeof *t);
    *t = (struct op_tensor){.name = name,
                            .rows = rows,
                            .columns = columns,
                            .output = output,
                            .adds = adds,
                            .tolerance = 1e-6,
                            .bf16 = 6e-3,
                            .f = block + GUARD};
    fill_guard(block, GUARD);
    fill_guard(t->f + n, GUARD);
    fill_guard(t->f, n); /* an output that only sets */
    if (!output || adds)
        for (int64_t i = 0; i < n; i++)
            t->f[i] = (float)(2 * draw(x) - 1);
    t->start = must(malloc((size_t)(n + 1) * sizeof(float)));
    memcpy(t->start, t->f, (size_t)n * sizeof(float));
    if (x->reference) {
        t->d = must(calloc((size_t)(n + 1), sizeof(double)));
        t->first = must(calloc((size_t)(n + 1), sizeof(double)));
        for (int64_t i = 0; i < n; i++)
            t->d[i] = t->first[i] = output && !adds ? 0 : (double)t->f[i];
    }
    return t;
}

struct op_tensor *op_input(struct op_ctx *x, const char *name, int64_t rows, int64_t columns) {
    return declare(x, name, rows, columns, false, false);
}

struct op_tensor *op_output(struct op_ctx *x, const char *name, int64_t rows, int64_t columns) {
    return declare(x, name, rows, columns, true, false);
}

struct op_tensor *op_added(struct op_ctx *x, const char *name, int64_t rows, int64_t columns) {
    return declare(x, name, rows, columns, true, true);
}

void op_range(struct op_ctx *x, struct op_tensor *t, double low, double high) {
    for (int64_t i = 0; i < t->rows * t->columns; i++) {
        t->f[i] = t->start[i] = (float)(low + (high - low) * draw(x));
        if (x->reference) t->d[i] = t->first[i] = (double)t->f[i];
    }
}

/* ------------------------------------------------------------------ bf16 */

static const uint16_t guard_half = 0x7FDA; /* a NaN */

static void narrow(struct op_tensor *t, const float *from) {
    for (int64_t i = 0; i < t->rows * t->columns; i++)
        t->half[i] = berth_bf16_of_float(from[i]);
}

static void make_half(struct op_ctx *x, struct op_tensor *t) {
    const int64_t n = t->rows * t->columns;
    uint16_t *block = device_block((n + 2 * GUARD) * 2);
    for (int64_t i = 0; i < n + 2 * GUARD; i++)
        block[i] = guard_half;
    t->half = block + GUARD;
    if (!t->output || t->adds)
        for (int64_t i = 0; i < n; i++) {
            t->f[i] = t->start[i] = berth_float_of_bf16(berth_bf16_of_float(t->f[i]));
            if (x->reference) t->d[i] = t->first[i] = (double)t->f[i];
        }
    narrow(t, t->f);
}

void op_activations(struct op_ctx *x, const char *names) {
    char list[256], *rest = NULL;
    snprintf(list, sizeof list, "%s", names);
    for (char *name = strtok_r(list, " ", &rest); name != NULL; name = strtok_r(NULL, " ", &rest)) {
        struct op_tensor *t = op_find(x, name);
        t->activation = true;
        if (x->dtype == BERTH_BF16) make_half(x, t);
    }
}

void *op_a(struct op_ctx *x, const char *name) {
    struct op_tensor *t = op_find(x, name);
    BERTH_ASSERT_MSG(t->activation, "%s of %s is no activation", name, x->c->kind->name);
    if (t->half != NULL) return t->half;
    return t->f;
}

void op_copy(struct op_ctx *x, const char *to, const char *from) {
    const struct op_tensor *t = op_find(x, to);
    const size_t bytes = (size_t)(t->rows * t->columns) * berth_dtype_size(x->dtype);
    if (bytes > 0) memcpy(op_a(x, to), op_a(x, from), bytes);
}

void op_collect(struct op_ctx *x) {
    for (int i = 0; i < x->tensors; i++) {
        struct op_tensor *t = &x->tensor[i];
        for (int64_t j = 0; t->half != NULL && t->output && j < t->rows * t->columns; j++)
            t->f[j] = berth_float_of_bf16(t->half[j]);
    }
}

int32_t *op_ints(struct op_ctx *x, int64_t count) {
    BERTH_ASSERT(x->int_count < OP_INTS);
    const int64_t bytes = (count + 1) * (int64_t)sizeof(int32_t);
    return x->ints[x->int_count++] = memset(device_block(bytes), 0, (size_t)bytes);
}

int64_t op_lengths(struct op_ctx *x, int32_t *cu, int64_t sequences, int64_t most) {
    cu[0] = 0;
    for (int64_t b = 0; b < sequences; b++)
        cu[b + 1] = cu[b] + (int32_t)(b == 0 ? most : 1 + op_below(x, most));
    return cu[sequences];
}

void op_dropout_rows(struct op_ctx *x, const int32_t *cu, int64_t sequences, float p, bool attention) {
    int32_t *ordinal = op_ints(x, attention ? sequences : cu[sequences]);
    int32_t *position = op_ints(x, attention ? 1 : cu[sequences]);
    for (int64_t b = 0; b < sequences; b++) {
        const int32_t example = (int32_t)(1000 + 7 * b);
        if (attention) ordinal[b] = example;
        for (int32_t t = cu[b]; t < cu[b + 1] && !attention; t++) {
            ordinal[t] = example;
            position[t] = t - cu[b];
        }
    }
    x->key = device_block(3 * sizeof *x->key);
    x->key[0] = 0x12345678u, x->key[1] = 0x9ABCDEFu, x->key[2] = 42;
    x->dropout = (struct berth_dropout){berth_dropout_threshold(p), 5, x->key, ordinal, position};
}

bool op_kept(const struct op_ctx *x, uint32_t ordinal, uint32_t head, uint32_t row, uint32_t column) {
    const uint32_t keep = berth_dropout_keep8(x->key[0], x->key[1], x->key[2], ordinal, x->dropout.site, head,
                                              row, column / 8, x->dropout.threshold);
    return (keep >> (column % 8)) & 1;
}

struct op_tensor *op_find(struct op_ctx *x, const char *name) {
    for (int i = 0; i < x->tensors; i++)
        if (strcmp(x->tensor[i].name, name) == 0) return &x->tensor[i];
    BERTH_ASSERT_MSG(false, "%s has no tensor %s", x->c->kind->name, name);
    return NULL;
}

double *op_d(struct op_ctx *x, const char *name) {
    return op_find(x, name)->d;
}

float *op_f(struct op_ctx *x, const char *name) {
    return op_find(x, name)->f;
}

static void free_workspace(struct op_ctx *x) {
    if (x->workspace != NULL) {
        op_memory.wait(); /* a call may still use it; what is wrong with one the driver asks for itself */
        op_memory.free((char *)x->workspace - 64);
    }
    x->workspace = NULL;
}

static void free_blocks(struct op_ctx *x) {
    for (int i = 0; i < x->blocks; i++)
        op_memory.free(x->block[i]);
    x->blocks = 0;
}

void *op_block(struct op_ctx *x, size_t bytes) {
    BERTH_ASSERT(x->blocks < OP_BLOCKS);
    return x->block[x->blocks++] = memset(device_block((int64_t)bytes), 0, bytes);
}

bool op_wait(struct op_ctx *x) {
    const char *wrong = op_memory.wait();
    if (wrong == NULL) return true;
    snprintf(x->message, sizeof x->message, "%s", wrong);
    return false;
}

void *op_workspace(struct op_ctx *x, size_t bytes) {
    if (x->workspace != NULL && x->workspace_bytes == bytes) return x->workspace;
    free_workspace(x);
    char *block = device_block((int64_t)bytes + 128);
    memset(block, 0xDD, 64);
    memset(block + 64 + bytes, 0xDD, 64);
    for (size_t i = 0; i + 4 <= bytes; i += 4)
        memcpy(block + 64 + i, &guard_bits, 4);
    x->workspace = block + 64;
    x->workspace_bytes = bytes;
    return x->workspace;
}

void op_open(struct op_ctx *x, const struct op_case *c, bool reference, enum berth_dtype dtype) {
    memset(x, 0, sizeof *x);
    x->dtype = dtype;
    x->c = c;
    x->reference = reference;
    x->seed = (uint32_t)(c->s[0] * 7919 + c->s[1] * 104729 + c->s[2] + c->flags * 13);
    c->kind->build(x);
}

void op_close(struct op_ctx *x) {
    for (int i = 0; i < x->tensors; i++) {
        op_memory.free(x->tensor[i].f - GUARD);
        if (x->tensor[i].half != NULL) op_memory.free(x->tensor[i].half - GUARD);
        free(x->tensor[i].start);
        free(x->tensor[i].d);
        free(x->tensor[i].first);
    }
    for (int i = 0; i < x->int_count; i++)
        op_memory.free(x->ints[i]);
    if (x->key != NULL) op_memory.free(x->key);
    free_workspace(x);
    free_blocks(x);
}

void op_restart(struct op_ctx *x) {
    for (int i = 0; i < x->tensors; i++) {
        struct op_tensor *t = &x->tensor[i];
        if (t->rows * t->columns > 0) memcpy(t->f, t->start, (size_t)(t->rows * t->columns) * sizeof(float));
        if (t->half != NULL) narrow(t, t->start);
    }
    free_workspace(x);
    free_blocks(x);
}

static bool guard_whole(const float *at, int64_t count, int64_t *where) {
    for (int64_t i = 0; i < count; i++) {
        if (memcmp(at + i, &guard_bits, sizeof guard_bits) == 0) continue;
        *where = i;
        return false;
    }
    return true;
}

static bool half_whole(struct op_ctx *x, const struct op_tensor *t) {
    const int64_t n = t->rows * t->columns;
    for (int64_t i = -GUARD; t->half != NULL && i < n + GUARD; i++) {
        const bool guard = i < 0 || i >= n, input = !guard && !t->output;
        if (guard && t->half[i] != guard_half)
            snprintf(x->message, sizeof x->message, "%s[%lld,%lld] in bf16: wrote at %lld, outside", t->name,
                     (long long)t->rows, (long long)t->columns, (long long)i);
        else if (input && t->half[i] != berth_bf16_of_float(t->start[i]))
            snprintf(x->message, sizeof x->message, "input %s (bf16) was changed at %lld", t->name,
                     (long long)i);
        else
            continue;
        return false;
    }
    return true;
}

bool op_guards(struct op_ctx *x) {
    int64_t where = 0;
    for (int i = 0; i < x->tensors; i++) {
        const struct op_tensor *t = &x->tensor[i];
        const int64_t n = t->rows * t->columns;
        if (!half_whole(x, t)) return false;
        const bool before = guard_whole(t->f - GUARD, GUARD, &where),
                   after = guard_whole(t->f + n, GUARD, &where);
        if (!before || !after) {
            snprintf(x->message, sizeof x->message, "%s[%lld,%lld]: wrote %s it, float %lld of the guard",
                     t->name, (long long)t->rows, (long long)t->columns, before ? "behind" : "before",
                     (long long)where);
            return false;
        }
        if (!t->output && n > 0 && memcmp(t->f, t->start, (size_t)n * sizeof(float)) != 0) {
            snprintf(x->message, sizeof x->message, "input %s was changed", t->name);
            return false;
        }
    }
    for (int i = 0; x->workspace != NULL && i < 64; i++) {
        const unsigned char *bytes = x->workspace;
        if (bytes[i - 64] == 0xDD && bytes[x->workspace_bytes + (size_t)i] == 0xDD) continue;
        snprintf(x->message, sizeof x->message, "workspace of %zu bytes: wrote outside it", x->workspace_bytes);
        return false;
    }
    return true;
}

bool op_compare(struct op_ctx *x, struct op_tensor *t) {
    const int64_t n = t->rows * t->columns;
    const double share = x->dtype == BERTH_BF16 ? t->bf16 : t->tolerance;
    double square = 0, error_square = 0, largest = 0, worst = 0;
    int64_t at = 0;
    for (int64_t i = 0; i < n; i++) {
        const double want = t->d[i], got = (double)t->f[i], error = fabs(got - want);
        square += want * want;
        error_square += error * error;
        if (fabs(want) > largest) largest = fabs(want);
        if (!(error <= worst)) { /* a NaN is the worst */
            worst = error;
            at = i;
            if (isnan(error)) break;
        }
    }
    const double norm = sqrt(error_square), limit = share * sqrt(square) + t->absolute * sqrt((double)n);
    if (n == 0 || (norm <= limit && worst <= 10 * (share * largest + t->absolute))) return true;
    snprintf(x->message, sizeof x->message,
             "%s[%lld,%lld]: got %.9g, expected %.9g; 2-norm of the error %.3g of %.3g allowed (NMSE %.3g)",
             t->name, (long long)(at / t->columns), (long long)(at % t->columns), (double)t->f[at], t->d[at],
             norm, limit, error_square / square);
    return false;
}

void op_title(const struct op_case *c, char *text, size_t size) {
    size_t used = (size_t)snprintf(text, size, "%s", c->kind->name);
    const char *letter = c->kind->sizes;
    for (int i = 0; i < OP_SIZES && *letter != '\0' && used < size; i++) {
        const int length = (int)strcspn(letter, " ");
        used += (size_t)snprintf(text + used, size - used, " %.*s=%lld", length, letter, (long long)c->s[i]);
        letter += length + (letter[length] == ' ');
    }
    const char *name = c->kind->flags;
    for (unsigned bit = 1; name != NULL && *name != '\0' && used < size; bit *= 2) {
        const int length = (int)strcspn(name, " ");
        if (c->flags & bit) used += (size_t)snprintf(text + used, size - used, " %.*s", length, name);
        name += length + (name[length] == ' ');
    }
}
