/* support_tape.c: the encoder that the tests of the tape run, and their checks. */
#include "support_tape.h"

#include <math.h>
#include <omp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct berth_device *dev;

int open_device(void **state) {
    (void)state;
    return berth_device_open(&dev, "cpu") != BERTH_OK;
}

int close_device(void **state) {
    (void)state;
    berth_device_close(dev);
    return 0;
}

void check_ok(berth_status status) {
    if (status != BERTH_OK)
        fail_msg("%s: %s (%s)", berth_status_name(status), berth_error_text(), berth_error_place());
}

void check_abort(void (*body)(void *user), void *user, const char *text) {
    int ends[2], how = 0;
    char message[2048] = "";
    assert_int_equal(pipe(ends), 0);
    (void)fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)signal(SIGABRT, SIG_DFL);
        (void)dup2(ends[1], STDERR_FILENO);
        omp_set_num_threads(1); /* the threads of a team are not in the child */
        (void)alarm(20);
        body(user);
        _exit(0);
    }
    close(ends[1]);
    size_t used = 0;
    ssize_t got = 0;
    while (used + 1 < sizeof message && (got = read(ends[0], message + used, sizeof message - 1 - used)) > 0)
        used += (size_t)got;
    close(ends[0]);
    assert_int_equal(waitpid(child, &how, 0), child);
    if (!WIFSIGNALED(how) || WTERMSIG(how) != SIGABRT) fail_msg("no abort; expected one saying \"%s\"", text);
    if (strstr(message, text) == NULL) fail_msg("expected \"%s\" in: %s", text, message);
}

void random_fill(float *x, int64_t n, uint32_t stream, double scale) {
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)(scale * berth_random_normal(5, BERTH_PURPOSE_TEST, stream, (uint64_t)i));
}

void order_by_id(int32_t *order, const int32_t *ids, int64_t n) {
    int64_t used = 0;
    for (int32_t id = 0; used < n; id++) {
        for (int64_t t = 0; t < n; t++) {
            if (ids[t] == id) order[used++] = (int32_t)t;
        }
    }
}

/* ------------------------------------------------------------------ the encoder */

static void add(struct tape_encoder *e, const char *name, int64_t stage, int rank, int64_t d0, int64_t d1,
                double scale, double shift) {
    assert_true(e->count < ENCODER_PARAMETERS);
    struct encoder_parameter *p = &e->parameters[e->count];
    (void)snprintf(p->name, sizeof p->name, "%lld.%s", (long long)stage, name);
    p->stage = stage;
    p->rank = rank;
    p->shape[0] = d0;
    p->shape[1] = d1;
    p->count = rank == 1 ? d0 : d0 * d1;
    p->data = test_calloc((size_t)p->count, sizeof(float));
    if (stage >= e->s.frozen) p->grad = test_calloc((size_t)p->count, sizeof(float));
    random_fill(p->data, p->count, 1000u + (uint32_t)e->count, scale);
    for (int64_t i = 0; i < p->count; i++)
        p->data[i] += (float)shift;
    e->count++;
}

static void add_norm(struct tape_encoder *e, int64_t stage) {
    add(e, "gain", stage, 1, e->s.hidden, 0, 0.1, 1.0);
    add(e, "shift", stage, 1, e->s.hidden, 0, 0.1, 0.0);
}

void encoder_open(struct tape_encoder *e, struct encoder_sizes sizes) {
    *e = (struct tape_encoder){.s = sizes, .key = {11, 0, 3}};
    const int64_t h = sizes.hidden, f = sizes.inner, heads = 1 + sizes.layers;
    const double scale = 1.0 / sqrt((double)h);
    add(e, "token", 0, 2, ENCODER_VOCABULARY, h, 0.5, 0.0);
    add(e, "position", 0, 2, ENCODER_POSITIONS, h, 0.5, 0.0);
    add(e, "segment", 0, 2, 2, h, 0.5, 0.0);
    add_norm(e, 0);
    for (int64_t l = 1; l <= sizes.layers; l++) {
        add(e, "qkv", l, 2, 3 * h, h, scale, 0.0);
        add(e, "qkv_bias", l, 1, 3 * h, 0, 0.1, 0.0);
        add(e, "output", l, 2, h, h, scale, 0.0);
        add(e, "output_bias", l, 1, h, 0, 0.1, 0.0);
        add_norm(e, l);
        add(e, "up", l, 2, f, h, scale, 0.0);
        add(e, "up_bias", l, 1, f, 0, 0.1, 0.0);
        add(e, "down", l, 2, h, f, 1.0 / sqrt((double)f), 0.0);
        add(e, "down_bias", l, 1, h, 0, 0.1, 0.0);
        add_norm(e, l);
    }
    add(e, "first", heads, 2, ENCODER_CLASSES, h, scale, 0.0);
    add(e, "first_bias", heads, 1, ENCODER_CLASSES, 0, 0.1, 0.0);
    add(e, "mean", heads, 2, ENCODER_CLASSES, h, scale, 0.0);
    add(e, "mean_bias", heads, 1, ENCODER_CLASSES, 0, 0.1, 0.0);
    for (int k = 0; k < ENCODER_CLASSES; k++)
        e->class_weight[k] = 0.5f + 0.25f * (float)k;
    int32_t **arrays[] = {&e->token,          &e->position,      &e->segment,     &e->token_order,
                          &e->position_order, &e->segment_order, &e->row_ordinal, &e->cu_seqlens,
                          &e->ordinal,        &e->label,         &e->first_row,   &e->sequence};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        *arrays[i] = test_calloc((size_t)sizes.most_tokens + 1, sizeof(int32_t));
}

void encoder_close(struct tape_encoder *e) {
    for (int i = 0; i < e->count; i++) {
        test_free(e->parameters[i].data);
        if (e->parameters[i].grad != NULL) test_free(e->parameters[i].grad);
    }
    int32_t *arrays[] = {e->token,          e->position,      e->segment,     e->token_order,
                         e->position_order, e->segment_order, e->row_ordinal, e->cu_seqlens,
                         e->ordinal,        e->label,         e->first_row,   e->sequence};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        test_free(arrays[i]);
}

static int32_t draw(uint32_t stream, int64_t at, uint64_t bound) {
    return (int32_t)berth_random_below(9, BERTH_PURPOSE_TEST, stream, (uint64_t)at, bound);
}

void encoder_batch(struct tape_encoder *e, const int64_t *lengths, int64_t sequences) {
    int64_t t = 0;
    e->sequences = sequences;
    e->longest = 0;
    for (int64_t b = 0; b < sequences; b++) {
        e->longest = lengths[b] > e->longest ? lengths[b] : e->longest;
        e->first_row[b] = (int32_t)t;
        e->sequence[b] = (int32_t)(sequences - 1 - b);
        e->ordinal[b] = (int32_t)(7 + b);
        e->label[b] = b % 4 == 3 ? -1 : draw(1, b, ENCODER_CLASSES);
        for (int64_t i = 0; i < lengths[b]; i++, t++) {
            assert_true(t < e->s.most_tokens && i < ENCODER_POSITIONS);
            e->token[t] = draw(2, t, ENCODER_VOCABULARY);
            e->position[t] = (int32_t)i;
            e->segment[t] = i > lengths[b] / 2;
            e->row_ordinal[t] = e->ordinal[b];
        }
        e->cu_seqlens[b + 1] = (int32_t)t;
    }
    e->tokens = t;
    order_by_id(e->token_order, e->token, t);
    order_by_id(e->position_order, e->position, t);
    order_by_id(e->segment_order, e->segment, t);
}

void encoder_batch_of(struct tape_encoder *e, int64_t tokens, int64_t longest) {
    int64_t lengths[256], count = 0;
    for (int64_t left = tokens; left > 0; left -= lengths[count++]) {
        assert_true(count < 256);
        lengths[count] = 1 + draw(3, 1000 * tokens + count, (uint64_t)longest);
        if (lengths[count] > left) lengths[count] = left;
    }
    encoder_batch(e, lengths, count);
}

struct cursor {
    struct berth_tape *tape;
    struct tape_encoder *e;
    int next; /* parameter */
    uint32_t site;
};

static berth_status take(struct cursor *c, struct berth_tensor **out) {
    struct encoder_parameter *p = &c->e->parameters[c->next++];
    return berth_tape_parameter(c->tape, out, p->data, p->grad, p->rank, p->shape);
}

static berth_status linear(struct cursor *c, struct berth_tensor **out, struct berth_tensor *x) {
    struct berth_tensor *w = NULL, *b = NULL;
    BERTH_TRY(take(c, &w));
    BERTH_TRY(take(c, &b));
    return berth_op_linear(c->tape, out, x, w, b);
}

static struct berth_tape_dropout mask(struct cursor *c, bool attention) {
    return (struct berth_tape_dropout){.rate = c->e->s.rate,
                                       .site = c->site++,
                                       .key = c->e->key,
                                       .ordinal = attention ? c->e->ordinal : c->e->row_ordinal,
                                       .position = c->e->position};
}

static berth_status norm(struct cursor *c, struct berth_tensor **out, struct berth_tensor *x,
                         struct berth_tensor *residual) {
    struct berth_tensor *gain = NULL, *shift = NULL;
    const struct berth_tape_dropout d = mask(c, false);
    BERTH_TRY(take(c, &gain));
    BERTH_TRY(take(c, &shift));
    BERTH_TRY(berth_op_layernorm(c->tape, out, x, residual, gain, shift, 1e-12f, residual == NULL ? NULL : &d));
    berth_tape_drop(c->tape, residual);
    return BERTH_OK;
}

static berth_status encoder_layer(struct cursor *c, struct berth_tensor **inout_x) {
    struct berth_tensor *x = *inout_x, *qkv = NULL, *context = NULL, *sum = NULL, *up = NULL, *active = NULL;
    struct berth_tensor *w = NULL, *bias = NULL;
    const struct tape_encoder *e = c->e;
    const struct berth_tape_dropout d = mask(c, true);
    BERTH_TRY(linear(c, &qkv, x));
    BERTH_TRY(
        berth_op_attention(c->tape, &context, qkv, e->cu_seqlens, e->sequences, e->longest, e->s.heads, &d));
    berth_tape_drop(c->tape, qkv);
    BERTH_TRY(linear(c, &sum, context));
    berth_tape_drop(c->tape, context);
    BERTH_TRY(norm(c, &x, sum, x));
    BERTH_TRY(take(c, &w));
    BERTH_TRY(take(c, &bias));
    BERTH_TRY(berth_op_linear(c->tape, &up, x, w, NULL));
    BERTH_TRY(berth_op_bias_act(c->tape, &active, up, bias, BERTH_ACT_GELU));
    berth_tape_drop(c->tape, up);
    BERTH_TRY(linear(c, &sum, active));
    berth_tape_drop(c->tape, active);
    return norm(c, inout_x, sum, x);
}

static berth_status encoder_head(struct cursor *c, struct berth_tensor *features, float smoothing,
                                 struct berth_tensor **loss) {
    struct berth_tensor *logits = NULL, *items = NULL;
    BERTH_TRY(linear(c, &logits, features));
    berth_tape_drop(c->tape, features);
    BERTH_TRY(berth_op_cross_entropy(c->tape, &items, logits, c->e->label,
                                     smoothing > 0.0f ? c->e->class_weight : NULL, smoothing));
    berth_tape_drop(c->tape, logits);
    BERTH_TRY(berth_op_scaled_sum(c->tape, loss, items, 1.0f / (float)(1 + c->e->sequences)));
    berth_tape_drop(c->tape, items);
    return BERTH_OK;
}

berth_status encoder_build(struct berth_tape *tape, struct berth_tensor **loss, void *encoder) {
    struct tape_encoder *e = encoder;
    struct cursor c = {.tape = tape, .e = e};
    struct berth_tensor *table[3] = {0}, *x = NULL, *y = NULL, *rows = NULL, *first = NULL, *second = NULL;
    const struct berth_embedding_rows ids = {e->token,          e->position,      e->segment, e->token_order,
                                             e->position_order, e->segment_order, NULL,       e->tokens};
    for (int i = 0; i < 3; i++)
        BERTH_TRY(take(&c, &table[i]));
    BERTH_TRY(berth_op_embedding(tape, &x, table[0], table[1], table[2], &ids));
    BERTH_TRY(norm(&c, &y, x, NULL));
    const struct berth_tape_dropout d = mask(&c, false);
    BERTH_TRY(berth_op_dropout(tape, &x, y, &d));
    berth_tape_drop(tape, y);
    for (int64_t l = 0; l < e->s.layers; l++)
        BERTH_TRY(encoder_layer(&c, &x));
    BERTH_TRY(berth_op_gather_rows(tape, &rows, x, e->first_row, e->sequences));
    BERTH_TRY(encoder_head(&c, rows, 0.0f, &first));
    BERTH_TRY(berth_op_mean_pool(tape, &rows, x, e->sequence, e->cu_seqlens, e->sequences));
    berth_tape_drop(tape, x);
    BERTH_TRY(encoder_head(&c, rows, 0.1f, &second));
    BERTH_TRY(berth_op_add(tape, loss, first, second));
    berth_tape_drop(tape, first);
    berth_tape_drop(tape, second);
    BERTH_ASSERT_EQ(c.next, e->count);
    return BERTH_OK;
}

void encoder_zero_gradients(struct tape_encoder *e) {
    for (int i = 0; i < e->count; i++) {
        struct encoder_parameter *p = &e->parameters[i];
        if (p->grad != NULL) memset(p->grad, 0, (size_t)p->count * sizeof(float));
    }
}

struct berth_hash128 encoder_gradient_hash(const struct tape_encoder *e) {
    struct berth_hasher *hasher = NULL;
    check_ok(berth_hasher_create(&hasher));
    for (int i = 0; i < e->count; i++) {
        const struct encoder_parameter *p = &e->parameters[i];
        if (p->grad != NULL) berth_hasher_add(hasher, p->grad, (size_t)p->count * sizeof(float));
    }
    return berth_hasher_end(hasher);
}
