/* onednn_shim.h: single-thread matrix products of oneDNN, the same for its 2.x and 3.x C interfaces.
 *
 *     struct onednn *lib;                     one per device; owns a stream and a scratch for each thread
 *     struct onednn_product *p;               one fixed shape, prepared once (0.1 to 1 ms)
 *     BERTH_TRY(onednn_product_create(&p, lib, &shape));
 *     error = onednn_product_run(p, lib, thread, c, a, b, bias);      from inside our own parallel loop
 *
 * Only onednn_shim.c includes dnnl.h. A product runs on the calling thread alone: it is prepared while the
 * thread count is one, and its scratch is the thread's own. Running the same product from several threads at
 * once is fine as long as each passes its own thread number, below the count given to onednn_open. */
#ifndef BERTH_DEVICE_ONEDNN_SHIM_H
#define BERTH_DEVICE_ONEDNN_SHIM_H

#include "berth/base.h"

struct onednn;
struct onednn_product;

/* c[m, n] = a[m, k] b[k, n] (+ bias[n]) (+ c). Element (i, j) of a is a[i * a_row + j * a_col], so a transposed
 * factor is one with its strides exchanged; one stride of each factor is 1, and so is c's along n. */
struct onednn_shape {
    int64_t m, n, k;
    int64_t a_row, a_col, b_row, b_col, c_row;
    bool bias, accumulate;
    bool half, half_c; /* a and b, c: bf16 instead of float; bias is float, sums are too */
};

berth_status onednn_open(struct onednn **out, int threads) BERTH_CHECKED;
void onednn_close(struct onednn *lib); /* NULL is allowed; destroy the products first */

berth_status onednn_product_create(struct onednn_product **out, struct onednn *lib,
                                   const struct onednn_shape *shape) BERTH_CHECKED;
void onednn_product_destroy(struct onednn_product *product); /* NULL is allowed */
/* 0, or oneDNN's status number. No memory is allocated once a thread has run the product. */
int onednn_product_run(struct onednn_product *product, struct onednn *lib, int thread, void *c, const void *a,
                       const void *b, const float *bias);
/* oneDNN's name of the chosen implementation, "brg:avx512_core"; owned by the product. */
const char *onednn_product_implementation(const struct onednn_product *product);

/* Whether the library would use the processor's bf16 units here. */
bool onednn_has_bf16(void);
/* "oneDNN 2.6.3 (avx512_core_bf16)": the library's version and the instruction set that it uses. */
void onednn_describe(struct berth_str *out);

#endif /* BERTH_DEVICE_ONEDNN_SHIM_H */
