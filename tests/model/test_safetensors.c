/* test_safetensors.c: what is written is read; every lie of a header is told by name; no bytes crash the
 * reader. */
#include <math.h>
#include <stdio.h>

#include "berth/file.h"
#include "model/support_model.h"

static char *folder, *path;

static int setup(void **state) {
    (void)state;
    folder = model_temp_folder();
    path = model_path(folder, "x.safetensors");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    model_temp_remove(folder);
    free(path);
    return 0;
}

/* A file of a header and `payload` zero bytes. */
static void put_file(const char *header, size_t header_size, size_t payload) {
    unsigned char *bytes = NULL;
    const uint64_t length = header_size;
    check_ok(berth_calloc(&bytes, 8 + header_size + payload, 1));
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, header, header_size);
    check_ok(berth_file_put(path, bytes, 8 + header_size + payload));
    free(bytes);
}

static void round_trip(void **state) {
    (void)state;
    static const float A[6] = {1.0f, -2.5f, 0.0f, 3e38f, 1e-45f, -0.0f}, B[1] = {7.0f};
    static const int64_t SHAPE_A[2] = {2, 3}, SHAPE_EMPTY[2] = {0, 4};
    const struct berth_safetensor_out tensors[] = {
        {.name = "a.weight", .rank = 2, .shape = SHAPE_A, .data = A},
        {.name = "odd \"name\" \\ \n \xC3\xA9", .rank = 0, .data = B},
        {.name = "empty", .rank = 2, .shape = SHAPE_EMPTY, .data = NULL},
    };
    struct berth_safetensors *f = NULL;
    check_ok(berth_safetensors_write(path, tensors, 3));
    check_ok(berth_safetensors_open(&f, path));
    assert_int_equal(berth_safetensors_count(f), 3);
    const struct berth_safetensor *t = berth_safetensors_find(f, "a.weight");
    assert_non_null(t);
    assert_ptr_equal(t, berth_safetensors_at(f, 0));
    assert_string_equal(t->dtype, "F32");
    assert_int_equal(t->rank, 2);
    assert_int_equal(t->shape[0], 2);
    assert_int_equal(t->shape[1], 3);
    assert_int_equal(t->count, 6);
    assert_int_equal((uintptr_t)t->data % 8, 0);
    assert_memory_equal(t->data, A, sizeof A);
    t = berth_safetensors_find(f, tensors[1].name);
    assert_non_null(t);
    assert_int_equal(t->rank, 0);
    assert_int_equal(t->count, 1);
    assert_memory_equal(t->data, B, sizeof B);
    t = berth_safetensors_find(f, "empty");
    assert_non_null(t);
    assert_int_equal(t->count, 0);
    assert_null(berth_safetensors_find(f, "a.weigh"));
    berth_safetensors_close(f);
    check_ok(berth_safetensors_write(path, NULL, 0));
    check_ok(berth_safetensors_open(&f, path));
    assert_int_equal(berth_safetensors_count(f), 0);
    assert_null(berth_safetensors_find(f, "a.weight"));
    berth_safetensors_close(f);
    berth_safetensors_close(NULL);
}

struct lie {
    const char *header;
    size_t payload;
    const char *said;
};

static const struct lie LIES[] = {
    {"", 0, "the header ends at its byte 0, expected '{'"},
    {" {}", 0, "header byte 0: expected '{', found 0x20"},
    {"[]", 0, "expected '{', found '['"},
    {"{", 0, "the header ends"},
    {"{} x", 0, "expected the end of the header, found 'x'"},
    {"{}\n", 0, "expected the end of the header, found 0x0a"},
    {"{\"a\"}", 0, "expected ':', found '}'"},
    {"{\"a\":1}", 0, "expected '{', found '1'"},
    {"{\"a\":{}}", 0, "tensor 'a': dtype is missing"},
    {"{\"a\":{\"dtype\":\"F32\"}}", 0, "tensor 'a': shape is missing"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}", 0, "tensor 'a': data_offsets is missing"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "data_offsets are not two numbers"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", 4, "more than 2 numbers"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", 4, "field 'x' is none of"},
    {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype twice"},
    {"{\"a\":{\"dtype\":\"F31\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "tensor 'a': unknown dtype 'F31'"},
    {"{\"a\":{\"dtype\":\"a much longer dtype\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
     "unknown dtype 'a much"},
    {"{\"a\":{\"dtype\":3,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "expected a dtype's name, found '3'"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4,
     "expected a whole number, found '-'"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", 4, "expected ',' or ']', found '.'"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[01],\"data_offsets\":[0,4]}}", 4, "without leading zeros"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,],\"data_offsets\":[0,4]}}", 4,
     "expected a whole number, found ']'"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[9223372036854775808],\"data_offsets\":[0,4]}}", 4, "below 2^63"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4,
     "more than 8 numbers"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
     "2^64 elements"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0, "2^64 bytes"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4,
     "its shape takes 8 bytes, its range has 4"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 3, "(was it cut short?)"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 5,
     "end at byte 4, the file has 5 bytes"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "tensor 'a': bytes 4 to 0"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8,
     "begins at byte 4, the one before ends at 0"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[3,7]}}",
     7, "tensor 'b' begins at byte 3, the one before ends at 4: they overlap"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[5,9]}}",
     9, "tensor 'b' begins at byte 5, the one before ends at 4: a hole"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
     "\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}",
     8, "tensor 'a' twice"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},}", 1,
     "expected a tensor's name, found '}'"},
    {"{\"__metadata__\":[]}", 0, "expected '{' after __metadata__"},
    {"{\"__metadata__\":{\"a\":1}}", 0, "__metadata__ holds texts alone"},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "__metadata__ twice"},
    {"{\"\xFF\":{}}", 0, "expected valid UTF-8, found 0xff"},
    {"{\"a\nb\":{}}", 0, "expected the end of a text, found 0x0a"},
    {"{\"a\\x\":{}}", 0, "expected an escape of JSON, found 'x'"},
    {"{\"a\\u0000\":{}}", 0, "other than \\u0000"},
    {"{\"a\\ud800\":{}}", 0, "the second half of a surrogate pair"},
    {"{\"a\\udc00\":{}}", 0, "half a surrogate pair"},
    {"{\"a\\u12g4\":{}}", 0, "four hexadecimal digits"},
};

static void every_lie_is_told(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof LIES / sizeof LIES[0]; i++) {
        struct berth_safetensors *f = NULL;
        put_file(LIES[i].header, strlen(LIES[i].header), LIES[i].payload);
        berth_status status = berth_safetensors_open(&f, path);
        if (status != BERTH_E_FORMAT || strstr(berth_error_text(), LIES[i].said) == NULL)
            fail_msg("%s: expected '%s', got %s: %s", LIES[i].header, LIES[i].said, berth_status_name(status),
                     berth_error_text());
        if (strstr(berth_error_text(), path) == NULL) fail_msg("no file is named: %s", berth_error_text());
        assert_null(f);
    }
}

static void allowed_oddities_are_read(void **state) {
    (void)state;
    static const char *const HEADERS[] = {
        "{}",
        "{}      ",
        "{ \"__metadata__\" : { \"k\\u00e9\\ud83d\\ude00\" : \"v\\n\" } }",
        "{\"__metadata__\":{}}",
    };
    struct berth_safetensors *f = NULL;
    for (size_t i = 0; i < sizeof HEADERS / sizeof HEADERS[0]; i++) {
        put_file(HEADERS[i], strlen(HEADERS[i]), 0);
        check_ok(berth_safetensors_open(&f, path));
        assert_int_equal(berth_safetensors_count(f), 0);
        berth_safetensors_close(f);
    }
    /* fields and tensors in any order; tensors without bytes share a place with others */
    const char *header = "{\"b\":{\"shape\":[2],\"data_offsets\":[4,8],\"dtype\":\"BF16\"},"
                         "\"e\":{\"dtype\":\"F32\",\"shape\":[3,0],\"data_offsets\":[4,4]},"
                         "\"a\":{\"dtype\":\"U8\",\"shape\":[2,2],\"data_offsets\":[0,4]}}";
    put_file(header, strlen(header), 8);
    check_ok(berth_safetensors_open(&f, path));
    assert_int_equal(berth_safetensors_count(f), 3);
    assert_string_equal(berth_safetensors_at(f, 0)->name, "a");
    assert_string_equal(berth_safetensors_at(f, 1)->name, "e");
    assert_string_equal(berth_safetensors_at(f, 2)->name, "b");
    berth_safetensors_close(f);
}

static void a_header_longer_than_the_file_is_refused(void **state) {
    (void)state;
    struct berth_safetensors *f = NULL;
    static const struct {
        uint64_t length;
        const char *said;
    } CLAIMS[] = {{100000001u, "at most 100000000 are allowed"},
                  {UINT64_MAX, "at most 100000000 are allowed"},
                  {100000000u, "but only 2 follow: the file was cut short"},
                  {3, "but only 2 follow"}};
    for (size_t i = 0; i < 4; i++) {
        unsigned char bytes[10] = {0, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
        memcpy(bytes, &CLAIMS[i].length, 8);
        check_ok(berth_file_put(path, bytes, sizeof bytes));
        check_fails(berth_safetensors_open(&f, path), BERTH_E_FORMAT, CLAIMS[i].said);
    }
    check_ok(berth_file_put(path, "", 0));
    check_fails(berth_safetensors_open(&f, path), BERTH_E_FORMAT, "0 bytes, expected a safetensors file");
    check_fails(berth_safetensors_open(&f, folder), BERTH_E_IO, "is a folder");
}

/* A file cut anywhere, and a file with any one byte of its header changed: read or refused, never a crash. */
static void damage_is_survived(void **state) {
    (void)state;
    static const float A[40] = {1.0f}, B[3] = {2.0f};
    static const int64_t SHAPE_A[2] = {5, 8}, SHAPE_B[1] = {3};
    const struct berth_safetensor_out tensors[] = {{.name = "a", .rank = 2, .shape = SHAPE_A, .data = A},
                                                   {.name = "bb", .rank = 1, .shape = SHAPE_B, .data = B}};
    char *bytes = NULL;
    size_t size = 0;
    check_ok(berth_safetensors_write(path, tensors, 2));
    check_ok(berth_file_read(&bytes, &size, path));
    for (size_t cut = 0; cut < size; cut++) {
        struct berth_safetensors *f = NULL;
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(bytes, 1, cut, file), cut);
        assert_int_equal(fclose(file), 0);
        berth_status status = berth_safetensors_open(&f, path);
        if (status != BERTH_E_FORMAT)
            fail_msg("cut to %zu of %zu bytes: %s", cut, size, berth_status_name(status));
    }
    int read = 0;
    for (size_t at = 0; at < size - sizeof A - sizeof B; at++) {
        static const unsigned char CHANGES[] = {0x01, 0x10, 0x80, 0xFF};
        for (int c = 0; c < 4; c++) {
            struct berth_safetensors *f = NULL;
            bytes[at] = (char)((unsigned char)bytes[at] ^ CHANGES[c]);
            FILE *file = fopen(path, "wb");
            assert_non_null(file);
            assert_int_equal(fwrite(bytes, 1, size, file), size);
            assert_int_equal(fclose(file), 0);
            bytes[at] = (char)((unsigned char)bytes[at] ^ CHANGES[c]);
            if (berth_safetensors_open(&f, path) == BERTH_OK) read++;
            berth_safetensors_close(f);
        }
    }
    free(bytes);
    assert_true(read > 0); /* a changed letter of a name is no lie that a reader can see */
}

static void halves_become_floats(void **state) {
    (void)state;
    static const struct {
        const char *dtype;
        uint16_t word;
        float value;
    } CASES[] = {
        {"F16", 0x0000, 0.0f},          {"F16", 0x3C00, 1.0f},        {"F16", 0xC000, -2.0f},
        {"F16", 0x7BFF, 65504.0f},      {"F16", 0x0400, 0x1p-14f},    {"F16", 0x0001, 0x1p-24f},
        {"F16", 0x83FF, -0x1.ff8p-15f}, {"F16", 0x3555, 0x1.554p-2f}, {"F16", 0x7C00, INFINITY},
        {"F16", 0xFC00, -INFINITY},     {"BF16", 0x3F80, 1.0f},       {"BF16", 0xC040, -3.0f},
        {"BF16", 0x0001, 0x1p-133f},    {"BF16", 0x7F80, INFINITY},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        const uint16_t words[2] = {0xABCD, CASES[i].word};
        const struct berth_safetensor t = {.name = "t", .dtype = CASES[i].dtype, .data = words, .count = 2};
        float value = 0.0f;
        tensor_to_float(&value, &t, 1, 1);
        if (value != CASES[i].value)
            fail_msg("%s 0x%04x: %a, expected %a", CASES[i].dtype, CASES[i].word, (double)value,
                     (double)CASES[i].value);
    }
    const uint16_t nan_word = 0x7E00;
    const struct berth_safetensor t = {.name = "t", .dtype = "F16", .data = &nan_word, .count = 1};
    float value = 0.0f;
    tensor_to_float(&value, &t, 0, 1);
    assert_true(isnan(value));
}

/* Every number of 16 bits is written as itself, and what lies between two goes to the nearer, or the even one.
 */
static void floats_become_halves(void **state) {
    (void)state;
    static const char *const NAMES[] = {NULL, "F16", "BF16"};
    enum { WORDS = 65536 };
    float *values = NULL, *read = NULL;
    check_ok(berth_calloc(&values, 3 * WORDS, sizeof *values));
    check_ok(berth_calloc(&read, WORDS, sizeof *read));
    uint16_t *words = NULL;
    check_ok(berth_calloc(&words, WORDS, sizeof *words));
    for (enum berth_weight_type type = BERTH_WEIGHTS_F16; type <= BERTH_WEIGHTS_BF16; type++) {
        struct berth_safetensor t = {.name = "t", .dtype = NAMES[type], .data = words, .count = WORDS};
        int64_t count = 0;
        for (int i = 0; i < WORDS; i++) /* 0x7C00, 0x7F80: infinity; NaN is left out */
            if ((i & 0x7FFF) <= (type == BERTH_WEIGHTS_F16 ? 0x7C00 : 0x7F80)) words[count++] = (uint16_t)i;
        tensor_to_float(values, &t, 0, count);
        const struct berth_safetensor_out out = {
            .name = "t", .rank = 1, .shape = &count, .data = values, .dtype = type};
        struct berth_safetensors *f = NULL;
        check_ok(berth_safetensors_write(path, &out, 1));
        check_ok(berth_safetensors_open(&f, path));
        assert_string_equal(berth_safetensors_at(f, 0)->dtype, NAMES[type]);
        assert_memory_equal(berth_safetensors_at(f, 0)->data, words, (size_t)count * 2);
        berth_safetensors_close(f);
        /* halfway between neighbours of one sign, and a little off it */
        for (int64_t i = 0; i + 2 < count / 2; i++) {
            const float low = values[i], high = values[i + 1],
                        middle = (float)(((double)low + (double)high) / 2);
            const float probes[3] = {middle, nextafterf(middle, low), nextafterf(middle, high)};
            const float expected[3] = {words[i] % 2 == 0 ? low : high, low, high};
            const int64_t three = 3;
            if (i % 37 != 0) continue;
            const struct berth_safetensor_out probe = {
                .name = "t", .rank = 1, .shape = &three, .data = probes, .dtype = type};
            check_ok(berth_safetensors_write(path, &probe, 1));
            check_ok(berth_safetensors_open(&f, path));
            tensor_to_float(read, berth_safetensors_at(f, 0), 0, 3);
            for (int k = 0; k < 3; k++)
                if (read[k] != expected[k])
                    fail_msg("%s: %a became %a, expected %a", NAMES[type], (double)probes[k], (double)read[k],
                             (double)expected[k]);
            berth_safetensors_close(f);
        }
    }
    static const float BIG[2] = {1.0f, 65520.0f}, LAST[1] = {65519.0f};
    static const int64_t ONE = 1, TWO = 2;
    const struct berth_safetensor_out big = {
        .name = "big", .rank = 1, .shape = &TWO, .data = BIG, .dtype = BERTH_WEIGHTS_F16};
    const struct berth_safetensor_out last = {
        .name = "last", .rank = 1, .shape = &ONE, .data = LAST, .dtype = BERTH_WEIGHTS_F16};
    check_fails(berth_safetensors_write(path, &big, 1), BERTH_E_NUMERIC,
                "tensor 'big' holds 65520, but F16 ends");
    check_ok(berth_safetensors_write(path, &last, 1));
    free(values);
    free(read);
    free(words);
}

/* All documents of a public collection as headers, and as names within one: none crashes, hangs or leaks. */
static void strange_documents_are_survived(void **state) {
    (void)state;
    const char *root = getenv("BERTH_TEST_DATA");
    if (root == NULL || root[0] == '\0') skip();
    char *documents = model_path(root, "JSONTestSuite/test_parsing"), **names = NULL;
    size_t count = 0;
    if (!berth_is_folder(documents)) {
        free(documents);
        skip();
    }
    check_ok(berth_list_folder(&names, &count, documents));
    assert_true(count > 100);
    for (size_t i = 0; i < count; i++) {
        char *document = model_path(documents, names[i]), *text = NULL;
        size_t size = 0;
        struct header_tensors tensors;
        check_ok(berth_file_read(&text, &size, document));
        if (safetensors_header_parse(&tensors, names[i], text, size) == BERTH_OK)
            header_tensors_deinit(&tensors);
        struct berth_str wrapped;
        static const char *const AROUND[][2] = {
            {"{\"__metadata__\":{\"k\":", "}}"},
            {"{\"t\":{\"dtype\":\"F32\",\"data_offsets\":[0,4],\"shape\":", "}}"},
            {"{\"t\":", "}"},
        };
        for (int k = 0; k < 3; k++) {
            berth_str_init(&wrapped);
            berth_str_add(&wrapped, AROUND[k][0]);
            berth_str_addn(&wrapped, text, size);
            berth_str_add(&wrapped, AROUND[k][1]);
            if (safetensors_header_parse(&tensors, names[i], wrapped.data, wrapped.length) == BERTH_OK)
                header_tensors_deinit(&tensors);
            berth_str_deinit(&wrapped);
        }
        free(text);
        free(document);
    }
    print_message("%zu documents\n", count);
    berth_names_free(names, count);
    free(documents);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(every_lie_is_told),
        cmocka_unit_test(allowed_oddities_are_read),
        cmocka_unit_test(a_header_longer_than_the_file_is_refused),
        cmocka_unit_test(damage_is_survived),
        cmocka_unit_test(halves_become_floats),
        cmocka_unit_test(floats_become_halves),
        cmocka_unit_test(strange_documents_are_survived),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
