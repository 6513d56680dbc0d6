/* pack_write.c: the packed HDF5 file. R packed rows, W words:
 *
 *     tokens           i32 [tokens]   all rows back to back, special tokens included
 *     segments         u8  [tokens]
 *     offset           i64 [R+1]      first token of a row
 *     word_offset      i64 [R+1]      first word of a row; words are kept where a tagging task reads the source
 *     word_token       i32 [W]        index within the row of a word's first piece; -1: cut off or without
 * pieces origin           i64 [R]        with windows: the text row pair_at          i32 [R]        separate
 * sequences: index within the row of the pair's first token; 0: none negative_at      i32 [R] labels/N i32 [R]
 * of the N-th label that tasks ask of the source; tagging: [W]; -1: missing numbers/N        f32 [R]
 * regression, similarity set_offset/N     i64 [R+1]      multilabel: the labels of a row are
 * set_values[set_offset[r] .. set_offset[r+1]) set_values/N     i32 meta             JSON: counts, the names of
 * the labels, settings, files with size and digest, versions, what reading told (read_report.c)
 *
 * A dataset without elements is left out. Labels are numbered within the file, sorted bytewise with "O" first;
 * a task's own numbering is laid over them when the file is opened, so packed files depend on no label map. */
#include "data/data_priv.h"

#include <stdlib.h>
#include <string.h>

static void add_files(struct berth_str *s, const struct source_files *files) {
    berth_str_add(s, ",\"files\":[");
    for (size_t i = 0; i < files->count; i++) {
        char hex[33];
        berth_hash_hex(files->digest[i], hex);
        berth_str_add(s, i ? ",{\"path\":" : "{\"path\":");
        berth_str_add_json(s, files->list[i].path);
        berth_str_addf(s, ",\"bytes\":%zu,\"digest\":\"%s\"}", files->list[i].map.size, hex);
    }
    berth_str_add(s, "]");
}

static void add_labels(struct berth_str *s, const struct pack_builder *b) {
    berth_str_add(s, ",\"labels\":[");
    for (size_t i = 0; i < b->spec->label_count; i++) {
        const struct label_spec *label = &b->spec->labels[i];
        const struct berth_labels *names = &b->labels[i].names;
        berth_str_add(s, i ? ",{\"column\":" : "{\"column\":");
        berth_str_add_json(s, label->column.name ? label->column.name : "");
        berth_str_addf(s, ",\"kind\":\"%s\",\"names\":[", berth_task_kind_name(label->kind));
        for (size_t k = 0; k < names->count; k++) {
            if (k) berth_str_add(s, ",");
            berth_str_add_json(s, names->names[k]);
        }
        berth_str_add(s, "]}");
    }
    berth_str_add(s, "]");
}

static berth_status write_meta(struct berth_h5_writer *w, const struct pack_builder *b, enum berth_split split,
                               const struct source_files *files, const struct read_report *report,
                               const struct berth_tokenizer *t, int64_t max_length) {
    berth_status status = BERTH_OK;
    struct berth_str s;
    berth_str_init(&s);
    berth_str_add(&s, "{\"berth\":\"" BERTH_VERSION "\",\"source\":");
    berth_str_add_json(&s, b->spec->name);
    berth_str_addf(&s, ",\"split\":\"%s\",\"rows\":%lld,\"source_rows\":%lld,\"tokens\":%lld,\"words\":%lld,",
                   berth_split_name(split), (long long)b->rows, (long long)b->source_rows,
                   (long long)b->tokens.count, (long long)b->word_token.count);
    berth_str_addf(&s, "\"rows_cut\":%lld,\"words_cut\":%lld,", (long long)b->rows_cut,
                   (long long)b->words_cut);
    BERTH_TRY_OUT(pack_settings(&s, b->spec, split, t, max_length));
    add_files(&s, files);
    add_labels(&s, b);
    berth_str_add(&s, ",\"report\":");
    read_report_add_json(&s, report);
    berth_str_add(&s, "}");
    if (s.failed) BERTH_FAIL_OUT(BERTH_E_MEMORY, "out of memory");
    BERTH_TRY_OUT(berth_h5_put_text(w, "meta", s.data));
out:
    berth_str_deinit(&s);
    return status;
}

/* Sorts the names; *map: from the order of appearance, owned by the caller. */
static berth_status sort_names(int32_t **map, struct berth_labels *names) {
    berth_status status = BERTH_OK;
    struct berth_labels before;
    berth_labels_init(&before);
    *map = NULL;
    BERTH_TRY_OUT(berth_labels_copy(&before, names));
    BERTH_TRY_OUT(berth_labels_sort(names));
    BERTH_TRY_OUT(berth_calloc(map, before.count + 1, sizeof **map));
    for (size_t i = 0; i < before.count; i++)
        (*map)[i] = berth_labels_find(names, before.names[i]);
out:
    berth_labels_deinit(&before);
    return status;
}

static berth_status put_label(struct pack_builder *b, struct berth_h5_writer *w, size_t index) {
    berth_status status = BERTH_OK;
    struct label_column *c = &b->labels[index];
    int32_t *map = NULL;
    struct {
        struct spool *spool;
        const char *name;
        bool mapped;
    } parts[] = {{&c->values, "labels", c->names.count > 0 && c->set_offset.count == 0},
                 {&c->numbers, "numbers", false},
                 {&c->set_offset, "set_offset", false},
                 {&c->set_values, "set_values", true}};
    BERTH_TRY_OUT(sort_names(&map, &c->names));
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        char name[40];
        snprintf(name, sizeof name, "%s/%zu", parts[i].name, index);
        BERTH_TRY_OUT(spool_put(parts[i].spool, w, name, parts[i].mapped ? map : NULL));
    }
out:
    free(map);
    return status;
}

static berth_status put_vectors(struct pack_builder *b, struct berth_h5_writer *w) {
    struct {
        struct spool *spool;
        const char *name;
    } vectors[] = {{&b->tokens, "tokens"},           {&b->segments, "segments"},      {&b->offset, "offset"},
                   {&b->word_offset, "word_offset"}, {&b->word_token, "word_token"},  {&b->origin, "origin"},
                   {&b->pair_at, "pair_at"},         {&b->negative_at, "negative_at"}};
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++)
        BERTH_TRY(spool_put(vectors[i].spool, w, vectors[i].name, NULL));
    for (size_t i = 0; i < b->spec->label_count; i++)
        BERTH_TRY(put_label(b, w, i));
    return BERTH_OK;
}

static berth_status fail_empty(const struct source_spec *spec, enum berth_split split) {
    char key[160];
    snprintf(key, sizeof key, "data.%s.split", spec->name);
    return spec_fail(spec, key,
                     "no row of the train paths falls to %s: the shares are too small for so few rows",
                     berth_split_name(split));
}

berth_status pack_write(const char *out_path, const struct source_spec *spec, enum berth_split split,
                        const struct source_files *files, const struct berth_tokenizer *t, int64_t max_length) {
    berth_status status = BERTH_OK;
    struct berth_h5_writer *w = NULL;
    struct pack_builder b;
    struct row_walk walk;
    struct read_report report;
    uint8_t *kept = NULL;
    row_walk_begin(&walk, spec, split, files, NULL);
    BERTH_TRY_OUT(read_report_init(&report, spec->label_count));
    walk.report = &report;
    BERTH_TRY_OUT(pack_builder_init(&b, spec, out_path, t, max_length));
    BERTH_TRY_OUT(limit_choose(&kept, spec, split, files));
    walk.kept = kept;
    BERTH_TRY_OUT(pack_builder_add(&b, &walk));
    if (b.rows == 0) {
        status = fail_empty(spec, split);
        goto out;
    }
    BERTH_TRY_OUT(berth_h5_create(&w, out_path, "pack", PACK_VERSION));
    BERTH_TRY_OUT(put_vectors(&b, w));
    BERTH_TRY_OUT(write_meta(w, &b, split, files, &report, t, max_length));
    BERTH_TRY_OUT(berth_h5_commit(&w));
out:
    berth_h5_abort(&w);
    row_walk_end(&walk);
    free(kept);
    read_report_deinit(&report);
    pack_builder_deinit(&b);
    return status;
}
