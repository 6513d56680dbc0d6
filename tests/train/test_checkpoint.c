/* test_checkpoint.c: what a checkpoint holds and how it is told to be good: parts of others, which files stay,
 * changed bits in every region, other machines. */
#include "support_train.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "berth/file.h"
#include "berth/h5.h"
#include "train/checkpoint_priv.h"

/* ---- parts that others add */

struct average { /* a part with everything a part can have */
    int64_t updates;
    double history[3];
    float *values; /* device memory, [5] */
    int restored;
    struct berth_device *device;
};

static berth_status average_pieces(void *user, struct checkpoint_pieces *p) {
    struct average *a = user;
    BERTH_TRY(checkpoint_piece(p, "updates", BERTH_H5_I64, 1, &a->updates));
    BERTH_TRY(checkpoint_piece(p, "nothing", BERTH_H5_F64, 0, NULL));
    BERTH_TRY(checkpoint_piece(p, "history", BERTH_H5_F64, 3, a->history));
    BERTH_TRY(checkpoint_piece_device(p, "values", 5, a->values));
    return checkpoint_tensor(p, "upper", 3, 2);
}

static berth_status average_restored(void *user) {
    struct average *a = user;
    a->restored++;
    return BERTH_OK;
}

static void average_make(struct average *a, struct world_run *r, double first) {
    float values[5];
    memset(a, 0, sizeof *a);
    a->device = r->trainer->device;
    a->updates = (int64_t)(10 * first);
    for (int i = 0; i < 3; i++)
        a->history[i] = first + i;
    for (int i = 0; i < 5; i++)
        values[i] = (float)first * (float)i;
    assert_done(berth_device_alloc(a->device, &a->values, sizeof values));
    assert_done(berth_device_upload(a->device, a->values, values, sizeof values));
    const struct checkpoint_part part = {
        .name = "sample", .user = a, .pieces = average_pieces, .restored = average_restored};
    assert_done(checkpoint_add_part(r->trainer, &part));
}

static void test_parts(void **state) {
    struct world *w = *state;
    struct world_run r;
    struct average a;
    float values[5];
    run_make(&r, w, "parts", "train.steps=4", NULL);
    average_make(&a, &r, 1.5);
    r.stop_at = 2;
    assert_done(berth_trainer_start(r.trainer, false));
    assert_int_equal(berth_trainer_run(r.trainer), BERTH_E_STOPPED);
    assert_int_equal(a.restored, 0);
    berth_device_free(a.device, a.values, sizeof values);
    run_free(&r);

    run_make(&r, w, "parts", "train.steps=4", NULL);
    average_make(&a, &r, -7);
    assert_done(berth_trainer_start(r.trainer, true));
    assert_int_equal(a.restored, 1);
    assert_int_equal(a.updates, 15);
    assert_true(a.history[0] == 1.5 && a.history[2] == 3.5);
    assert_done(berth_device_download(a.device, values, a.values, sizeof values));
    assert_true(values[4] == 6);
    /* parts and parameters alone, of a file by its step */
    a.updates = 0;
    assert_done(checkpoint_restore_parts(r.trainer, 2));
    assert_int_equal(a.updates, 15);
    assert_int_equal(checkpoint_restore_parts(r.trainer, 77), BERTH_E_IO);
    berth_device_free(a.device, a.values, sizeof values);
    run_free(&r);

    /* a run that lacks what the file holds, or the other way round */
    run_make(&r, w, "parts2", "train.steps=4", NULL);
    r.stop_at = 2;
    assert_done(berth_trainer_start(r.trainer, false));
    assert_int_equal(berth_trainer_run(r.trainer), BERTH_E_STOPPED);
    run_free(&r);
    run_make(&r, w, "parts2", "train.steps=4", NULL);
    average_make(&a, &r, 1);
    assert_int_equal(berth_trainer_start(r.trainer, true), BERTH_E_FORMAT);
    assert_text_has(berth_error_text(), "the dataset 'sample/updates' is missing");
    berth_device_free(a.device, a.values, sizeof values);
    run_free(&r);
}

/* ---- which files stay */

static void assert_steps(const struct world *w, const char *run, const int64_t *expected, size_t count) {
    int64_t *steps = NULL;
    size_t found = 0;
    char name[64];
    struct berth_str text;
    berth_str_init(&text);
    snprintf(name, sizeof name, "%s/checkpoints", run);
    assert_done(checkpoint_list(&steps, &found, world_path(w, name)));
    bool same = found == count;
    for (size_t i = 0; i < found; i++) {
        berth_str_addf(&text, " %lld", (long long)steps[i]);
        same &= i < count && steps[i] == expected[i];
    }
    if (!same) fail_msg("%s holds the steps%s", run, text.data != NULL ? text.data : "");
    berth_str_deinit(&text);
    free(steps);
}

#define ASSERT_STEPS(w, run, ...)                                                                              \
    assert_steps(w, run, (const int64_t[]){__VA_ARGS__},                                                       \
                 sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

static void test_files_that_stay(void **state) {
    struct world *w = *state;
    /* a rate of 0: the evaluation of step 5 stays the best */
    assert_int_equal(run_whole(w, "keep2", false, 0, "train.lr=0", "checkpoint.keep=2",
                               "checkpoint.every=2 steps", "checkpoint.best=false", NULL),
                     BERTH_OK);
    ASSERT_STEPS(w, "keep2", 12, 10);
    assert_int_equal(
        run_whole(w, "best", false, 0, "train.lr=0", "checkpoint.keep=1", "checkpoint.every=2 steps", NULL),
        BERTH_OK);
    ASSERT_STEPS(w, "best", 12, 5);
    assert_int_equal(run_whole(w, "every", false, 0, "train.lr=0", "checkpoint.keep=1",
                               "checkpoint.every=4 steps", "checkpoint.keep_every=3", NULL),
                     BERTH_OK);
    ASSERT_STEPS(w, "every", 12, 9, 6, 5, 3);
    /* by the clock: a file a step at most, whatever the clock says, and the state is the same */
    assert_int_equal(run_whole(w, "clock", false, 0, "train.lr=0", "checkpoint.every=1 s", NULL), BERTH_OK);
    assert_same_file(world_path(w, "best/best/model.safetensors"),
                     world_path(w, "clock/best/model.safetensors"));
}

/* ---- changed bits */

static void flip(const char *path, int64_t offset) {
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, (long)offset, SEEK_SET), 0);
    int c = fgetc(f);
    assert_int_equal(fseek(f, (long)offset, SEEK_SET), 0);
    assert_true(fputc(c ^ (1 << (offset % 8)), f) != EOF);
    assert_int_equal(fclose(f), 0);
}

/* The newest checkpoint with one bit changed is passed over; changed back it is taken again. */
static void assert_noticed(const struct world *w, const char *path, int64_t offset, const char *region) {
    int64_t step = 0;
    flip(path, offset);
    assert_done(berth_checkpoint_newest(world_path(w, "bits"), &step));
    if (step != 8) fail_msg("a changed bit of byte %lld (%s) was not noticed", (long long)offset, region);
    flip(path, offset);
}

static void test_changed_bits(void **state) {
    struct world *w = *state;
    struct berth_h5 *file = NULL;
    struct berth_file_map map;
    char path[512];
    int64_t step = 0, flips = 0;
    assert_int_equal(run_whole(w, "bits", false, 9, NULL), BERTH_E_STOPPED);
    snprintf(path, sizeof path, "%s", world_path(w, "bits/checkpoints/step-9.h5"));
    assert_done(berth_h5_open(&file, path, CHECKPOINT_KIND, CHECKPOINT_VERSION));
    assert_done(berth_file_map(&map, path));
    /* every dataset: its first, middle and last byte; found in the file by its contents */
    for (size_t i = 0; i < berth_h5_dataset_count(file); i++) {
        const struct berth_h5_dataset *d = berth_h5_dataset(file, i);
        size_t bytes = (size_t)d->count * berth_h5_type_size(d->type);
        if (bytes == 0) continue;
        const unsigned char *at = memmem(map.data, map.size, d->data, bytes);
        assert_non_null(at);
        for (int part = 0; part < 3; part++, flips++)
            assert_noticed(w, path, at - map.data + (int64_t)(bytes - 1) * part / 2, d->name);
    }
    /* user block, superblock, the library's own tables (attributes, links, heaps) and the gaps: a stride over
     * all */
    for (int64_t offset = 0; offset < 72; offset += 3, flips++)
        assert_noticed(w, path, offset, "user block");
    for (int64_t offset = 72; offset < 4096; offset += 501, flips++)
        assert_noticed(w, path, offset, "rest of the user block");
    for (int64_t offset = 4096; offset < 4096 + 96; offset += 5, flips++)
        assert_noticed(w, path, offset, "superblock");
    for (int64_t offset = 4096; offset < (int64_t)map.size; offset += (int64_t)map.size / 100 | 1, flips++)
        assert_noticed(w, path, offset, "anywhere");
    assert_noticed(w, path, (int64_t)map.size - 1, "last byte");
    berth_file_unmap(&map);
    berth_h5_close(file);
    assert_done(berth_checkpoint_newest(world_path(w, "bits"), &step));
    assert_int_equal(step, 9);
    assert_true(flips > 150);
}

/* ---- a file that is whole, and was written with other contents */

/* Writes step-9.h5 of the run anew with `from` replaced by `to` in one of its texts. */
static void rewrite(const struct world *w, const char *run, const char *name, const char *from,
                    const char *to) {
    struct berth_h5 *file = NULL;
    struct berth_h5_writer *h5 = NULL;
    char path[512], relative[96];
    snprintf(relative, sizeof relative, "%s/checkpoints/step-9.h5", run);
    snprintf(path, sizeof path, "%s", world_path(w, relative));
    assert_done(berth_h5_open(&file, path, CHECKPOINT_KIND, CHECKPOINT_VERSION));
    assert_done(berth_h5_create(&h5, path, CHECKPOINT_KIND, CHECKPOINT_VERSION));
    for (size_t i = 0; i < berth_h5_dataset_count(file); i++) {
        const struct berth_h5_dataset *d = berth_h5_dataset(file, i);
        if (!d->is_text) {
            assert_done(berth_h5_put(h5, d->name, d->type, 1, &d->count, d->data));
            continue;
        }
        if (strcmp(d->name, "digests") == 0 && strcmp(name, "digests") != 0) {
            char list[160], hex[33]; /* one that still holds */
            const struct berth_h5_dataset *layout = berth_h5_find(file, "layout");
            berth_hash_hex(berth_hash(layout->data, (size_t)layout->count), hex);
            snprintf(list, sizeof list, "{\"list\":[{\"name\":\"layout\",\"xxh3\":\"%s\"}]}", hex);
            assert_done(berth_h5_put_text(h5, d->name, list));
            continue;
        }
        const char *text = d->data, *at = strcmp(d->name, name) == 0 ? strstr(text, from) : NULL;
        struct berth_str s;
        berth_str_init(&s);
        if (strcmp(d->name, name) == 0) assert_non_null(at);
        berth_str_addn(&s, text, at != NULL ? (size_t)(at - text) : strlen(text));
        if (at != NULL) berth_str_addf(&s, "%s%s", to, at + strlen(from));
        assert_done(berth_h5_put_text(h5, d->name, s.data));
        berth_str_deinit(&s);
    }
    assert_done(berth_h5_commit(&h5));
    berth_h5_close(file);
}

static void test_digest_of_a_tensor(void **state) {
    struct world *w = *state;
    assert_int_equal(run_whole(w, "tensor", false, 9, NULL), BERTH_E_STOPPED);
    /* the digest of other elements */
    rewrite(w, "tensor", "digests",
            "\"name\":\"values/encoder.layer.1.output.dense.weight\",\"in\":\"values\",\"first\":",
            "\"name\":\"values/encoder.layer.1.output.dense.weight\",\"in\":\"values\",\"first\":0,\"\":");
    assert_int_equal(run_whole(w, "tensor", true, 0, NULL), BERTH_E_FORMAT);
    assert_text_has(berth_error_text(), "the digest of 'values/encoder.layer.1.output.dense.weight' is ");
}

static void test_another_machine(void **state) {
    struct world *w = *state;
    struct world_run r;
    assert_int_equal(run_whole(w, "moved", false, 9, NULL), BERTH_E_STOPPED);
    rewrite(w, "moved", "meta", "C library ", "C library 1.");
    assert_int_equal(run_whole(w, "moved", true, 0, "deterministic=strict", NULL), BERTH_E_USAGE);
    assert_text_has(berth_error_text(), "deterministic: strict refuses");
    run_make(&r, w, "moved", NULL);
    assert_done(berth_trainer_start(r.trainer, true));
    run_free(&r);
    char *log = NULL;
    assert_done(berth_file_read(&log, NULL, world_path(w, "moved/log.txt")));
    assert_text_has(log, "going on elsewhere, bits may differ");
    free(log);
    /* on the same machine strict goes on */
    assert_int_equal(run_whole(w, "stays", false, 9, "deterministic=strict", NULL), BERTH_E_STOPPED);
    assert_int_equal(run_whole(w, "stays", true, 0, "deterministic=strict", "threads=2", NULL), BERTH_OK);
}

/* A file that cannot be written ends the run with one line that names the step. */
static void test_error_of_the_thread(void **state) {
    struct world *w = *state;
    struct world_run r;
    run_make(&r, w, "blocked", "train.steps=6", "checkpoint.every=2 steps", NULL);
    assert_done(berth_trainer_start(r.trainer, false));
    assert_done(berth_make_folders(world_path(w, "blocked/checkpoints/step-2.h5"))); /* a folder in its place */
    world_write(w, "blocked/checkpoints/step-2.h5/x", "x");
    assert_int_equal(berth_trainer_run(r.trainer), BERTH_E_IO);
    assert_text_has(berth_error_text(), "writing the checkpoint of step 2: ");
    assert_null(strchr(berth_error_text(), '\n'));
    run_free(&r);
    assert_done(berth_remove_tree(world_path(w, "blocked/checkpoints/step-2.h5")));
    assert_int_equal(run_whole(w, "blocked", true, 0, "train.steps=6", "checkpoint.every=2 steps", NULL),
                     BERTH_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),           cmocka_unit_test(test_files_that_stay),
        cmocka_unit_test(test_changed_bits),    cmocka_unit_test(test_digest_of_a_tensor),
        cmocka_unit_test(test_another_machine), cmocka_unit_test(test_error_of_the_thread),
    };
    return cmocka_run_group_tests_name("checkpoint", tests, world_setup, world_teardown);
}
