/* HDF5 files: round trip, and every kind of damage noticed before the library reads. */
#include "base/support_base.h"

#include <stdio.h>
#include <unistd.h>

#include "base/h5_priv.h"
#include "berth/file.h"

static char *folder, *path;

static int make_folder(void **state) {
    (void)state;
    folder = temp_folder_make();
    path = temp_path(folder, "t.h5");
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    free(path);
    temp_folder_remove(folder);
    return 0;
}

enum { BIG = 70000 };

/* A file with every type, a folder, an empty dataset, texts, and one dataset written in pieces. */
static void write_sample(void) {
    struct berth_h5_writer *w = NULL;
    const int32_t tokens[6] = {1, 2, 3, 4, 5, -6};
    const float weights[3] = {0.5f, -1.0f, 3e38f};
    const double precise[1] = {1e-300};
    const uint16_t halves[5] = {1, 2, 3, 4, 65535};
    const unsigned char bytes[3] = {7, 0, 255};
    const int64_t two_by_three[2] = {2, 3}, three = 3, five = 5, one = 1, zero_by_four[2] = {0, 4}, big = BIG;
    int64_t *squares = malloc(BIG * sizeof *squares);
    for (int64_t i = 0; i < BIG; i++)
        squares[i] = i * i;
    assert_ok(berth_h5_create(&w, path, "pack", 3));
    assert_ok(berth_h5_put(w, "tokens", BERTH_H5_I32, 2, two_by_three, tokens));
    assert_ok(berth_h5_put(w, "labels/bytes", BERTH_H5_U8, 1, &three, bytes));
    assert_ok(berth_h5_put(w, "labels/weights", BERTH_H5_F32, 1, &three, weights));
    assert_ok(berth_h5_put(w, "precise", BERTH_H5_F64, 1, &one, precise));
    assert_ok(berth_h5_put(w, "halves", BERTH_H5_U16, 1, &five, halves));
    assert_ok(berth_h5_put(w, "empty", BERTH_H5_F32, 2, zero_by_four, NULL));
    assert_ok(berth_h5_put_text(w, "meta", "{\"a\": \"\xC3\xA9\"}"));
    assert_ok(berth_h5_put_text(w, "nothing", ""));
    assert_ok(berth_h5_begin(w, "squares", BERTH_H5_I64, 1, &big));
    assert_ok(berth_h5_part(w, "squares", 50000, BIG - 50000, squares + 50000));
    assert_ok(berth_h5_part(w, "squares", 0, 50000, squares));
    assert_ok(berth_h5_part(w, "squares", BIG, 0, NULL));
    assert_ok(berth_h5_commit(&w));
    assert_null(w);
    free(squares);
}

static void round_trip(void **state) {
    (void)state;
    struct berth_h5 *f = NULL;
    write_sample();
    assert_ok(berth_h5_open(&f, path, "pack", 3));
    assert_string_equal(berth_h5_kind(f), "pack");
    assert_int_equal(berth_h5_version(f), 3);
    assert_int_equal(berth_h5_dataset_count(f), 9);
    static const char *const names[] = {"empty",   "halves",  "labels/bytes", "labels/weights", "meta",
                                        "nothing", "precise", "squares",      "tokens"};
    for (size_t i = 0; i < 9; i++)
        assert_string_equal(berth_h5_dataset(f, i)->name, names[i]);
    const struct berth_h5_dataset *d = berth_h5_find(f, "tokens");
    assert_non_null(d);
    assert_int_equal(d->rank, 2);
    assert_int_equal(d->dims[0], 2);
    assert_int_equal(d->dims[1], 3);
    assert_int_equal(d->count, 6);
    assert_false(d->is_text);
    assert_int_equal((uintptr_t)d->data % 4096, 0);
    const int32_t *tokens = NULL;
    const float *weights = NULL;
    const double *precise = NULL;
    const uint16_t *halves = NULL;
    const unsigned char *bytes = NULL;
    const int64_t *squares = NULL;
    int64_t n = 0;
    assert_ok(berth_h5_view(f, "tokens", BERTH_H5_I32, &tokens, &n));
    assert_true(n == 6 && tokens[0] == 1 && tokens[5] == -6);
    assert_ok(berth_h5_view(f, "labels/weights", BERTH_H5_F32, &weights, &n));
    assert_true(n == 3 && weights[1] == -1.0f && weights[2] == 3e38f);
    assert_ok(berth_h5_view(f, "precise", BERTH_H5_F64, &precise, NULL));
    assert_true(precise[0] == 1e-300);
    assert_ok(berth_h5_view(f, "halves", BERTH_H5_U16, &halves, &n));
    assert_true(n == 5 && halves[4] == 65535);
    assert_ok(berth_h5_view(f, "labels/bytes", BERTH_H5_U8, &bytes, &n));
    assert_true(n == 3 && bytes[0] == 7 && bytes[1] == 0 && bytes[2] == 255);
    assert_ok(berth_h5_view(f, "empty", BERTH_H5_F32, &weights, &n));
    assert_int_equal(n, 0);
    assert_ok(berth_h5_view(f, "squares", BERTH_H5_I64, &squares, &n));
    assert_int_equal(n, BIG);
    for (int64_t i = 0; i < BIG; i++)
        assert_int_equal(squares[i], i * i);
    const char *text = NULL;
    assert_ok(berth_h5_text(f, "meta", &text));
    assert_string_equal(text, "{\"a\": \"\xC3\xA9\"}");
    assert_true(berth_h5_find(f, "meta")->is_text);
    assert_int_equal(berth_h5_find(f, "meta")->count, strlen(text));
    assert_ok(berth_h5_text(f, "nothing", &text));
    assert_string_equal(text, "");
    berth_h5_close(f);
    assert_ok(berth_h5_open(&f, path, NULL, 99));
    berth_h5_close(f);
}

static void what_is_missing_or_of_another_type(void **state) {
    (void)state;
    struct berth_h5 *f = NULL;
    const int32_t *p = NULL;
    const char *text = NULL;
    char expected[512];
    int64_t n = 0;
    write_sample();
    snprintf(expected, sizeof expected, "%s: holds 'pack', expected 'checkpoint'", path);
    assert_error(berth_h5_open(&f, path, "checkpoint", 3), BERTH_E_FORMAT, expected);
    assert_error_has(berth_h5_open(&f, path, "pack", 2), BERTH_E_VERSION,
                     "written by a newer berth: version 3 of 'pack', this one reads up to 2");
    assert_ok(berth_h5_open(&f, path, "pack", 3));
    assert_null(berth_h5_find(f, "label"));
    assert_null(berth_h5_find(f, "labels"));
    assert_error_has(berth_h5_view(f, "x", BERTH_H5_I32, &p, &n), BERTH_E_FORMAT, "the dataset 'x' is missing");
    assert_error_has(berth_h5_view(f, "squares", BERTH_H5_I32, &p, &n), BERTH_E_FORMAT,
                     "dataset 'squares' holds int64, expected int32");
    assert_error_has(berth_h5_view(f, "meta", BERTH_H5_U8, &p, &n), BERTH_E_FORMAT,
                     "holds a text, expected uint8");
    assert_error_has(berth_h5_text(f, "x", &text), BERTH_E_FORMAT, "the text 'x' is missing");
    assert_error_has(berth_h5_text(f, "tokens", &text), BERTH_E_FORMAT, "'tokens' is not a text");
    berth_h5_close(f);
    berth_h5_close(NULL);
    char *missing = temp_path(folder, "none.h5");
    assert_error_has(berth_h5_open(&f, missing, NULL, 1), BERTH_E_IO, "cannot be opened");
    free(missing);
}

static berth_status open_bytes(const void *data, size_t size) {
    struct berth_h5 *f = NULL;
    char *other = temp_path(folder, "damaged.h5");
    write_bytes(other, data, size);
    berth_status status = berth_h5_open(&f, other, "pack", 3);
    if (status == BERTH_OK) berth_h5_close(f);
    free(other);
    return status;
}

static void truncation(void **state) {
    (void)state;
    char *data = NULL;
    size_t size = 0;
    write_sample();
    assert_ok(berth_file_read(&data, &size, path));
    assert_ok(open_bytes(data, size));
    size_t tried = 0;
    for (size_t cut = 0; cut < size;
         cut += cut < 200 || (cut > 4000 && cut < 4200) ? 1 : size / 150 + 1, tried++) {
        if (open_bytes(data, cut) != BERTH_E_FORMAT) fail_msg("%zu of %zu bytes were taken", cut, size);
        if (strstr(berth_error_text(), cut < 8 || cut >= 4096 ? "truncated" : "damaged.h5: ") == NULL)
            fail_msg("%zu bytes: '%s'", cut, berth_error_text());
    }
    assert_true(tried > 300);
    assert_int_equal(open_bytes(data, size - 1), BERTH_E_FORMAT);
    char *longer = calloc(1, size + 1);
    memcpy(longer, data, size);
    assert_error_has(open_bytes(longer, size + 1), BERTH_E_FORMAT, "too long");
    free(longer);
    free(data);
}

/* One bit changed: each byte of the block's fields and of the superblock, and places all over the rest. */
static void flipped_bits(void **state) {
    (void)state;
    char *data = NULL;
    size_t size = 0;
    write_sample();
    assert_ok(berth_file_read(&data, &size, path));
    size_t tried = 0;
    for (size_t at = 0; at < size; tried++) {
        data[at] ^= (char)(1 << (tried % 8));
        if (open_bytes(data, size) != BERTH_E_FORMAT) fail_msg("a changed byte at %zu was not noticed", at);
        const char *expected = at < 8      ? "not a berth HDF5 file"
                               : at < 4096 ? "first 4096 bytes"
                                           : "its contents";
        if (strstr(berth_error_text(), expected) == NULL) fail_msg("byte %zu: '%s'", at, berth_error_text());
        data[at] ^= (char)(1 << (tried % 8));
        at += at < 128 || (at >= 4096 && at < 4224) ? 1 : size / 200 + 1;
    }
    assert_true(tried > 300);
    assert_ok(open_bytes(data, size));
    free(data);
}

/* Writes digests that fit whatever `rest` holds, as a forger or a broken tool would. */
static berth_status open_forged(char *data, size_t size) {
    struct h5_block block;
    memcpy(&block, data, sizeof block);
    struct berth_hash128 hash = berth_hash(data + sizeof block, size - sizeof block);
    block.rest_size = size - sizeof block;
    block.rest_hash[0] = hash.low;
    block.rest_hash[1] = hash.high;
    hash = h5_block_digest(&block);
    block.block_hash[0] = hash.low;
    block.block_hash[1] = hash.high;
    memcpy(data, &block, sizeof block);
    return open_bytes(data, size);
}

/* With right digests the library is reached: what it cannot read is one error, with its own reason. */
static void wrong_contents_with_right_digests(void **state) {
    (void)state;
    char *data = NULL;
    size_t size = 0;
    write_sample();
    assert_ok(berth_file_read(&data, &size, path));
    assert_ok(open_forged(data, size));
    assert_error_has(open_forged(data, 4096), BERTH_E_FORMAT, "cannot be read as HDF5");
    memset(data + 4096, 0, 64); /* the superblock */
    assert_error_has(open_forged(data, size), BERTH_E_FORMAT, "cannot be read as HDF5");
    free(data);
}

/* Another tool's file with the right block: what we would not have written is refused by name. */
static void foreign_datasets(void **state) {
    (void)state;
    hid_t creation = H5Pcreate(H5P_FILE_CREATE), plist = H5Pcreate(H5P_DATASET_CREATE);
    hsize_t dims[1] = {100}, chunk[1] = {10};
    assert_true(H5Pset_userblock(creation, 4096) >= 0 && H5Pset_chunk(plist, 1, chunk) >= 0);
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, creation, H5P_DEFAULT);
    hid_t space = H5Screate_simple(1, dims, NULL);
    hid_t dataset = H5Dcreate2(file, "chunked", H5T_STD_I32LE, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    assert_true(file >= 0 && dataset >= 0);
    H5Dclose(dataset);
    H5Pclose(plist);
    H5Sclose(space);
    H5Fclose(file);
    H5Pclose(creation);
    char *data = NULL;
    size_t size = 0;
    assert_ok(berth_file_read(&data, &size, path));
    struct h5_block block = {.magic = H5_BLOCK_MAGIC, .block_version = H5_BLOCK_VERSION, .kind = "pack"};
    memcpy(data, &block, sizeof block);
    assert_error_has(open_forged(data, size), BERTH_E_FORMAT, "dataset 'chunked' is not one run of bytes");
    block.block_version = 2;
    memcpy(data, &block, sizeof block);
    assert_error_has(open_forged(data, size), BERTH_E_VERSION, "block version 2, this one reads 1");
    free(data);
}

static void writing_is_all_or_nothing(void **state) {
    (void)state;
    struct berth_h5_writer *w = NULL;
    const int64_t n = 2;
    const int32_t values[2] = {1, 2};
    write_sample();
    assert_ok(berth_h5_create(&w, path, "other", 1));
    assert_ok(berth_h5_put(w, "a", BERTH_H5_I32, 1, &n, values));
    assert_error_has(berth_h5_put(w, "a", BERTH_H5_I32, 1, &n, values), BERTH_E_IO, "'a' cannot be made");
    assert_error_has(berth_h5_part(w, "b", 0, 1, values), BERTH_E_IO, "'b' cannot be opened");
    berth_h5_abort(&w);
    assert_null(w);
    berth_h5_abort(&w);
    struct berth_h5 *f = NULL;
    assert_ok(berth_h5_open(&f, path, "pack", 3)); /* the old one */
    berth_h5_close(f);
    char **names = NULL;
    size_t count = 0;
    assert_ok(berth_list_folder(&names, &count, folder));
    assert_int_equal(count, 1);
    berth_names_free(names, count);
    char *below = temp_path(folder, "no/where.h5");
    char expected[512];
    snprintf(expected, sizeof expected, "%s: cannot be created: No such file or directory", below);
    assert_error(berth_h5_create(&w, below, "pack", 1), BERTH_E_IO, expected);
    free(below);
}

/* The same content gives the same bytes: no times, no leftovers of memory. */
static void same_content_same_bytes(void **state) {
    (void)state;
    char *first = NULL, *second = NULL;
    size_t size_1 = 0, size_2 = 0;
    write_sample();
    assert_ok(berth_file_read(&first, &size_1, path));
    write_sample();
    assert_ok(berth_file_read(&second, &size_2, path));
    assert_int_equal(size_1, size_2);
    assert_memory_equal(first, second, size_1);
    free(first);
    free(second);
}

int main(void) {
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(round_trip),
        IN_FOLDER(what_is_missing_or_of_another_type),
        IN_FOLDER(truncation),
        IN_FOLDER(flipped_bits),
        IN_FOLDER(wrong_contents_with_right_digests),
        IN_FOLDER(foreign_datasets),
        IN_FOLDER(writing_is_all_or_nothing),
        IN_FOLDER(same_content_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
