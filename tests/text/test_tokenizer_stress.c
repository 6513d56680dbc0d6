/* test_tokenizer_stress.c: public text that is hard, with the public vocabularies, cased and uncased: every id,
 * place and word equal to the reference's, by digest a file (tests/golden/tokenizer_stress.tsv). Without
 * BERTH_TEST_DATA this program is skipped; test_tokenizer.c covers the same kinds of text with a vocabulary of
 * its own. */
#include <stdio.h>

#include "text/support_golden.h"
#include "text/support_random_text.h"

enum { MAX_IDS = 4096 };

struct stress {
    struct berth_tokenizer *uncased, *cased;
    int files;
};

static void add_encoding(struct berth_hasher *hasher, const struct berth_encoding *e) {
    int32_t count = (int32_t)e->count;
    berth_hasher_add(hasher, &count, sizeof count);
    berth_hasher_add(hasher, e->ids, e->count * sizeof *e->ids);
    berth_hasher_add(hasher, e->start, e->count * sizeof *e->start);
    berth_hasher_add(hasher, e->end, e->count * sizeof *e->end);
    berth_hasher_add(hasher, e->word, e->count * sizeof *e->word);
}

static void add_text(const struct berth_tokenizer *t, struct berth_hasher *hasher, struct berth_encoding *e,
                     const char *text, size_t size) {
    berth_encoding_reset(e);
    assert_done(berth_tokenizer_encode(t, e, text, size));
    add_encoding(hasher, e);
}

/* Every line, then the whole file; how many lines. */
static long add_file(const struct berth_tokenizer *t, struct berth_hasher *hasher, struct berth_encoding *e,
                     const char *name) {
    char relative[256];
    snprintf(relative, sizeof relative, "tokenizer-stress/%s", name);
    char *path = text_data_path(relative);
    size_t size = 0;
    char *text = text_read(path, &size);
    long lines = 0;
    for (const char *at = text, *end = text + size; at <= end; lines++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (stop == NULL) stop = end;
        add_text(t, hasher, e, at, (size_t)(stop - at));
        at = stop + 1;
    }
    add_text(t, hasher, e, text, size);
    free(text);
    free(path);
    return lines;
}

static long add_random(const struct berth_tokenizer *t, struct berth_hasher *hasher, struct berth_encoding *e,
                       long lines) {
    struct berth_str line;
    berth_str_init(&line);
    for (long i = 0; i < lines; i++) {
        berth_str_reset(&line);
        random_text_line(&line, RANDOM_TEXT_SEED, (uint64_t)i);
        add_text(t, hasher, e, line.length > 0 ? line.data : "", line.length);
    }
    berth_str_deinit(&line);
    return lines;
}

static void check_row(struct golden_row *row, void *user) {
    struct stress *s = user;
    const struct berth_tokenizer *t = strcmp(row->fields[0], "cased") == 0 ? s->cased : s->uncased;
    long wanted = atol(row->fields[2]), lines = 0;
    struct berth_hasher *hasher = NULL;
    struct berth_encoding e;
    char hex[33];
    berth_encoding_init(&e);
    assert_done(berth_hasher_create(&hasher));
    if (strcmp(row->fields[1], "random") == 0) {
        lines = add_random(t, hasher, &e, wanted);
    } else {
        lines = add_file(t, hasher, &e, row->fields[1]);
    }
    berth_hash_hex(berth_hasher_end(hasher), hex);
    if (lines != wanted || strcmp(hex, row->fields[3]) != 0)
        fail_msg("%s:%d: %s, %s: %ld lines with digest %s, expected %ld with %s", row->file, row->line,
                 row->fields[1], row->fields[0], lines, hex, wanted, row->fields[3]);
    berth_encoding_deinit(&e);
    s->files++;
}

static struct berth_tokenizer *load_public(const char *name, bool lowercase) {
    struct berth_tokenizer *t = NULL;
    struct berth_tokenizer_options options = text_options(lowercase, -1, true);
    char *path = text_data_path(name);
    if (path == NULL) skip();
    assert_done(berth_tokenizer_load_vocab(&t, path, &options));
    free(path);
    return t;
}

static void ids_of_public_text(void **state) {
    (void)state;
    struct stress s = {.uncased = load_public("bert-vocab/bert-base-uncased-vocab.txt", true),
                       .cased = load_public("bert-vocab/bert-base-cased-vocab.txt", false)};
    golden_each_row("tokenizer_stress.tsv", check_row, &s);
    assert_int_equal(s.files, 76);
    berth_tokenizer_free(s.uncased);
    berth_tokenizer_free(s.cased);
}

static void public_vectors(void **state) {
    (void)state;
    char *vocab = text_data_path("bert-vocab/bert-base-uncased-vocab.txt");
    char *in_path = text_data_path("tokenizer-stress/llamacpp-bert-vectors/ggml-vocab-bert-bge.gguf.inp");
    char *out_path = text_data_path("tokenizer-stress/llamacpp-bert-vectors/ggml-vocab-bert-bge.gguf.out");
    struct berth_tokenizer *t = NULL;
    struct berth_encoding e;
    assert_done(berth_tokenizer_load_vocab(&t, vocab, NULL));
    berth_encoding_init(&e);
    size_t size = 0;
    char *input = text_read(in_path, &size), *output = text_read(out_path, &size), *rest = output;
    const char *mark = "\n__ggml_vocab_test__\n";
    int cases = 0;
    for (char *at = input, *next = NULL; at != NULL; at = next, cases++) {
        char *line = strsep(&rest, "\n"), *end = strstr(at, mark);
        int32_t want[MAX_IDS];
        assert_non_null(line);
        size_t wanted = text_numbers(line[0] == ' ' ? line + 1 : line, want, MAX_IDS);
        size_t length = end == NULL ? strlen(at) : (size_t)(end - at);
        if (end == NULL && length > 0 && at[length - 1] == '\n') length--;
        berth_encoding_reset(&e);
        assert_done(berth_tokenizer_encode(t, &e, at, length));
        if (e.count != wanted || (wanted > 0 && memcmp(e.ids, want, wanted * sizeof *want) != 0))
            fail_msg("input %d: %zu ids, expected %zu: %s", cases, e.count, wanted, line);
        next = end == NULL ? NULL : end + strlen(mark);
    }
    assert_int_equal(cases, 47);
    berth_encoding_deinit(&e);
    berth_tokenizer_free(t);
    free(input);
    free(output);
    free(vocab);
    free(in_path);
    free(out_path);
}

int main(void) {
    if (getenv("BERTH_TEST_DATA") == NULL || getenv("BERTH_TEST_DATA")[0] == '\0') {
        printf("skipped: BERTH_TEST_DATA names no folder of public data\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(ids_of_public_text), cmocka_unit_test(public_vectors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
