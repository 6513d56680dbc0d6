/* test_texts.c: texts for prediction, from files and pipes. */
#include "data/support_data.h"

#include <unistd.h>

#include "data/data_priv.h"

static struct berth_texts *open_texts(const char *path, const struct berth_texts_options *o) {
    struct berth_texts *t = NULL;
    assert_ok(berth_texts_open(&t, path, o));
    return t;
}

/* The next row must be this one; NULL: the end. */
static void next_is(struct berth_texts *t, const char *text, const char *pair) {
    const struct berth_row *row = NULL;
    assert_ok(berth_texts_next(t, &row));
    if (!text) {
        assert_null(row);
        return;
    }
    assert_non_null(row);
    assert_string_equal(row->text, text);
    if (pair)
        assert_string_equal(row->text_pair, pair);
    else
        assert_null(row->text_pair);
}

static void refuses(const char *path, const struct berth_texts_options *o, const char *text) {
    struct berth_texts *t = NULL;
    assert_int_equal(berth_texts_open(&t, path, o), BERTH_E_USAGE);
    assert_null(t);
    assert_string_equal(berth_error_text(), text);
}

static void files_of_every_format(void **state) {
    struct data_world w;
    (void)state;
    world_make(&w);
    world_put(&w, "t", "one\n\n two\t2");
    struct berth_texts *t = open_texts(world_path(&w, "t"), &(struct berth_texts_options){0});
    next_is(t, "one", NULL);
    next_is(t, "", NULL); /* a line in, a line out */
    next_is(t, " two\t2", NULL);
    next_is(t, NULL, NULL);
    berth_texts_close(t);
    world_put(&w, "t", "a,b\n\"x, y\",z\n");
    t = open_texts(world_path(&w, "t"),
                   &(struct berth_texts_options){.format = "csv", .text = "b", .text_pair = "0"});
    next_is(t, "z", "x, y");
    next_is(t, NULL, NULL);
    berth_texts_close(t);
    world_put(&w, "t", "a\tb\n");
    t = open_texts(world_path(&w, "t"),
                   &(struct berth_texts_options){.format = "tsv", .text = "1", .no_header = true});
    next_is(t, "b", NULL);
    berth_texts_close(t);
    world_put(&w, "t", "{\"text\": \"a\", \"1\": \"b\"}\n");
    t = open_texts(world_path(&w, "t"), &(struct berth_texts_options){.format = "jsonl", .text_pair = "1"});
    next_is(t, "a", "b");
    berth_texts_close(t);
    world_put(&w, "t", "one O\ntwo O\n");
    t = open_texts(world_path(&w, "t"), &(struct berth_texts_options){.format = "conll"});
    next_is(t, "one\x1Ftwo\x1F", NULL);
    berth_texts_close(t);
    world_put(&w, "t", "x caf\xe9\n");
    t = open_texts(world_path(&w, "t"),
                   &(struct berth_texts_options){.format = "lines", .encoding = "replace"});
    next_is(t, "caf\xEF\xBF\xBD", NULL);
    assert_int_equal(berth_texts_replaced(t), 1);
    berth_texts_close(t);
    world_put(&w, "t", "");
    t = open_texts(world_path(&w, "t"), &(struct berth_texts_options){0});
    next_is(t, NULL, NULL);
    berth_texts_close(t);
    world_put(&w, "s/seq.in", "play  music\n");
    t = open_texts(world_path(&w, "s"), &(struct berth_texts_options){.format = "seqfiles"});
    next_is(t, "play\x1Fmusic\x1F", NULL);
    berth_texts_close(t);
    world_remove(&w);
}

static void kept_is(struct berth_texts *t, const char *text, const char *first, const char *second) {
    const struct berth_row *row = NULL;
    assert_ok(berth_texts_next(t, &row));
    assert_non_null(row);
    assert_string_equal(row->text, text);
    assert_int_equal(row->label_count, 2);
    const char *expected[] = {first, second};
    for (int i = 0; i < 2; i++) {
        if (expected[i])
            assert_string_equal(row->labels[i], expected[i]);
        else
            assert_null(row->labels[i]);
    }
}

/* Columns beside the text come as they stand: untrimmed, empty, numbers, lists. */
static void columns_are_kept(void **state) {
    struct data_world w;
    (void)state;
    world_make(&w);
    const char *const numbers[] = {"0", "2"}, *const names[] = {"id", "a.b"}, *const conll[] = {"1", "topic"};
    world_put(&w, "t", "id\ttext\tmore\n 7 \tone\t\n8\ttwo\tx y\n");
    struct berth_texts *t = open_texts(
        world_path(&w, "t"),
        &(struct berth_texts_options){.format = "tsv", .text = "text", .keep = numbers, .keep_count = 2});
    kept_is(t, "one", " 7 ", "");
    kept_is(t, "two", "8", "x y");
    next_is(t, NULL, NULL);
    berth_texts_close(t);
    world_put(&w, "t",
              "{\"text\": \"one\", \"id\": 17, \"a\": {\"b\": [\"x\", \"y z\"]}}\n{\"text\": \"two\", \"id\": "
              "null}\n");
    t = open_texts(world_path(&w, "t"),
                   &(struct berth_texts_options){.format = "jsonl", .keep = names, .keep_count = 2});
    kept_is(t, "one", "17", "x\x1Fy z\x1F");
    kept_is(t, "two", NULL, NULL);
    berth_texts_close(t);
    world_put(&w, "t", "# topic: games\none NN O\ntwo CD B-x\n\nthree CD O\n");
    t = open_texts(world_path(&w, "t"),
                   &(struct berth_texts_options){.format = "conll", .keep = conll, .keep_count = 2});
    kept_is(t, "one\x1Ftwo\x1F",
            "NN\x1F"
            "CD\x1F",
            "games");
    kept_is(t, "three\x1F", "CD\x1F", NULL);
    next_is(t, NULL, NULL);
    berth_texts_close(t);
    world_remove(&w);
}

static void wrong_options_are_named(void **state) {
    (void)state;
    refuses("f", &(struct berth_texts_options){.format = "xml"},
            "--input: found 'xml', expected one of tsv, csv, jsonl, conll, seqfiles, lines, text");
    refuses("f", &(struct berth_texts_options){.text = "a"}, "--column: format text has no columns");
    refuses("f", &(struct berth_texts_options){.format = "tsv", .delimiter = "tab"},
            "--delimiter: format tsv has no delimiter to choose");
    refuses("f", &(struct berth_texts_options){.format = "csv", .delimiter = "ab"},
            "--delimiter: found 'ab', expected tab, comma, semicolon, pipe, space, or one ASCII sign that is "
            "no quote");
    refuses("f", &(struct berth_texts_options){.format = "conll", .text = "word"},
            "--column: found the name 'word', expected a column's number from 0");
    refuses("f", &(struct berth_texts_options){.encoding = "latin1"},
            "--encoding: found 'latin1', expected strict, replace or windows-1252");
}

/* A pipe in place of standard input: rows come as soon as their line is whole. */
static void pipes_are_read_as_they_come(void **state) {
    int ends[2], saved = dup(STDIN_FILENO);
    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    close(ends[0]);
    assert_int_equal(write(ends[1], "(", 1), 1); /* could begin a zstd file */
    assert_int_equal(write(ends[1], "a)\nha", 5), 5);
    struct berth_texts *t = open_texts("-", &(struct berth_texts_options){0});
    assert_true(berth_texts_ready(t));
    next_is(t, "(a)", NULL);
    assert_false(berth_texts_ready(t));
    assert_int_equal(write(ends[1], "lf\n", 3), 3);
    assert_true(berth_texts_ready(t));
    next_is(t, "half", NULL);
    assert_int_equal(write(ends[1], "last", 4), 4);
    close(ends[1]);
    next_is(t, "last", NULL);
    assert_true(berth_texts_ready(t));
    next_is(t, NULL, NULL);
    berth_texts_close(t);
    assert_int_equal(dup2(saved, STDIN_FILENO), STDIN_FILENO);
    close(saved);
}

static void pipes_may_be_compressed(void **state) {
    int ends[2], saved = dup(STDIN_FILENO);
    char path[1024];
    char *bytes = NULL;
    size_t size = 0;
    (void)state;
    snprintf(path, sizeof path, "%s/tests/data/good/tsv_gzip_by_content.tsv", getenv("BERTH_SOURCE_DIR"));
    assert_ok(berth_file_read(&bytes, &size, path));
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], bytes, size), size);
    close(ends[1]);
    assert_int_equal(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    close(ends[0]);
    struct berth_texts *t = open_texts(NULL, &(struct berth_texts_options){.format = "tsv", .text = "text"});
    next_is(t, "one", NULL);
    next_is(t, "two", NULL);
    next_is(t, "three", NULL);
    next_is(t, NULL, NULL);
    berth_texts_close(t);
    free(bytes);
    assert_int_equal(dup2(saved, STDIN_FILENO), STDIN_FILENO);
    close(saved);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_of_every_format),   cmocka_unit_test(columns_are_kept),
        cmocka_unit_test(wrong_options_are_named), cmocka_unit_test(pipes_are_read_as_they_come),
        cmocka_unit_test(pipes_may_be_compressed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
