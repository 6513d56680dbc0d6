/* support_parity.c: the rule of equal numbers, in fp32 and in bf16. */
#include <math.h>
#include <stdio.h>

#include "model/support_golden.h"

static bool is_gradient(const char *name) {
    return strncmp(name, "grad.", 5) == 0;
}

void parity_visit(void *parity, const char *name, const float *x, int64_t count) {
    struct parity *p = parity;
    const struct golden_distance d = golden_compare(p->g, name, x, count);
    const double all = is_gradient(name) ? p->g->all_gradients : 0.0;
    const bool vanishes = strstr(name, ".key.bias") != NULL;
    const double floor = fmax(5e-9 * all, (count < 256 ? 5e-7 : 6e-8) * d.norm);
    const double allowed = d.error > floor ? d.error : floor, ratio = d.distance / allowed;
    const bool near = d.distance <= 1e-5 * d.norm || (all > 0.0 && d.distance <= 1e-6 * all);
    p->tensors++;
    if (all > 0.0) {
        p->square += d.distance * d.distance;
        p->own_square += d.error * d.error;
    }
    if (!(near && ratio <= (d.estimated ? 2.0 * 1.27 : 2.0)) && p->broken++ == 0)
        snprintf(p->first, sizeof p->first,
                 "%s: distance %.3g, norm %.3g, relative %.3g; the reference's own error %.3g", name,
                 d.distance, d.norm, d.distance / d.norm, d.error);
    if (!vanishes && d.distance / d.norm > p->worst) {
        p->worst = d.distance / d.norm;
        snprintf(p->worst_name, sizeof p->worst_name, "%s", name);
    }
    if (ratio > p->worst_ratio) {
        p->worst_ratio = ratio;
        snprintf(p->worst_ratio_name, sizeof p->worst_ratio_name, "%s", name);
    }
}

void parity_run(struct parity *p, struct golden *g) {
    *p = (struct parity){.g = g};
    golden_run(g, parity_visit, p);
    if (sqrt(p->square) > 2.0 * sqrt(p->own_square) && p->broken++ == 0)
        snprintf(p->first, sizeof p->first,
                 "all gradients together: distance %.3g, the reference's own error %.3g", sqrt(p->square),
                 sqrt(p->own_square));
}

void parity_check(struct golden *g, const char *name) {
    struct parity p;
    parity_run(&p, g);
    print_message(
        "%s: %d tensors; worst %.2g (%s); beside the reference's own float32 %.2f times at worst (%s), "
        "all gradients together %.2f times\n",
        name, p.tensors, p.worst, p.worst_name, p.worst_ratio, p.worst_ratio_name,
        sqrt(p.square / p.own_square));
    if (p.broken > 0) fail_msg("%s: %d of %d tensors are off; %s", name, p.broken, p.tensors, p.first);
}

/* ---- bf16 */

struct half {
    const struct golden *g;
    double hidden, logits, loss, square, one;
};

static void raise_to(double *to, double value) {
    if (!(value <= *to)) *to = value;
}

static void visit_half(void *user, const char *name, const float *x, int64_t count) {
    struct half *h = user;
    const struct golden_distance d = golden_compare(h->g, name, x, count);
    const char *dot = strrchr(name, '.');
    if (is_gradient(name)) {
        h->square += d.distance * d.distance;
        if (d.norm >= 0.01 * h->g->all_gradients) raise_to(&h->one, d.distance / d.norm);
    } else if (strcmp(name, "loss") == 0) {
        raise_to(&h->loss, d.distance / d.norm);
    } else if (dot != NULL && strcmp(dot, ".logits") == 0) {
        raise_to(&h->logits, d.distance / d.norm);
    } else if (strncmp(name, "hidden.", 7) == 0) {
        raise_to(&h->hidden, d.distance / d.norm);
    }
}

void parity_check_half(struct golden *g, const char *name, const struct half_bounds *most) {
    struct half h = {.g = g};
    if (!berth_device_supports(g->device, "gemm", BERTH_BF16)) {
        check_fails(berth_model_set_precision(g->model, BERTH_BF16), BERTH_E_UNSUPPORTED, "has no bf16 units");
        golden_close(g);
        skip();
    }
    check_ok(berth_model_set_precision(g->model, BERTH_BF16));
    golden_run(g, visit_half, &h);
    check_ok(berth_model_set_precision(g->model, BERTH_F32));
    const double all = sqrt(h.square) / g->all_gradients;
    print_message("%s in bf16: hidden %.2g, logits %.2g, loss %.2g, all gradients %.2g, worst of one %.2g\n",
                  name, h.hidden, h.logits, h.loss, all, h.one);
    assert_true(h.hidden < most->hidden && h.logits < most->logits && h.loss < most->loss);
    assert_true(all < most->all && h.one < most->one);
    assert_true(h.hidden > 1e-5); /* it was not float after all */
}
