/* support_golden.h: the reference's numbers (scripts/make_model_golden.py) and a model that should give the
 * same. */
#ifndef SUPPORT_GOLDEN_H
#define SUPPORT_GOLDEN_H

#include "model/support_model.h"

/* A case of tests/golden/model_cases.json: a model with the case's values, and its batch. */
struct golden {
    struct berth_json *cases;
    int index; /* of the case */
    struct berth_safetensors *file;
    struct berth_device *device;
    struct berth_model *model; /* allocated */
    struct berth_tape *tape;
    struct berth_batch batch;
    double all_gradients; /* 2-norm of the reference's gradients together */
};
/* folder: whose weights the backbone has; NULL: derived ones. */
void golden_open(struct golden *g, const char *name, const char *folder);
void golden_open_on(struct golden *g, const char *device, const char *name, const char *folder);
void golden_close(struct golden *g);
double golden_number(const struct golden *g, const char *key); /* of the case: "adamw.lr" */

/* How far a tensor x lies from the reference's r, which was computed in double. Of a tensor that is kept as
 * projections the distance is their estimate: within 9 % of it in two cases of three. */
struct golden_distance {
    double distance; /* ||x - r||_2 */
    double norm;     /* ||r||_2 */
    double error;    /* ||r32 - r||_2, r32 the reference's in float */
    bool estimated;
};
struct golden_distance golden_compare(const struct golden *g, const char *name, const float *x, int64_t count);

/* The largest |x[i] - r[i]| / |r[i]| of a tensor that is kept whole. */
double golden_worst(const struct golden *g, const char *name, const float *x, int64_t count);

/* Runs the case and shows every result by its name: hidden.L, pooled.NAME, HEAD.logits, HEAD.losses, loss, and
 * grad.PARAMETER of all parameters. */
typedef void (*golden_visit)(void *user, const char *name, const float *x, int64_t count);
void golden_run(struct golden *g, golden_visit visit, void *user);

/* Collects what breaks the rule of equal numbers. Of a tensor x with the reference's r:
 *
 *     ||x - r|| <= 1e-5 ||r||, or, for a gradient, <= 1e-6 of the norm of all gradients together, and
 *     ||x - r|| <= 2 max(||r32 - r||, floor); where the distance is estimated 27 % more: three deviations
 *
 * and for all gradients together <= 2 ||r32 - r||. The floor is what rounding a float once may do, 6e-8 ||r||; for
 * tensors of less than 256 numbers 5e-7 ||r||, as by chance the reference meets a few numbers far better than the
 * others (a single loss: to 5e-10); for gradients at least 5e-9 of the norm of all gradients, as a small gradient is
 * a difference of large ones. That of a key bias is zero in theory: softmax does not see what is added to all its
 * arguments. */
struct parity {
    const struct golden *g;
    int tensors, broken;
    char first[256];           /* the first tensor that breaks it */
    double square, own_square; /* of all gradients: ||x - r||, ||r32 - r|| */
    double worst, worst_ratio; /* ||x - r|| / ||r||; ||x - r|| / max(||r32 - r||, floor) */
    char worst_name[96], worst_ratio_name[96];
};
void parity_visit(void *parity, const char *name, const float *x, int64_t count);
/* Runs the case; *p says how it went. */
void parity_run(struct parity *p, struct golden *g);
/* The same; fails the test where a tensor breaks the rule. */
void parity_check(struct golden *g, const char *name);

/* The same pass in bf16 against the same r. */
struct half_bounds {
    double hidden, logits, loss; /* relative, the worst of each kind */
    double all, one; /* of all gradients together; of one with a hundredth of the norm of all or more */
};
/* Skips the test where the device has no units for bf16. */
void parity_check_half(struct golden *g, const char *name, const struct half_bounds *most);

#endif /* SUPPORT_GOLDEN_H */
