/* support_model.h: what the tests of the model share: derived weights, batches, losses, folders. */
#ifndef SUPPORT_MODEL_H
#define SUPPORT_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/model_priv.h"

#define check_ok(expr)                                                                                         \
    do {                                                                                                       \
        berth_status ok_status_ = (expr);                                                                      \
        if (ok_status_ != BERTH_OK)                                                                            \
            fail_msg("%s: %s: %s", #expr, berth_status_name(ok_status_), berth_error_text());                  \
    } while (0)
/* The call fails with this state and a text that holds this one. */
#define check_fails(expr, code, part)                                                                          \
    do {                                                                                                       \
        berth_status fails_status_ = (expr);                                                                   \
        if (fails_status_ != (code) || strstr(berth_error_text(), part) == NULL)                               \
            fail_msg("%s: expected %s with '%s', got %s with '%s'", #expr, berth_status_name(code), part,      \
                     berth_status_name(fails_status_), berth_error_text());                                    \
    } while (0)

/* "folder/name", freed by the caller. */
char *model_path(const char *folder, const char *name);
char *model_temp_folder(void); /* removed with all in it by: */
void model_temp_remove(char *folder);
void model_put_text(const char *folder, const char *name, const char *text);
char *model_read_text(const char *folder, const char *name);

/* Collects what is logged, one line each, between begin and end (which gives the text; freed by the caller). */
void log_capture_begin(void);
char *log_capture_end(void);

/* ---- small models */
/* layers 2, hidden 24, 3 attention heads, intermediate 40, vocabulary 50, 20 positions, dropout 0.1. */
void small_config(struct berth_model_config *c, const char *model_type);
struct berth_model *small_model(struct berth_device *dev, const char *model_type);
void small_head(struct berth_head *h, const char *name, enum berth_task_kind kind, enum berth_pooling pooling,
                int classes); /* labels "l0", "l1", ...; berth_task_deinit(&h->task) */
void small_add_head(struct berth_model *m, const char *name, enum berth_task_kind kind,
                    enum berth_pooling pooling, int classes);
/* Sequences of these lengths with derived tokens; ordinals 0, 1, ...; one task a head, every sequence (every
 * row) an item with a derived label. */
void small_batch(struct berth_batch *b, const struct berth_model *m, const int64_t *lengths, int count);
/* Derived values in place of the first ones, biases and norms among them. */
void derive_values(struct berth_model *m, uint64_t seed, double scale);
/* Of owners from first_owner on: 0 the backbone too, 1 the heads alone. */
void derive_some(struct berth_model *m, uint64_t seed, double scale, int first_owner);
float *values_of(const struct berth_model *m, const char *name); /* freed by the caller */

/* ---- gradients and the loss */
/* All gradients in one buffer laid out as the values are. */
struct gradients {
    float *buffer;
    float **pointers;
};
void gradients_init(struct gradients *g, const struct berth_model *m);
void gradients_deinit(struct gradients *g, const struct berth_model *m);
/* Sum over heads of the mean of its labelled items' losses; losses[i] may be looked at until the next reset. */
berth_status total_loss(struct berth_model *m, struct berth_tape *tape, const struct berth_batch *b,
                        const struct berth_forward_options *options, struct berth_tensor **losses,
                        struct berth_tensor **logits, struct berth_tensor **out);

#endif /* SUPPORT_MODEL_H */
