/* test_torch_file.c: pytorch_model.bin: what PyTorch wrote is read to the bit, what is hostile is told in one
 * line; nothing is ever executed. */
#include <stdio.h>

#include "berth/file.h"
#include "model/support_torch.h"

static struct berth_device *device;
static char *folder, *path;

static int setup(void **state) {
    (void)state;
    check_ok(berth_device_open(&device, "cpu"));
    folder = model_temp_folder();
    path = model_path(folder, "x.bin");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    berth_device_close(device);
    model_temp_remove(folder);
    free(path);
    return 0;
}

/* ---- what is read */

/* Pieces of pickles, as PyTorch writes them (protocol 2). */
#define PROTO "\x80\x02"
#define DICT "ccollections\nOrderedDict\n)R"
#define REBUILD "ctorch._utils\n_rebuild_tensor_v2\n"
#define STORAGE(type, key, elements)                                                                           \
    "(X\7\0\0\0storagectorch\n" type "\nX\1\0\0\0" key "X\3\0\0\0cpu" elements "tQ"
#define NAME(letter) "X\1\0\0\0" letter
#define FLAGS "\x89" DICT "t"
/* a float tensor [2, 3] over storage "0" */
#define TENSOR "(" STORAGE("FloatStorage", "0", "K\6") "K\0K\2K\3\x86K\3K\1\x86" FLAGS "R"
#define PICKLE(text) text, sizeof text - 1

static void plain_tensors_are_read(void **state) {
    (void)state;
    struct berth_torch *f = NULL;
    static const char TEXT[] = PROTO DICT "(" NAME("a") REBUILD TENSOR NAME("b") REBUILD
        "(" STORAGE("HalfStorage", "1", "M\4\0") "K\1K\3\x85K\1\x85" FLAGS "R" NAME("n") "N" NAME("s") REBUILD
        "(" STORAGE("LongStorage", "1", "\x8a\1\1") "K\0))" FLAGS "R"
                                                    "u"
                                                    "}" NAME("x") "K\1sb"
                                                                  ".";
    torch_put(folder, "x.bin", PICKLE(TEXT));
    check_ok(berth_torch_open(&f, path));
    assert_int_equal(berth_torch_count(f), 3);
    const struct berth_safetensor *a = berth_torch_at(f, 0), *b = berth_torch_at(f, 1), *s = berth_torch_at(f, 2);
    assert_string_equal(a->name, "a");
    assert_string_equal(a->dtype, "F32");
    assert_int_equal(a->rank, 2);
    assert_int_equal(a->shape[0], 2);
    assert_int_equal(a->shape[1], 3);
    float values[6];
    tensor_to_float(values, a, 0, 6);
    for (int i = 0; i < 6; i++)
        assert_true(values[i] == (float)i);
    assert_string_equal(b->dtype, "F16");
    assert_int_equal(b->count, 3);
    assert_memory_equal(b->data, "\3\4\5\6\7\10", 6);
    assert_string_equal(s->name, "s");
    assert_string_equal(s->dtype, "I64");
    assert_int_equal(s->rank, 0);
    assert_int_equal(s->count, 1);
    berth_torch_close(f);
    berth_torch_close(NULL);
}

/* tests/golden/torch_small was written by PyTorch: the same model as safetensors, as one pytorch_model.bin, and
 * as several with an index. */
static void what_pytorch_wrote_is_what_safetensors_say(void **state) {
    (void)state;
    static const char *const FORMS[] = {"bin", "shards", "bin-shards"};
    const char *root = getenv("BERTH_SOURCE_DIR");
    char *golden = model_path(root != NULL ? root : ".", "tests/golden/torch_small");
    char *plain = model_path(golden, "safetensors");
    struct berth_model *expected = NULL;
    check_ok(berth_model_load(&expected, device, plain));
    check_ok(berth_model_allocate(expected, 1));
    for (size_t i = 0; i < sizeof FORMS / sizeof FORMS[0]; i++) {
        char *form = model_path(golden, FORMS[i]);
        struct berth_model *m = NULL;
        check_ok(berth_model_load(&m, device, form));
        check_ok(berth_model_allocate(m, 2));
        assert_int_equal(m->parameter_count, expected->parameter_count);
        for (int p = 0; p < m->parameter_count; p++) {
            const char *name = expected->parameters[p].name;
            float *x = values_of(expected, name), *y = values_of(m, name);
            assert_true(m->parameters[p].loaded);
            if (memcmp(x, y, (size_t)expected->parameters[p].count * sizeof *x) != 0)
                fail_msg("%s: %s differs", form, name);
            free(x);
            free(y);
        }
        berth_model_free(m);
        free(form);
    }
    berth_model_free(expected);
    free(plain);
    free(golden);
}

static void a_strangers_file_is_read(void **state) {
    (void)state;
    const char *data = getenv("BERTH_TEST_DATA");
    if (data == NULL || data[0] == '\0') skip();
    char *bin = model_path(data, "weights/camphr-ner-bert-tiny/pytorch_model.bin");
    struct berth_torch *f = NULL;
    check_ok(berth_torch_open(&f, bin));
    assert_int_equal(berth_torch_count(f), 24);
    for (size_t i = 0; i < berth_torch_count(f); i++) {
        const struct berth_safetensor *t = berth_torch_at(f, i);
        if (strcmp(t->name, "bert.embeddings.word_embeddings.weight") != 0) continue;
        assert_int_equal(t->shape[0], 402);
        assert_int_equal(t->shape[1], 16);
        float row[16];
        tensor_to_float(row, t, 0, 16);
        for (int k = 0; k < 16; k++)
            assert_true(row[k] == 0.0f); /* the padding token */
    }
    berth_torch_close(f);
    free(bin);
}

/* ---- hostile pickles */

struct lie {
    const char *text;
    size_t size;
    const char *said;
};

static const struct lie LIES[] = {
    {PICKLE(""), "it ends without a STOP"},
    {PICKLE(PROTO "}"), "it ends without a STOP"},
    {PICKLE(PROTO "."), "a value is missing"},
    {PICKLE(PROTO "N."), "something other than a dictionary of tensors"},
    {PICKLE("\x80\x09}."), "protocol 9"},
    {PICKLE("cos\nsystem\nX\2\0\0\0ls\x85R."), "it names os.system, which a model's weights have no need of"},
    {PICKLE("cposix\nsystem\n."), "it names posix.system"},
    {PICKLE("X\2\0\0\0osX\6\0\0\0system\x93."), "it names os.system"},
    {PICKLE("c\x1b[2J\nx\n."), "it names ?[2J.x"},
    {PICKLE("cbuiltins\neval"), "a name without an end"},
    {PICKLE("(S'ls'\nios\nsystem\n."), "opcode 0x53"},
    {PICKLE("\x81."), "opcode 0x81"},
    {PICKLE("}}b"), "it ends without a STOP"},
    {PICKLE("R."), "a value is missing"},
    {PICKLE("})R."), "a call of something that is no function"},
    {PICKLE("ctorch\nFloatStorage\n)R."), "a call of a storage"},
    {PICKLE("ccollections\nOrderedDict\nK\1\x85R."), "a dictionary made of something else"},
    {PICKLE(REBUILD ")R."), "a tensor without storage"},
    {PICKLE(REBUILD "(NK\0))tR."), "a tensor without storage"},
    {PICKLE("ctorch._utils\n_rebuild_parameter\nN\x85R."), "a parameter that is no tensor"},
    {PICKLE("NQ."), "a reference to something other than a tensor's storage"},
    {PICKLE("(X\7\0\0\0storageNX\1\0\0\0"
            "0NK\6tQ."),
     "a reference to something other"},
    {PICKLE("(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"
            "0NJ\xff\xff\xff\xfftQ."),
     "a reference to something"},
    {PICKLE("h\0."), "value number 0 was never remembered"},
    {PICKLE("Nj\xff\xff\xff\xff."), "value number 4294967295 was never remembered"},
    {PICKLE("q\0."), "a value is missing"},
    {PICKLE("Nr\xff\xff\xff\xff."), "value number 4294967295 is remembered, of so few"},
    {PICKLE("Nr\xff\xff\0\0."), "value number 65535 is remembered, of so few"},
    {PICKLE("t."), "a mark is missing"},
    {PICKLE("(\x85."), "a value is missing"},
    {PICKLE("\x87."), "a value is missing"},
    {PICKLE("u."), "a mark is missing"},
    {PICKLE("(NNu."), "a dictionary is missing"},
    {PICKLE("}(Nu."), "a dictionary's key without a value"},
    {PICKLE("}(NNs."), "a dictionary is missing"},
    {PICKLE("}(s."), "a value is missing"},
    {PICKLE("X\xff\xff\xff\x7f."), "bytes are missing"},
    {PICKLE("\x8d\xff\xff\xff\xff\xff\xff\xff\xff."), "bytes are missing"},
    {PICKLE("\x8a\x09"
            "123456789."),
     "a number of 9 bytes"},
    {PICKLE("J1"), "bytes are missing"},
    {PICKLE(PROTO "}}\x93."), "a name that is no text"},
    {PICKLE(PROTO "}(X\0\0\0\0" REBUILD TENSOR "u."), "a tensor's name is empty"},
    {PICKLE(PROTO "}(X\1\0\0\0\xff" REBUILD TENSOR "u."), "not valid UTF-8"},
    {PICKLE(PROTO "}(X\2\0\0\0a\0" REBUILD TENSOR "u."), "not valid UTF-8"},
    /* storages that are not what the archive holds */
    {PICKLE(PROTO "}(" NAME("a") REBUILD "(" STORAGE("FloatStorage", "7", "K\6") "K\0K\6\x85K\1\x85" FLAGS
                                                                                 "Ru."),
     "tensor 'a': its storage '7' is not in the archive"},
    {PICKLE(PROTO "}(" NAME("a") REBUILD "(" STORAGE("FloatStorage", "0", "K\7") "K\0K\6\x85K\1\x85" FLAGS
                                                                                 "Ru."),
     "tensor 'a': a storage of 7 elements of F32, but 24 bytes are there"},
    {PICKLE(PROTO "}(" NAME("a") REBUILD
            "(" STORAGE("FloatStorage", "0", "\x8a\x08\x06\0\0\0\0\0\0\x40") "K\0K\6\x85K\1\x85" FLAGS "Ru."),
     "tensor 'a': a storage of"},
    {PICKLE(PROTO "}(" NAME("a") REBUILD "(" STORAGE("FloatStorage", "0", "K\6") "K\1K\6\x85K\1\x85" FLAGS
                                                                                 "Ru."),
     "tensor 'a': 6 elements from number 1, but its storage has 6"},
    {PICKLE(PROTO "}(" NAME("a") REBUILD "(" STORAGE(
         "FloatStorage", "0", "K\6") "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7fK\1\x85K\1\x85" FLAGS "Ru."),
     "tensor 'a': 1 elements from number 9223372036854775807"},
    {PICKLE(PROTO "}(" NAME("a") REBUILD "(" STORAGE(
         "FloatStorage", "0",
         "K\6") "K\0\x8a\x08\0\0\0\0\0\0\0\x40\x8a\x08\0\0\0\0\0\0\0\x40\x86K\1K\1\x86" FLAGS "Ru."),
     "a tensor of more than 2^63 elements"},
    {PICKLE(PROTO "}(" NAME("a") REBUILD "(" STORAGE("FloatStorage", "0", "K\6") "K\0K\3K\2\x86K\1K\3\x86" FLAGS
                                                                                 "Ru."),
     "tensor 'a' is not stored row after row"},
    {PICKLE(PROTO "}(" NAME("a") REBUILD "(" STORAGE("FloatStorage", "0", "K\6") "K\0K\3K\2\x86K\0K\0\x86" FLAGS
                                                                                 "Ru."),
     "tensor 'a' is not stored row after row"},
    {PICKLE(PROTO "}(" NAME("a") REBUILD
            "(" STORAGE("FloatStorage", "0", "K\6") "K\0(K\1K\1K\1K\1K\1K\1K\1K\1K\1t)" FLAGS "Ru."),
     "a tensor without storage, shape (of at most 8 dimensions)"},
};

static void check_refused(const char *said) {
    struct berth_torch *f = NULL;
    const berth_status status = berth_torch_open(&f, path);
    const char *text = berth_error_text();
    if ((status != BERTH_E_FORMAT && status != BERTH_E_UNSUPPORTED) || strstr(text, said) == NULL)
        fail_msg("expected '%s', got %s: %s", said, berth_status_name(status), text);
    if (strstr(text, path) == NULL) fail_msg("no file is named: %s", text);
    if (strchr(text, '\n') != NULL || strchr(text, '\x1b') != NULL) fail_msg("not one plain line: %s", text);
    assert_null(f);
}

static void hostile_pickles_are_told(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof LIES / sizeof LIES[0]; i++) {
        torch_put(folder, "x.bin", LIES[i].text, LIES[i].size);
        check_refused(LIES[i].said);
    }
}

/* A thousand million elements from a few bytes: refused before memory is taken for them. */
static void a_pickle_bomb_is_refused(void **state) {
    (void)state;
    struct berth_str s;
    berth_str_init(&s);
    for (int i = 0; i < (1 << 20) + 1; i++)
        berth_str_add(&s, "N");
    torch_put(folder, "x.bin", s.data, s.length);
    check_refused("more than 1048576 values");
    berth_str_reset(&s);
    berth_str_add(&s, "K\1\x85\x94");
    for (int i = 0; i < (3 << 20); i++)
        berth_str_add(&s, "\x85");
    torch_put(folder, "x.bin", s.data, s.length);
    check_refused("more than 1048576 values");
    berth_str_reset(&s);
    while (s.length < (9u << 20))
        berth_str_add(&s, "N0N0N0N0N0N0N0N0N0N0N0N0N0N0N0N0");
    torch_put(folder, "x.bin", s.data, s.length);
    check_refused("at most 8388608 are read");
    berth_str_deinit(&s);
}

/* ---- hostile archives */

static const char GOOD[] = PROTO "}(" NAME("a") REBUILD TENSOR "u.";

static void make_archive(int form) {
    static const float FLOATS[6] = {0};
    struct zip_maker z;
    zip_begin(&z);
    z.method = form == 1 ? 8 : 0;
    z.lie_size = form == 2 ? 1u << 30 : 0;
    z.lie_local = form == 3 ? 1u << 30 : form == 4 ? 1 : 0;
    if (form != 5) zip_add(&z, "x/data.pkl", GOOD, sizeof GOOD - 1);
    if (form == 6) zip_add(&z, "y/data.pkl", GOOD, sizeof GOOD - 1);
    if (form == 7) zip_add(&z, "x/data.pkl", GOOD, sizeof GOOD - 1);
    if (form == 8) zip_add(&z, "x/byteorder", "big", 3);
    z.method = form == 9 ? 8 : z.method;
    zip_add(&z, "x/data/0", FLOATS, sizeof FLOATS);
    zip_end(&z, folder, "x.bin");
}

static void hostile_archives_are_told(void **state) {
    (void)state;
    static const char *const SAID[] = {
        NULL,
        "data.pkl is compressed or encrypted",
        "but the file has",
        "its header at byte 1073741824 is not there",
        "its header at byte 1 is not there",
        "a zip archive without data.pkl",
        "two members named data.pkl",
        "member 'x/data.pkl' twice",
        "its numbers are not little-endian",
        "tensor 'a': its bytes are compressed or encrypted",
    };
    struct berth_torch *f = NULL;
    make_archive(0);
    check_ok(berth_torch_open(&f, path));
    assert_int_equal(berth_torch_count(f), 1);
    berth_torch_close(f);
    for (int i = 1; i < (int)(sizeof SAID / sizeof SAID[0]); i++) {
        make_archive(i);
        check_refused(SAID[i]);
    }
    check_ok(berth_file_put(path, "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15));
    check_refused("written in the form before PyTorch 1.6");
    check_ok(berth_file_put(path, "", 0));
    check_refused("the archive's end is missing");
    check_ok(berth_file_put(path, "PK\5\6\0\0\0\0\1\0\1\0\xff\xff\xff\0\0\0\0\0\0\0", 22));
    check_refused("list of members lies outside the file");
}

/* Cut anywhere, and with any byte changed: read or refused, never a crash, never a hang. */
static void damage_is_survived(void **state) {
    (void)state;
    char *bytes = NULL;
    size_t size = 0;
    int read = 0;
    make_archive(0);
    check_ok(berth_file_read(&bytes, &size, path));
    for (size_t cut = 0; cut < size; cut++) {
        struct berth_torch *f = NULL;
        check_ok(berth_file_put(path, bytes, cut));
        if (berth_torch_open(&f, path) == BERTH_OK) fail_msg("cut to %zu of %zu bytes: read", cut, size);
    }
    for (size_t at = 0; at < size; at++) {
        static const unsigned char CHANGES[] = {0x01, 0x20, 0xFF};
        for (int c = 0; c < 3; c++) {
            struct berth_torch *f = NULL;
            bytes[at] = (char)((unsigned char)bytes[at] ^ CHANGES[c]);
            check_ok(berth_file_put(path, bytes, size));
            bytes[at] = (char)((unsigned char)bytes[at] ^ CHANGES[c]);
            if (berth_torch_open(&f, path) == BERTH_OK) read++;
            berth_torch_close(f);
        }
    }
    free(bytes);
    assert_true(read > 0); /* a float's bit, a date */
}

/* ---- indexes */

static void check_index(const char *index, berth_status code, const char *said) {
    struct model_weights w;
    model_put_text(folder, "model.safetensors.index.json", index);
    const berth_status status = weights_open(&w, folder);
    if (status != code || strstr(berth_error_text(), said) == NULL)
        fail_msg("%s: expected '%s', got %s: %s", index, said, berth_status_name(status), berth_error_text());
    weights_close(&w);
}

static void hostile_indexes_are_told(void **state) {
    (void)state;
    static const float VALUE[1] = {1.0f};
    static const char *const NAMES[] = {"a", "b", "c.safetensors"};
    for (int i = 0; i < 3; i++) { /* each holds the tensor "a", the third also "c" */
        const struct berth_safetensor_out out[2] = {{.name = "a", .data = VALUE}, {.name = "c", .data = VALUE}};
        char name[40];
        snprintf(name, sizeof name, i == 2 ? "%s" : "%s.safetensors", NAMES[i]);
        char *file = model_path(folder, name);
        check_ok(berth_safetensors_write(file, out, i == 2 ? 2 : 1));
        free(file);
    }
    struct model_weights w;
    model_put_text(folder, "model.safetensors.index.json",
                   "{\"metadata\": {\"total_size\": 4}, \"weight_map\": {\"a\": \"a.safetensors\"}}");
    check_ok(weights_open(&w, folder));
    assert_int_equal(w.count, 1);
    assert_non_null(weights_find(&w, "a"));
    assert_null(weights_find(&w, "b"));
    weights_close(&w);
    static const char *const OUTSIDE[] = {"../a.safetensors",
                                          "/etc/a.safetensors",
                                          "x/a.safetensors",
                                          "x\\\\a.safetensors",
                                          ".safetensors",
                                          "..",
                                          "",
                                          "a.bin",
                                          ".a.safetensors",
                                          "a.safetensors\\u0000"};
    for (size_t i = 0; i < sizeof OUTSIDE / sizeof OUTSIDE[0]; i++) {
        char index[128];
        snprintf(index, sizeof index, "{\"weight_map\": {\"a\": \"%s\"}}", OUTSIDE[i]);
        check_index(index, BERTH_E_FORMAT, i == 9 ? "not valid JSON" : "expected a file of this folder");
    }
    check_index("{}", BERTH_E_FORMAT, "'weight_map' is missing");
    check_index("{\"weight_map\": []}", BERTH_E_FORMAT, "expected an object of texts, found an array");
    check_index("{\"weight_map\": {\"a\": 1}}", BERTH_E_FORMAT, "expected a text, found 1");
    check_index("{\"weight_map\": {\"a\": \"d.safetensors\"}}", BERTH_E_IO, "d.safetensors");
    check_index("{\"weight_map\": {\"z\": \"a.safetensors\"}}", BERTH_E_FORMAT,
                "tensor 'z' is said to be in 'a.safetensors', but it is not");
    check_index("{\"weight_map\": {\"a\": \"a.safetensors\", \"c\": \"b.safetensors\"}}", BERTH_E_FORMAT,
                "tensor 'a' twice");
    check_index("{\"weight_map\": {\"a\": \"a.safetensors\", \"c\": \"c.safetensors\"}}", BERTH_E_FORMAT,
                "tensor 'a' twice");
    check_index("{\"weight_map\": {\"a\": \"a.safetensors\", \"a\": \"a.safetensors\"}}", BERTH_E_FORMAT,
                "duplicate");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_tensors_are_read),
        cmocka_unit_test(what_pytorch_wrote_is_what_safetensors_say),
        cmocka_unit_test(a_strangers_file_is_read),
        cmocka_unit_test(hostile_pickles_are_told),
        cmocka_unit_test(a_pickle_bomb_is_refused),
        cmocka_unit_test(hostile_archives_are_told),
        cmocka_unit_test(damage_is_survived),
        cmocka_unit_test(hostile_indexes_are_told),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
