/* Files written whole or not at all, checked reading, maps, folders. */
#include "base/support_base.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "berth/file.h"

static char *folder;

static int make_folder(void **state) {
    (void)state;
    folder = temp_folder_make();
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    temp_folder_remove(folder);
    return 0;
}

static void assert_content(const char *path, const char *text) {
    char *data = NULL;
    size_t size = 0;
    assert_ok(berth_file_read(&data, &size, path));
    assert_int_equal(size, strlen(text));
    assert_string_equal(data, text);
    free(data);
}

static void assert_entries(size_t expected) {
    char **names = NULL;
    size_t count = 0;
    assert_ok(berth_list_folder(&names, &count, folder));
    if (count != expected) fail_msg("%zu entries, expected %zu; the first is %s", count, expected, names[0]);
    berth_names_free(names, count);
}

static void put_and_read(void **state) {
    (void)state;
    char *path = temp_path(folder, "a.txt");
    assert_ok(berth_file_put(path, "one", 3));
    assert_content(path, "one");
    assert_ok(berth_file_put(path, "", 0));
    assert_content(path, "");
    struct berth_file_writer w;
    assert_ok(berth_file_begin(&w, path));
    assert_ok(berth_file_write(&w, "tw", 2));
    assert_content(path, ""); /* nothing is seen before the commit */
    assert_ok(berth_file_write(&w, "o", 1));
    assert_ok(berth_file_commit(&w));
    berth_file_abort(&w);
    assert_content(path, "two");
    assert_ok(berth_file_begin(&w, path));
    assert_ok(berth_file_write(&w, "three", 5));
    berth_file_abort(&w);
    assert_content(path, "two");
    assert_entries(1);
    free(path);
}

/* A limit on file sizes stands for a full disk: the write fails, the old file stays, nothing else is left. */
static void failing_write_leaves_the_old_file(void **state) {
    (void)state;
    char *path = temp_path(folder, "old.txt");
    assert_ok(berth_file_put(path, "old", 3));
    pid_t child = fork();
    if (child == 0) {
        char *big = calloc(1, 100000);
        struct rlimit limit = {.rlim_cur = 50000, .rlim_max = 50000};
        signal(SIGXFSZ, SIG_IGN);
        if (big == NULL || setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(3);
        berth_status status = berth_file_put(path, big, 100000);
        bool good =
            status == BERTH_E_IO && strstr(berth_error_text(), "cannot be written: File too large") != NULL;
        free(big);
        _exit(good ? 0 : 4);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_content(path, "old");
    assert_entries(1);
    free(path);
}

/* A process that dies between begin and commit leaves the old file. */
static void killed_writer_leaves_the_old_file(void **state) {
    (void)state;
    char *path = temp_path(folder, "old.txt");
    assert_ok(berth_file_put(path, "old", 3));
    pid_t child = fork();
    if (child == 0) {
        struct berth_file_writer w;
        if (berth_file_begin(&w, path) != BERTH_OK || berth_file_write(&w, "new", 3) != BERTH_OK) _exit(3);
        raise(SIGKILL);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_content(path, "old");
    free(path);
}

/* Two writers of one name with one process number, as in two containers over one folder. */
static void writers_never_share_a_temporary_file(void **state) {
    (void)state;
    char *path = temp_path(folder, "both.txt"), *names[2] = {NULL, NULL}, start[300];
    struct berth_file_writer a, b;
    for (int i = 0; i < 2; i++)
        assert_ok(berth_file_tmp_name(&names[i], path));
    assert_string_not_equal(names[0], names[1]);
    snprintf(start, sizeof start, "%s.tmp.%ld-", path, (long)getpid());
    assert_int_equal(strncmp(names[0], start, strlen(start)), 0);
    assert_int_equal(strlen(names[0]), strlen(start) + 16);
    for (int i = 0; i < 2; i++)
        free(names[i]);
    assert_ok(berth_file_begin(&a, path));
    assert_ok(berth_file_begin(&b, path));
    assert_ok(berth_file_write(&a, "first", 5));
    assert_ok(berth_file_write(&b, "2nd", 3));
    assert_ok(berth_file_commit(&a));
    assert_content(path, "first");
    assert_ok(berth_file_commit(&b));
    assert_content(path, "2nd");
    for (int i = 0; i < 2; i++)
        assert_ok(berth_file_make_tmp_folder(&names[i], path));
    assert_string_not_equal(names[0], names[1]);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rmdir(names[i]), 0);
        free(names[i]);
    }
    assert_int_equal(unlink(path), 0);
    free(path);
}

static void publish(void **state) {
    (void)state;
    char *path = temp_path(folder, "p.bin"), *tmp = NULL;
    assert_ok(berth_file_tmp_name(&tmp, path));
    write_bytes(tmp, "abc", 3);
    assert_ok(berth_file_publish(tmp, path));
    assert_content(path, "abc");
    assert_false(berth_file_exists(tmp));
    assert_error_has(berth_file_publish(tmp, path), BERTH_E_IO, "cannot be opened: No such file");
    write_bytes(tmp, "abc", 3);
    char *nowhere = temp_path(folder, "no/where");
    assert_int_equal(berth_file_publish(tmp, nowhere), BERTH_E_IO);
    assert_false(berth_file_exists(tmp)); /* removed on failure */
    free(nowhere);
    free(tmp);
    free(path);
}

static void errors_of_reading(void **state) {
    (void)state;
    char *data = NULL, *path = temp_path(folder, "missing");
    struct berth_file_map map;
    struct berth_file_writer w;
    char expected[512];
    snprintf(expected, sizeof expected, "%s: cannot be opened: No such file or directory", path);
    assert_error(berth_file_read(&data, NULL, path), BERTH_E_IO, expected);
    assert_error(berth_file_map(&map, path), BERTH_E_IO, expected);
    snprintf(expected, sizeof expected, "%s: is a folder, expected a file", folder);
    assert_error(berth_file_read(&data, NULL, folder), BERTH_E_IO, expected);
    assert_error(berth_file_map(&map, folder), BERTH_E_IO, expected);
    assert_error_has(berth_file_map(&map, "/dev/null"), BERTH_E_IO, "not a plain file");
    char *below = temp_path(folder, "no/where");
    assert_error_has(berth_file_begin(&w, below), BERTH_E_IO, "cannot be created");
    berth_file_abort(&w); /* after a failed begin it does nothing */
    free(below);
    free(path);
}

/* A pipe has no size beforehand. */
static void reads_pipes(void **state) {
    (void)state;
    char *path = temp_path(folder, "pipe");
    assert_int_equal(mkfifo(path, 0600), 0);
    pid_t child = fork();
    if (child == 0) {
        FILE *f = fopen(path, "wb");
        for (int i = 0; f != NULL && i < 200000; i++)
            fputc('a' + i % 26, f);
        _exit(f != NULL && fclose(f) == 0 ? 0 : 3);
    }
    char *data = NULL;
    size_t size = 0;
    assert_ok(berth_file_read(&data, &size, path));
    assert_int_equal(size, 200000);
    for (int i = 0; i < 200000; i++)
        assert_int_equal(data[i], 'a' + i % 26);
    assert_int_equal(data[size], 0);
    free(data);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    free(path);
}

static void maps(void **state) {
    (void)state;
    char *path = temp_path(folder, "m.bin");
    struct berth_file_map map;
    write_bytes(path, "hello", 5);
    assert_ok(berth_file_map(&map, path));
    assert_int_equal(map.size, 5);
    assert_memory_equal(map.data, "hello", 5);
    berth_file_unmap(&map);
    assert_null(map.data);
    write_bytes(path, "", 0);
    assert_ok(berth_file_map(&map, path));
    assert_null(map.data);
    assert_int_equal(map.size, 0);
    berth_file_unmap(&map);
    free(path);
}

static void folders_and_paths(void **state) {
    (void)state;
    char *deep = temp_path(folder, "a/b//c/"), *file = temp_path(folder, "file"), *joined = NULL;
    assert_ok(berth_make_folders(deep));
    assert_ok(berth_make_folders(deep));
    assert_true(berth_is_folder(deep));
    write_bytes(file, "x", 1);
    assert_false(berth_is_folder(file));
    assert_true(berth_file_exists(file));
    char *below = temp_path(folder, "file/x");
    assert_error_has(berth_make_folders(below), BERTH_E_IO, "exists and is not a folder");
    assert_int_equal(berth_make_folders(""), BERTH_E_IO);
    static const char *const cases[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"}, {"a", "/b", "/b"}, {"/", "b", "/b"}};
    for (size_t i = 0; i < 5; i++) {
        assert_ok(berth_path_join(&joined, cases[i][0], cases[i][1]));
        assert_string_equal(joined, cases[i][2]);
        free(joined);
    }
    char **names = NULL;
    size_t count = 0;
    assert_ok(berth_list_folder(&names, &count, folder));
    assert_int_equal(count, 2);
    assert_string_equal(names[0], "a");
    assert_string_equal(names[1], "file");
    berth_names_free(names, count);
    assert_error_has(berth_list_folder(&names, &count, file), BERTH_E_IO, "cannot be opened");
    free(below);
    free(deep);
    free(file);
}

static void lines_and_cutting(void **state) {
    (void)state;
    char *path = temp_path(folder, "metrics.jsonl");
    assert_ok(berth_file_append_line(path, "{\"step\": 1}"));
    assert_ok(berth_file_append_line(path, "{\"step\": 2}"));
    assert_content(path, "{\"step\": 1}\n{\"step\": 2}\n");
    assert_ok(berth_file_truncate(path, 12));
    assert_content(path, "{\"step\": 1}\n");
    assert_error_has(berth_file_append_line("/dev/full", "x"), BERTH_E_IO, "No space left on device");
    char *missing = temp_path(folder, "no");
    assert_error_has(berth_file_truncate(missing, 0), BERTH_E_IO, "cannot be cut to 0 bytes");
    free(missing);
    free(path);
}

int main(void) {
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(put_and_read),
        IN_FOLDER(failing_write_leaves_the_old_file),
        IN_FOLDER(writers_never_share_a_temporary_file),
        IN_FOLDER(publish),
        IN_FOLDER(killed_writer_leaves_the_old_file),
        IN_FOLDER(errors_of_reading),
        IN_FOLDER(reads_pipes),
        IN_FOLDER(maps),
        IN_FOLDER(folders_and_paths),
        IN_FOLDER(lines_and_cutting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
