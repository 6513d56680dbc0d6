/* backend_cpu.c: the CPU: picks the instruction set of the kernels at run time, and fills the table with them,
 * then puts oneDNN's products over the plain one.
 *
 *     base     what the compiler assumes: runs anywhere
 *     avx2     x86-64-v3 (Haswell 2013, Zen 1 2017 and later)
 *     avx512   x86-64-v4 (Skylake-SP 2017, Zen 4 2022 and later)
 *
 * BERTH_CPU_ISA=base|avx2|avx512 in the environment asks for one of them; it is refused where the processor
 * lacks it. Denormal numbers are left as the processor has them by default (gradual): results are compared
 * with other programs bit by bit and value by value, and nothing here was measured slow because of them. */
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "device/device_priv.h"
#include "device/onednn_shim.h"

#define HUGE_PAGE ((size_t)2 << 20) /* blocks from this size on are mapped on their own, on huge pages */
#define ALIGNMENT ((size_t)64)

struct isa {
    const char *name;
    void (*fill)(struct berth_ops *ops);
    bool (*runs_here)(void);
};

struct cpu_state {
    const struct isa *isa;
    bool bf16;
};

/* ------------------------------------------------------------------ instruction sets */

#define ENTER_FAMILY(isa, family) berth_cpu_table_##family##_##isa(ops);

static void fill_base(struct berth_ops *ops) {
    BERTH_CPU_FAMILY_MAP(ENTER_FAMILY, base)
}

static bool always(void) {
    return true;
}

#if defined(__x86_64__)
static void fill_avx2(struct berth_ops *ops) {
    BERTH_CPU_FAMILY_MAP(ENTER_FAMILY, avx2)
}

static void fill_avx512(struct berth_ops *ops) {
    BERTH_CPU_FAMILY_MAP(ENTER_FAMILY, avx512)
}

/* The features of the levels that the compiler may use, as far as the builtin names them (it also checks that
 * the system saves the registers). */
static bool has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2");
}

static bool has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}
#endif

/* AVX512_BF16 (leaf 7.1, eax bit 5) or AMX-BF16 (leaf 7.0, edx bit 22), asked of the processor itself:
 * compilers learnt their names at different times. That the system saves the registers was asked with AVX-512.
 */
static bool has_bf16_units(void) {
#if defined(__x86_64__)
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 5 & 1u)) return true;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 22 & 1u);
#else
    return false;
#endif
}

/* Best first. */
static const struct isa isas[] = {
#if defined(__x86_64__)
    {"avx512", fill_avx512, has_avx512},
    {"avx2", fill_avx2, has_avx2},
#endif
    {"base", fill_base, always},
};
enum { ISA_COUNT = sizeof isas / sizeof isas[0] };

static berth_status choose_isa(const struct isa **out) {
    const char *wanted = getenv("BERTH_CPU_ISA");
    for (int i = 0; i < ISA_COUNT; i++) {
        const bool named = wanted != NULL && strcmp(wanted, isas[i].name) == 0;
        if (named && !isas[i].runs_here())
            BERTH_FAIL(BERTH_E_UNSUPPORTED, "BERTH_CPU_ISA=%s: this processor (%s) lacks it", wanted,
                       berth_cpu_name());
        if (named || ((wanted == NULL || *wanted == '\0') && isas[i].runs_here())) {
            *out = &isas[i];
            return BERTH_OK;
        }
    }
    BERTH_FAIL(BERTH_E_USAGE, "BERTH_CPU_ISA=%s: expected base, avx2 or avx512", wanted);
}

bool cpu_isa_fill(const char *name, struct berth_ops *ops) {
    for (int i = 0; i < ISA_COUNT; i++) {
        if (strcmp(name, isas[i].name) != 0 || !isas[i].runs_here()) continue;
        memset(ops, 0, sizeof *ops);
        isas[i].fill(ops);
        return true;
    }
    return false;
}

/* ------------------------------------------------------------------ open, memory */

static void cpu_close(struct berth_device *dev) {
    gemm_cpu_close(dev->stream);
    free(dev->state);
}

static berth_status cpu_open(struct berth_device *dev, int index) {
    berth_status status = BERTH_OK;
    struct cpu_state *state = NULL;
    (void)index;
    BERTH_TRY_OUT(berth_calloc(&state, 1, sizeof *state));
    BERTH_TRY_OUT(choose_isa(&state->isa));
    state->isa->fill(&dev->ops);
    state->bf16 = strcmp(state->isa->name, "avx512") == 0 && has_bf16_units() && onednn_has_bf16();
    BERTH_TRY_OUT(gemm_cpu_open(&dev->stream, &dev->ops, state->bf16));
    dev->ops.gemm = gemm_cpu;
    dev->state = state;
    state = NULL;
out:
    free(state);
    return status;
}

/* Big blocks are mapped and advised to huge pages: their first touch costs a quarter of small pages'. */
static berth_status cpu_alloc(struct berth_device *dev, void **out, size_t bytes) {
    (void)dev;
    if (bytes > SIZE_MAX - HUGE_PAGE) BERTH_FAIL(BERTH_E_MEMORY, "out of memory: %zu bytes on the CPU", bytes);
    if (bytes < HUGE_PAGE) {
        *out = aligned_alloc(ALIGNMENT, (bytes + ALIGNMENT) / ALIGNMENT * ALIGNMENT);
    } else {
        void *block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        *out = block == MAP_FAILED ? NULL : block;
        if (*out != NULL) (void)madvise(block, bytes, MADV_HUGEPAGE); /* only advice: refusal costs speed */
    }
    if (*out == NULL) BERTH_FAIL(BERTH_E_MEMORY, "out of memory: %zu bytes on the CPU", bytes);
    return BERTH_OK;
}

static void cpu_free(struct berth_device *dev, void *pointer, size_t bytes) {
    (void)dev;
    if (bytes < HUGE_PAGE)
        free(pointer);
    else
        (void)munmap(pointer, bytes);
}

static berth_status cpu_copy(struct berth_device *dev, void *to, const void *from, size_t bytes) {
    (void)dev;
    if (to != from && bytes > 0) memmove(to, from, bytes);
    return BERTH_OK;
}

static berth_status cpu_zero(struct berth_device *dev, void *pointer, size_t bytes) {
    (void)dev;
    if (bytes > 0) memset(pointer, 0, bytes);
    return BERTH_OK;
}

static berth_status cpu_synchronize(struct berth_device *dev) {
    (void)dev;
    return BERTH_OK;
}

/* ------------------------------------------------------------------ what it says of itself */

static const char *cpu_error_text(int error) {
    switch (error) {
    case BERTH_CPU_OK:
        return "done";
    case BERTH_CPU_E_DTYPE:
        return "element type not supported by this operation on this CPU";
    case BERTH_CPU_E_LIBRARY:
        return "oneDNN refused the matrix product";
    case BERTH_CPU_E_STREAM:
        return "a matrix product needs the device's stream";
    default:
        return "unknown error";
    }
}

/* In bf16: what a backbone is made of. Embeddings, losses, optimizers are float. */
static bool cpu_supports(const struct berth_device *dev, const char *op, enum berth_dtype dtype) {
    static const char *const HALF[] = {"gemm",
                                       "column_sum",
                                       "add",
                                       "cast",
                                       "act_forward",
                                       "act_backward",
                                       "layernorm_forward",
                                       "layernorm_backward",
                                       "layernorm_param_backward",
                                       "dropout",
                                       "attention_forward",
                                       "attention_backward",
                                       "gather_rows",
                                       "scatter_add_rows",
                                       "mean_pool_forward",
                                       "mean_pool_backward"};
    const struct cpu_state *state = dev->state;
    if (dtype == BERTH_F32) return true;
    for (size_t i = 0; dtype == BERTH_BF16 && state->bf16 && i < sizeof HALF / sizeof HALF[0]; i++) {
        if (strcmp(HALF[i], op) == 0) return true;
    }
    return false;
}

static void cpu_describe(const struct berth_device *dev, struct berth_str *out) {
    const struct cpu_state *state = dev->state;
    berth_str_addf(out, "processor: %s\n", berth_cpu_name());
    berth_str_addf(out, "threads: %d\n", omp_get_max_threads());
    berth_str_addf(out, "kernels: %s\n", state->isa->name);
    berth_str_add(out, "matrix products: ");
    onednn_describe(out);
    berth_str_add(out, "\n");
    berth_str_addf(out, "bf16: %s\n",
                   state->bf16 ? "yes, the processor has units for it" : "no units for it here");
}

const struct berth_backend backend_cpu = {
    .name = "cpu",
    .host_memory = true,
    .open = cpu_open,
    .close = cpu_close,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .upload = cpu_copy,
    .download = cpu_copy,
    .copy = cpu_copy,
    .zero = cpu_zero,
    .synchronize = cpu_synchronize,
    .error_text = cpu_error_text,
    .supports = cpu_supports,
    .describe = cpu_describe,
};
