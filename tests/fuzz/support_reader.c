/* support_reader.c: a source described by YAML, read to its end or to its first error. */
#include "fuzz/support_reader.h"

static struct specs specs;

void fuzz_reader_setup(const char *source, const char *tasks) {
    struct berth_config *c = NULL; /* stays: the specs borrow from it */
    struct berth_str s;
    berth_str_init(&s);
    berth_str_addf(&s, "output: o\nmodel: {backbone: b}\ndata: {s: {%s, train: t}}\ntasks: {%s}\n", source,
                   tasks);
    FUZZ_CHECK(!s.failed);
    FUZZ_SETUP(berth_config_parse(&c, "fuzz.yaml", s.data, s.length, NULL, 0));
    FUZZ_SETUP(specs_read(&specs, c));
    berth_str_deinit(&s);
}

static void check_row(const struct berth_row *row) {
    FUZZ_CHECK(row->text != NULL);
    FUZZ_CHECK(strlen(row->text) == berth_utf8_check(row->text, strlen(row->text)));
    if (row->text_pair != NULL)
        FUZZ_CHECK(strlen(row->text_pair) == berth_utf8_check(row->text_pair, strlen(row->text_pair)));
    for (size_t i = 0; i < row->label_count; i++)
        FUZZ_CHECK(row->labels[i] == NULL ||
                   strlen(row->labels[i]) == berth_utf8_check(row->labels[i], strlen(row->labels[i])));
}

void fuzz_reader_run(const uint8_t *data, size_t size) {
    const struct source_spec *spec = &specs.sources[0];
    struct text_file files[READER_MAX_FILES] = {0};
    struct reader r = {0};
    size_t count = 0;
    if (fuzz_answer(reader_map_files(files, &count, spec, fuzz_file(data, size))) == BERTH_OK) {
        bool more = fuzz_answer(reader_open(&r, spec, files, count)) == BERTH_OK;
        while (more && fuzz_answer(reader_next(&r, &more)) == BERTH_OK && more)
            check_row(&r.row);
        reader_close(&r);
    }
    for (size_t i = 0; i < READER_MAX_FILES; i++)
        reader_unmap_file(&files[i]);
}
