/* row_walk.c: which rows of the files make a split.
 *
 * A split of its own paths has all their rows. With `split: {dev: 0.1, test: 0.1}` the train paths' rows are
 * parted: a row's digest draws a number u in [0, 1) (Philox: purpose SPLIT, position = digest), and u < dev is
 * dev, u < dev + test is test, the rest train. The digest is that of the texts without case and with white
 * space collapsed, so a row's side depends on nothing but itself and the seed: it stays when rows are added,
 * and duplicates and near duplicates never lie on two sides. */
#include "data/data_priv.h"

#include <string.h>

enum { STREAM_SPLIT = 0, STREAM_LIMIT = 1 };

berth_status row_normalised(struct berth_str *s, const char *text, const char *pair, const char *negative) {
    const char *const texts[] = {text, pair, negative};
    berth_str_reset(s);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (i > 0) berth_str_add(s, "\x1E");
        if (texts[i]) berth_text_fold(s, texts[i], strlen(texts[i]));
    }
    if (s->failed) BERTH_FAIL(BERTH_E_MEMORY, "out of memory");
    return BERTH_OK;
}

static berth_status digest_of(uint64_t *out, const struct berth_row *row, struct berth_str *work) {
    BERTH_TRY(row_normalised(work, row->text, row->text_pair, row->text_negative));
    *out = berth_hash(work->data, work->length).low;
    return BERTH_OK;
}

berth_status row_split_of(enum berth_split *out, const struct source_spec *spec, const struct berth_row *row,
                          struct berth_str *work) {
    uint64_t digest = 0;
    BERTH_TRY(digest_of(&digest, row, work));
    double u = berth_random_unit(spec->seed, BERTH_PURPOSE_SPLIT, STREAM_SPLIT, digest);
    double dev = spec->split_share[BERTH_DEV], test = spec->split_share[BERTH_TEST];
    *out = u < dev ? BERTH_DEV : u < dev + test ? BERTH_TEST : BERTH_TRAIN;
    return BERTH_OK;
}

berth_status row_limit_key(uint32_t *out, const struct source_spec *spec, const struct berth_row *row,
                           struct berth_str *work) {
    uint64_t digest = 0;
    BERTH_TRY(digest_of(&digest, row, work));
    *out = berth_random_u32(spec->seed, BERTH_PURPOSE_SPLIT, STREAM_LIMIT, digest);
    return BERTH_OK;
}

enum berth_split split_files(const struct source_spec *spec, enum berth_split split) {
    return spec->split_given ? BERTH_TRAIN : split;
}

bool split_is_there(const struct source_spec *spec, enum berth_split split) {
    if (!spec->split_given || split == BERTH_TRAIN) return spec->path_count[split] > 0;
    return spec->split_share[split] > 0;
}

void row_walk_begin(struct row_walk *w, const struct source_spec *spec, enum berth_split split,
                    const struct source_files *files, const uint8_t *kept) {
    memset(w, 0, sizeof *w);
    w->spec = spec;
    w->split = split;
    w->files = files;
    w->kept = kept;
    berth_str_init(&w->work);
}

void row_walk_end(struct row_walk *w) {
    if (w->open) reader_close(&w->reader);
    w->open = false;
    berth_str_deinit(&w->work);
}

/* The next row of the paths, whatever its split. */
static berth_status next_row(struct row_walk *w, bool *more) {
    size_t paths = w->files->count / w->files->per_path;
    for (;;) {
        if (w->open) {
            BERTH_TRY(reader_next(&w->reader, more));
            if (*more) {
                w->path_rows++;
                return BERTH_OK;
            }
            const struct text_file *first = w->reader.files;
            if (w->path_rows == 0)
                BERTH_FAIL(BERTH_E_FORMAT, "%s:%lld: found the end of the file, expected at least one row",
                           first->path, (long long)w->reader.lines[0].line + 1);
            if (w->report) BERTH_TRY(reader_report_end(&w->reader, w->report));
            reader_close(&w->reader);
            w->open = false;
        }
        *more = w->path < paths;
        if (!*more) return BERTH_OK;
        w->open = true;
        w->path_rows = 0;
        BERTH_TRY(reader_open(&w->reader, w->spec, w->files->list + w->path++ * w->files->per_path,
                              w->files->per_path));
    }
}

berth_status row_walk_next(struct row_walk *w, bool *more) {
    for (;;) {
        BERTH_TRY(next_row(w, more));
        if (!*more) return BERTH_OK;
        if (w->spec->split_given) {
            enum berth_split split = BERTH_TRAIN;
            BERTH_TRY(row_split_of(&split, w->spec, &w->reader.row, &w->work));
            if (split != w->split) continue;
        }
        int64_t index = w->seen++;
        if (w->kept && !(w->kept[index / 8] >> (index % 8) & 1)) continue;
        return w->report ? reader_report_row(&w->reader, w->report) : BERTH_OK;
    }
}
