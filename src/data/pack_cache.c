/* pack_cache.c: the folder of packed files, named by their keys. A damaged file is not fatal: it is named in
 * the log and made again. */
#include "data/data_priv.h"

#include <stdlib.h>
#include <string.h>

/* FOLDER/SOURCE-SPLIT-KEY.h5; characters of the source's name that do not belong into a file name become "_".
 */
static berth_status pack_path(char **out, const char *folder, const struct source_spec *spec,
                              enum berth_split split, const char *key) {
    berth_status status = BERTH_OK;
    struct berth_str s;
    berth_str_init(&s);
    for (const char *p = spec->name; *p; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
                     *p == '_' || *p == '-';
        berth_str_addn(&s, plain ? p : "_", 1);
    }
    berth_str_addf(&s, "-%s-%s.h5", berth_split_name(split), key);
    if (s.failed) BERTH_FAIL_OUT(BERTH_E_MEMORY, "out of memory");
    BERTH_TRY_OUT(berth_path_join(out, folder, s.data));
out:
    berth_str_deinit(&s);
    return status;
}

/* Opens a file that the cache has; *found is false when there is none or it is damaged. */
static berth_status open_cached(struct pack *out, bool *found, const char *path, const struct source_spec *spec,
                                int64_t max_length, size_t vocabulary) {
    *found = false;
    if (!berth_file_exists(path)) return BERTH_OK;
    berth_status status = pack_open(out, path, spec, max_length, vocabulary);
    if (status == BERTH_E_FORMAT || status == BERTH_E_VERSION) {
        berth_log(BERTH_LOG_WARN, "the cache holds a %s file, which is made again: %s",
                  status == BERTH_E_FORMAT ? "damaged" : "newer", berth_error_text());
        berth_error_clear();
        return BERTH_OK;
    }
    *found = status == BERTH_OK;
    return status;
}

void source_files_unmap(struct source_files *files, const struct source_spec *spec, enum berth_split split) {
    size_t slots = spec->path_count[split_files(spec, split)] * READER_MAX_FILES;
    for (size_t i = 0; files->list && i < slots; i++)
        reader_unmap_file(&files->list[i]);
    free(files->list);
    free(files->digest);
}

berth_status source_files_map(struct source_files *files, const struct source_spec *spec,
                              enum berth_split split) {
    enum berth_split from = split_files(spec, split);
    size_t paths = spec->path_count[from];
    files->per_path = 1;
    BERTH_TRY(berth_calloc(&files->list, paths * READER_MAX_FILES, sizeof *files->list));
    BERTH_TRY(berth_calloc(&files->digest, paths * READER_MAX_FILES, sizeof *files->digest));
    for (size_t i = 0; i < paths; i++)
        BERTH_TRY(
            reader_map_files(files->list + i * files->per_path, &files->per_path, spec, spec->paths[from][i]));
    files->count = paths * files->per_path;
    return BERTH_OK;
}

berth_status pack_obtain(struct pack *out, char **path, bool *made, const struct source_spec *spec,
                         enum berth_split split, const char *cache_folder, const struct berth_tokenizer *t,
                         int64_t max_length) {
    berth_status status = BERTH_OK;
    struct source_files files = {0};
    char key[33];
    bool found = false;
    double start = berth_time_seconds();
    BERTH_TRY_OUT(source_files_map(&files, spec, split));
    BERTH_TRY_OUT(pack_key(key, &files, spec, split, t, max_length));
    BERTH_TRY_OUT(pack_path(path, cache_folder, spec, split, key));
    BERTH_TRY_OUT(open_cached(out, &found, *path, spec, max_length, berth_tokenizer_size(t)));
    *made = !found;
    if (!found) {
        BERTH_TRY_OUT(berth_make_folders(cache_folder));
        BERTH_TRY_OUT(pack_write(*path, spec, split, &files, t, max_length));
        BERTH_TRY_OUT(pack_open(out, *path, spec, max_length, berth_tokenizer_size(t)));
    }
    berth_log(BERTH_LOG_INFO, "%s %s: %lld rows, %lld tokens, %lld rows cut: %s %s (%.2f s)", spec->name,
              berth_split_name(split), (long long)out->view.source_rows, (long long)out->view.token_count,
              (long long)out->view.rows_cut, found ? "reused" : "made", *path, berth_time_seconds() - start);
out:
    source_files_unmap(&files, spec, split);
    return status;
}
