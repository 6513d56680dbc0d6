/* test_attention_choice.c: own|cudnn|auto: what serves, and the line that says why; buckets; devices without
 * cuDNN; the lists that cuDNN's attention needs, on the device cuda-host. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "berth/kernels_cuda.h"
#include "device/attention_choice.h"

static const struct attention_device hopper = {.name = "NVIDIA H200", .major = 9};

static struct berth_attention_use use_of(enum berth_attention_kind kind) {
    return (struct berth_attention_use){.kind = kind,
                                        .dtype = BERTH_BF16,
                                        .heads = 12,
                                        .head_size = 64,
                                        .max_sequences = 32,
                                        .max_length = 512,
                                        .max_tokens = 32 * 512,
                                        .training = true};
}

/* What is told, or the error; *cudnn as chosen. */
static void expect(const struct berth_attention_use *use, const struct attention_device *device,
                   berth_status status, bool serves, const char *text) {
    struct berth_str told;
    bool cudnn = false;
    berth_str_init(&told);
    assert_int_equal(attention_choose(&cudnn, &told, use, device), status);
    const char *said = status == BERTH_OK ? told.data : berth_error_text();
    if (status == BERTH_OK) assert_int_equal(cudnn, serves);
    if (strstr(said, text) == NULL) fail_msg("'%s' is not in: %s", text, said);
    if (strchr(said, '\n') != NULL) fail_msg("more than a line: %s", said);
    berth_str_deinit(&told);
}

static void test_what_serves(void **state) {
    (void)state;
    struct berth_attention_use own = use_of(BERTH_ATTENTION_OWN), any = use_of(BERTH_ATTENTION_AUTO),
                               asked = use_of(BERTH_ATTENTION_CUDNN);
    expect(&own, &hopper, BERTH_OK, false, "attention: own kernels");
    expect(&any, &hopper, BERTH_OK, true, "attention: cuDNN, for sequences of up to 512 tokens");
    expect(&asked, &hopper, BERTH_OK, true, "attention: cuDNN, as asked");
    any.max_length = 128;
    expect(&any, &hopper, BERTH_OK, false, "shorter than 256 tokens");
    any.max_length = 512, any.dropout = asked.dropout = 0.1;
    expect(&any, &hopper, BERTH_OK, false, "the same masks on every device");
    expect(&asked, &hopper, BERTH_OK, true, "its dropout masks are its own");
}

static void test_what_does_not(void **state) {
    (void)state;
    static const struct attention_device ampere = {.name = "NVIDIA A100", .major = 8},
                                         blackwell = {.name = "NVIDIA B200", .major = 10},
                                         bare = {.name = "NVIDIA H200",
                                                 .major = 9,
                                                 .cudnn_lacks = "cuDNN: cannot load libcudnn.so.9"};
    struct berth_attention_use any = use_of(BERTH_ATTENTION_AUTO), asked = use_of(BERTH_ATTENTION_CUDNN);
    expect(&asked, &ampere, BERTH_E_UNSUPPORTED, false,
           "attention: cudnn: NVIDIA A100 has compute capability 8.0, and the same bits each time are cuDNN's "
           "on 9.x (Hopper) "
           "alone; take attention: own or auto");
    expect(&asked, &blackwell, BERTH_E_UNSUPPORTED, false, "NVIDIA B200 has compute capability 10.0");
    expect(&asked, &bare, BERTH_E_UNSUPPORTED, false, "attention: cudnn: cuDNN: cannot load libcudnn.so.9");
    expect(&any, &ampere, BERTH_OK, false, "attention: own kernels (NVIDIA A100");
    expect(&any, &bare, BERTH_OK, false, "attention: own kernels (cuDNN: cannot load");
    any.head_size = asked.head_size = 48;
    expect(&asked, &hopper, BERTH_E_UNSUPPORTED, false,
           "its head sizes are 32, 64 and 128, this model's is 48");
    expect(&any, &hopper, BERTH_OK, false, "attention: own kernels (its head sizes");
    any.head_size = asked.head_size = 64, any.dtype = asked.dtype = BERTH_F32;
    expect(&asked, &hopper, BERTH_E_USAGE, false, "computes in bf16 alone");
    expect(&any, &hopper, BERTH_OK, false, "attention: own kernels (cuDNN's attention computes in bf16 alone");
}

static void test_devices_without_cudnn(void **state) {
    (void)state;
    static const char *const names[] = {"cpu", "cuda-host"};
    for (int i = 0; i < 2; i++) {
        struct berth_device *dev = NULL;
        struct berth_attention_use use = use_of(BERTH_ATTENTION_CUDNN);
        if (berth_device_open(&dev, names[i]) != BERTH_OK) continue; /* a build without cuda-host */
        assert_int_equal(berth_device_set_attention(dev, &use), BERTH_E_UNSUPPORTED);
        assert_non_null(strstr(berth_error_text(), "has no cuDNN"));
        assert_non_null(strstr(berth_error_text(), names[i]));
        use.kind = BERTH_ATTENTION_AUTO;
        assert_int_equal(berth_device_set_attention(dev, &use), BERTH_OK);
        use.kind = BERTH_ATTENTION_OWN;
        assert_int_equal(berth_device_set_attention(dev, &use), BERTH_OK);
        berth_device_close(dev);
    }
}

/* Every batch within the bounds has a bucket of the list, and none is smaller than the batch. */
static void test_buckets_cover(void **state) {
    (void)state;
    struct attention_bucket list[64];
    const int count = attention_buckets(list, 64, 70, 300);
    assert_int_equal(count, 3 * 5); /* 16, 64, 256 sequences; 32 ... 512 tokens */
    assert_int_equal(attention_buckets(NULL, 0, 70, 300), count);
    for (int64_t sequences = 1; sequences <= 70; sequences++)
        for (int64_t length = 1; length <= 300; length++) {
            const struct attention_bucket b = attention_bucket_of(sequences, length);
            bool listed = false;
            assert_true(b.sequences >= sequences && b.length >= length && b.length >= 2);
            for (int i = 0; i < count; i++)
                listed |= list[i].sequences == b.sequences && list[i].length == b.length;
            if (!listed) fail_msg("%d sequences of up to %d tokens", (int)sequences, (int)length);
        }
}

#if defined(BERTH_CUDA_HOST)

enum { B = 3, BUCKET = 300, A = 12, D = 64 }; /* a bucket of more than one block of threads */

struct lists {
    int32_t lengths[BUCKET], qkv[BUCKET + 1], out[BUCKET + 1], lse[BUCKET + 1];
    int64_t seed, position;
};

static void make_lists(struct lists *l, const int32_t *cu, int64_t tokens,
                       const struct berth_dropout *dropout) {
    const struct berth_cuda_ragged to = {l->lengths, l->qkv, l->out, l->lse, &l->seed, &l->position};
    memset(l, 0xEE, sizeof *l);
    if (berth_cuda_host_attention_ragged(&to, cu, B, BUCKET, tokens, A, D, dropout, NULL) != 0)
        fail_msg("%s", berth_cuda_host_error());
}

static void test_lists(void **state) {
    (void)state;
    static const int32_t cu[B + 1] = {0, 5, 5, 12};
    static struct lists l, before;
    for (int order = 0; order < 3; order++) {
        berth_cuda_host_set_order((enum berth_cuda_host_order)order, 3);
        make_lists(&l, cu, 12, NULL);
        for (int b = 0; b <= BUCKET; b++) {
            const int32_t first = cu[b < B ? b : B];
            assert_int_equal(l.qkv[b], first * 3 * A * D);
            assert_int_equal(l.out[b], first * A * D);
            assert_int_equal(l.lse[b], first * A);
            if (b < BUCKET) assert_int_equal(l.lengths[b], b < B ? cu[b + 1] - cu[b] : 0);
        }
    }
    berth_cuda_host_set_order(BERTH_CUDA_HOST_FORWARD, 0);
    /* the seed follows from the run's seed, the step and the dropout's place, and from each of them */
    uint32_t key[3] = {17, 0, 4};
    struct berth_dropout dropout = {.threshold = 6554, .site = 1, .key = key};
    make_lists(&before, cu, 12, &dropout);
    make_lists(&l, cu, 12, &dropout);
    assert_memory_equal(&l, &before, sizeof l);
    assert_true(l.seed >= 0 && l.position == 0);
    for (int i = 0; i < 4; i++) {
        uint32_t *const changed[] = {&key[0], &key[1], &key[2], &dropout.site};
        ++*changed[i];
        make_lists(&l, cu, 12, &dropout);
        if (l.seed == before.seed) fail_msg("word %d does not change the seed", i);
        --*changed[i];
    }
    /* offsets are 32 bits wide */
    const struct berth_cuda_ragged to = {l.lengths, l.qkv, l.out, l.lse, &l.seed, &l.position};
    assert_int_equal(berth_cuda_host_attention_ragged(&to, cu, B, BUCKET, 1 << 20, A, D, NULL, NULL),
                     BERTH_CUDA_E_SHAPE);
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_serves),
        cmocka_unit_test(test_what_does_not),
        cmocka_unit_test(test_buckets_cover),
        cmocka_unit_test(test_devices_without_cudnn),
#if defined(BERTH_CUDA_HOST)
        cmocka_unit_test(test_lists),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
