/* onednn_shim.c: the one file that includes dnnl.h. What differs between oneDNN 2.x and 3.x is between the
 * lines "the two interfaces" and "products"; everything else is common to both. */
#include "device/onednn_shim.h"

#include <dnnl.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#define SCRATCH_ALIGNMENT 4096

enum { MEM_A, MEM_B, MEM_C, MEM_BIAS, MEM_SCRATCH, MEM_COUNT };

struct thread_slot {
    dnnl_stream_t stream;
    void *scratch;
    size_t scratch_bytes;
    char apart[64]; /* neighbours' slots lie on other cache lines */
};

struct onednn {
    dnnl_engine_t engine;
    struct thread_slot *slots; /* [threads] */
    int threads;
};

struct onednn_product {
    dnnl_primitive_t primitive;
    const char *implementation;
    size_t scratch_bytes;
    int threads;
    dnnl_memory_t (*memory)[MEM_COUNT]; /* [threads], made when a thread first runs it */
    const_dnnl_primitive_desc_t desc;   /* borrowed from primitive */
    bool bias;
};

static berth_status check(dnnl_status_t status, const char *call) {
    if (status == dnnl_success) return BERTH_OK;
    if (status == dnnl_out_of_memory) BERTH_FAIL(BERTH_E_MEMORY, "oneDNN: %s: out of memory", call);
    BERTH_FAIL(BERTH_E_DEVICE, "oneDNN: %s failed with status %d", call, (int)status);
}
#define TRY_DNNL(call) BERTH_TRY_OUT(check((call), #call))

static dnnl_data_type_t ab_type(const struct onednn_shape *s) {
    return s->half ? dnnl_bf16 : dnnl_f32;
}

static dnnl_data_type_t c_type(const struct onednn_shape *s) {
    return s->half_c ? dnnl_bf16 : dnnl_f32;
}

/* ------------------------------------------------------------------ the two interfaces */

#if DNNL_VERSION_MAJOR >= 3

typedef const_dnnl_memory_desc_t memory_layout; /* borrowed from a primitive descriptor */

static dnnl_status_t append_sum(dnnl_post_ops_t ops) {
    return dnnl_post_ops_append_sum(ops, 1.0f, 0, dnnl_data_type_undef);
}

static dnnl_status_t matmul_desc(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const struct onednn_shape *s,
                                 dnnl_primitive_attr_t attr) {
    const dnnl_dims_t a_dims = {s->m, s->k}, b_dims = {s->k, s->n}, c_dims = {s->m, s->n},
                      bias_dims = {1, s->n};
    const dnnl_dims_t a_strides = {s->a_row, s->a_col}, b_strides = {s->b_row, s->b_col};
    const dnnl_dims_t c_strides = {s->c_row, 1}, bias_strides = {s->n, 1};
    dnnl_memory_desc_t a = NULL, b = NULL, c = NULL, bias = NULL;
    dnnl_status_t status = dnnl_memory_desc_create_with_strides(&a, 2, a_dims, ab_type(s), a_strides);
    if (status == dnnl_success)
        status = dnnl_memory_desc_create_with_strides(&b, 2, b_dims, ab_type(s), b_strides);
    if (status == dnnl_success)
        status = dnnl_memory_desc_create_with_strides(&c, 2, c_dims, c_type(s), c_strides);
    if (status == dnnl_success && s->bias)
        status = dnnl_memory_desc_create_with_strides(&bias, 2, bias_dims, dnnl_f32, bias_strides);
    if (status == dnnl_success) status = dnnl_matmul_primitive_desc_create(out, engine, a, b, bias, c, attr);
    if (a != NULL) dnnl_memory_desc_destroy(a);
    if (b != NULL) dnnl_memory_desc_destroy(b);
    if (c != NULL) dnnl_memory_desc_destroy(c);
    if (bias != NULL) dnnl_memory_desc_destroy(bias);
    return status;
}

#else

typedef const dnnl_memory_desc_t *memory_layout; /* borrowed from a primitive descriptor */

static dnnl_status_t append_sum(dnnl_post_ops_t ops) {
    return dnnl_post_ops_append_sum(ops, 1.0f);
}

static dnnl_status_t matmul_desc(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const struct onednn_shape *s,
                                 dnnl_primitive_attr_t attr) {
    const dnnl_dims_t a_dims = {s->m, s->k}, b_dims = {s->k, s->n}, c_dims = {s->m, s->n},
                      bias_dims = {1, s->n};
    const dnnl_dims_t a_strides = {s->a_row, s->a_col}, b_strides = {s->b_row, s->b_col};
    const dnnl_dims_t c_strides = {s->c_row, 1}, bias_strides = {s->n, 1};
    dnnl_memory_desc_t a, b, c, bias;
    dnnl_matmul_desc_t matmul;
    dnnl_status_t status = dnnl_memory_desc_init_by_strides(&a, 2, a_dims, ab_type(s), a_strides);
    if (status == dnnl_success) status = dnnl_memory_desc_init_by_strides(&b, 2, b_dims, ab_type(s), b_strides);
    if (status == dnnl_success) status = dnnl_memory_desc_init_by_strides(&c, 2, c_dims, c_type(s), c_strides);
    if (status == dnnl_success)
        status = dnnl_memory_desc_init_by_strides(&bias, 2, bias_dims, dnnl_f32, bias_strides);
    if (status == dnnl_success) status = dnnl_matmul_desc_init(&matmul, &a, &b, s->bias ? &bias : NULL, &c);
    if (status == dnnl_success) status = dnnl_primitive_desc_create(out, &matmul, attr, engine, NULL);
    return status;
}

#endif

/* ------------------------------------------------------------------ products */

static size_t layout_bytes(memory_layout layout) {
    return layout == NULL ? 0 : dnnl_memory_desc_get_size(layout);
}

static dnnl_status_t set_pointer(dnnl_memory_t memory, const void *pointer) {
    return dnnl_memory_set_data_handle(memory, (void *)(uintptr_t)pointer);
}

/* Descriptor and primitive of a shape. The calling thread's thread count is one meanwhile: oneDNN plans for the
 * count that it sees here. */
static berth_status make_primitive(struct onednn_product *p, struct onednn *lib,
                                   const struct onednn_shape *shape) {
    berth_status status = BERTH_OK;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;
    const int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    TRY_DNNL(dnnl_primitive_attr_create(&attr));
    TRY_DNNL(dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user));
    if (shape->accumulate) {
        TRY_DNNL(dnnl_post_ops_create(&ops));
        TRY_DNNL(append_sum(ops));
        TRY_DNNL(dnnl_primitive_attr_set_post_ops(attr, ops));
    }
    TRY_DNNL(matmul_desc(&desc, lib->engine, shape, attr));
    TRY_DNNL(dnnl_primitive_create(&p->primitive, desc));
    TRY_DNNL(dnnl_primitive_get_primitive_desc(p->primitive, &p->desc));
    TRY_DNNL(dnnl_primitive_desc_query(p->desc, dnnl_query_impl_info_str, 0, (void *)&p->implementation));
    p->scratch_bytes = layout_bytes(dnnl_primitive_desc_query_md(p->desc, dnnl_query_scratchpad_md, 0));
out:
    omp_set_num_threads(threads);
    if (ops != NULL) dnnl_post_ops_destroy(ops);
    if (attr != NULL) dnnl_primitive_attr_destroy(attr);
    if (desc != NULL) dnnl_primitive_desc_destroy(desc);
    return status;
}

berth_status onednn_product_create(struct onednn_product **out, struct onednn *lib,
                                   const struct onednn_shape *shape) {
    berth_status status = BERTH_OK;
    struct onednn_product *p = NULL;
    BERTH_TRY_OUT(berth_calloc(&p, 1, sizeof *p));
    BERTH_TRY_OUT(berth_calloc(&p->memory, (size_t)lib->threads, sizeof *p->memory));
    p->threads = lib->threads;
    p->bias = shape->bias;
    status = make_primitive(p, lib, shape);
    if (status != BERTH_OK)
        berth_error_context(status, "matrix product %lld x %lld x %lld", (long long)shape->m,
                            (long long)shape->n, (long long)shape->k);
out:
    if (status != BERTH_OK) {
        onednn_product_destroy(p);
        p = NULL;
    }
    *out = p;
    return status;
}

void onednn_product_destroy(struct onednn_product *product) {
    if (product == NULL) return;
    for (int t = 0; product->memory != NULL && t < product->threads; t++)
        for (int i = 0; i < MEM_COUNT; i++)
            if (product->memory[t][i] != NULL) dnnl_memory_destroy(product->memory[t][i]);
    free(product->memory);
    if (product->primitive != NULL) dnnl_primitive_destroy(product->primitive);
    free(product);
}

static const struct {
    dnnl_query_t query;
    int index, argument;
} roles[MEM_COUNT] = {
    [MEM_A] = {dnnl_query_src_md, 0, DNNL_ARG_SRC},
    [MEM_B] = {dnnl_query_weights_md, 0, DNNL_ARG_WEIGHTS},
    [MEM_C] = {dnnl_query_dst_md, 0, DNNL_ARG_DST},
    [MEM_BIAS] = {dnnl_query_weights_md, 1, DNNL_ARG_BIAS},
    [MEM_SCRATCH] = {dnnl_query_scratchpad_md, 0, DNNL_ARG_SCRATCHPAD},
};

static bool uses(const struct onednn_product *p, int role) {
    return role == MEM_BIAS ? p->bias : role == MEM_SCRATCH ? p->scratch_bytes > 0 : true;
}

/* The memory objects of one thread, and room in its scratch. Held by that thread alone. */
static dnnl_status_t prepare_thread(struct onednn_product *p, struct onednn *lib, int thread) {
    dnnl_memory_t *memory = p->memory[thread];
    struct thread_slot *slot = &lib->slots[thread];
    for (int i = 0; i < MEM_COUNT; i++) {
        if (memory[i] != NULL || !uses(p, i)) continue;
        memory_layout layout = dnnl_primitive_desc_query_md(p->desc, roles[i].query, roles[i].index);
        dnnl_status_t status = dnnl_memory_create(&memory[i], layout, lib->engine, DNNL_MEMORY_NONE);
        if (status != dnnl_success) return status;
    }
    if (slot->scratch_bytes < p->scratch_bytes) {
        free(slot->scratch);
        const size_t units = (p->scratch_bytes + SCRATCH_ALIGNMENT - 1) / SCRATCH_ALIGNMENT;
        slot->scratch = aligned_alloc(SCRATCH_ALIGNMENT, units * SCRATCH_ALIGNMENT);
        slot->scratch_bytes = slot->scratch == NULL ? 0 : units * SCRATCH_ALIGNMENT;
        if (slot->scratch == NULL) return dnnl_out_of_memory;
    }
    return dnnl_success;
}

int onednn_product_run(struct onednn_product *product, struct onednn *lib, int thread, void *c, const void *a,
                       const void *b, const float *bias) {
    if (thread < 0 || thread >= lib->threads) return dnnl_invalid_arguments;
    dnnl_status_t status = prepare_thread(product, lib, thread);
    if (status != dnnl_success) return status;
    const struct thread_slot *slot = &lib->slots[thread];
    const void *pointers[MEM_COUNT] = {a, b, c, bias, slot->scratch};
    dnnl_exec_arg_t arguments[MEM_COUNT];
    int count = 0;
    for (int i = 0; i < MEM_COUNT; i++) {
        if (!uses(product, i)) continue;
        status = set_pointer(product->memory[thread][i], pointers[i]);
        if (status != dnnl_success) return status;
        arguments[count++] = (dnnl_exec_arg_t){roles[i].argument, product->memory[thread][i]};
    }
    return dnnl_primitive_execute(product->primitive, slot->stream, count, arguments);
}

const char *onednn_product_implementation(const struct onednn_product *product) {
    return product->implementation;
}

/* ------------------------------------------------------------------ the library */

berth_status onednn_open(struct onednn **out, int threads) {
    berth_status status = BERTH_OK;
    struct onednn *lib = NULL;
    BERTH_TRY_OUT(berth_calloc(&lib, 1, sizeof *lib));
    BERTH_TRY_OUT(berth_calloc(&lib->slots, (size_t)threads, sizeof *lib->slots));
    lib->threads = threads;
    TRY_DNNL(dnnl_engine_create(&lib->engine, dnnl_cpu, 0));
    for (int t = 0; t < threads; t++)
        TRY_DNNL(dnnl_stream_create(&lib->slots[t].stream, lib->engine, dnnl_stream_default_flags));
out:
    if (status != BERTH_OK) {
        onednn_close(lib);
        lib = NULL;
    }
    *out = lib;
    return status;
}

void onednn_close(struct onednn *lib) {
    if (lib == NULL) return;
    for (int t = 0; lib->slots != NULL && t < lib->threads; t++) {
        if (lib->slots[t].stream != NULL) dnnl_stream_destroy(lib->slots[t].stream);
        free(lib->slots[t].scratch);
    }
    free(lib->slots);
    if (lib->engine != NULL) dnnl_engine_destroy(lib->engine);
    free(lib);
}

static const char *isa_name(dnnl_cpu_isa_t isa) {
    switch ((int)isa) {
    case dnnl_cpu_isa_sse41:
        return "sse41";
    case dnnl_cpu_isa_avx:
        return "avx";
    case dnnl_cpu_isa_avx2:
        return "avx2";
    case dnnl_cpu_isa_avx2_vnni:
        return "avx2_vnni";
    case dnnl_cpu_isa_avx512_core:
        return "avx512_core";
    case dnnl_cpu_isa_avx512_core_vnni:
        return "avx512_core_vnni";
    case dnnl_cpu_isa_avx512_core_bf16:
        return "avx512_core_bf16";
    default:
        return NULL;
    }
}

bool onednn_has_bf16(void) {
    const int isa = (int)dnnl_get_effective_cpu_isa();
    return (isa & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
}

void onednn_describe(struct berth_str *out) {
    const dnnl_version_t *version = dnnl_version();
    const dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
    berth_str_addf(out, "oneDNN %d.%d.%d ", version->major, version->minor, version->patch);
    if (isa_name(isa) != NULL)
        berth_str_addf(out, "(%s)", isa_name(isa));
    else
        berth_str_addf(out, "(instruction set number 0x%x)", (unsigned)isa);
}
