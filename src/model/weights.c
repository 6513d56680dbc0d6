/* weights.c: all tensors of a model folder, whatever files they lie in:
 *
 *     model.safetensors                 or  model.safetensors.index.json:  {"weight_map": {"TENSOR": "FILE",
 * ...}} pytorch_model.bin                 or  pytorch_model.bin.index.json:  the same over several of its kind
 *
 * The first that is there is taken. An index names files of its own folder: a name with a separator, or of
 * another kind, is refused. What an index says is where its tensors must be; a tensor may lie in one file only.
 */
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "model/model_priv.h"

#define FILES_MOST 4096 /* of an index */

static const struct {
    const char *name, *ending; /* ending: of the files that an index names; NULL: no index */
    bool torch;
} SOURCES[] = {
    {"model.safetensors", NULL, false},
    {"model.safetensors.index.json", ".safetensors", false},
    {"pytorch_model.bin", NULL, true},
    {"pytorch_model.bin.index.json", ".bin", true},
};
enum { SOURCE_COUNT = sizeof SOURCES / sizeof SOURCES[0] };

void weights_close(struct model_weights *w) {
    for (size_t i = 0; i < w->file_count; i++) {
        free(w->files[i].name);
        berth_safetensors_close(w->files[i].safe);
        berth_torch_close(w->files[i].torch);
    }
    free(w->files);
    free(w->tensors);
    free(w->path);
    *w = (struct model_weights){0};
}

static berth_status open_file(struct model_weights *w, const char *folder, const char *name, bool torch) {
    berth_status status = BERTH_OK;
    char *path = NULL;
    BERTH_TRY(berth_grow(&w->files, &w->file_capacity, w->file_count + 1, sizeof *w->files));
    struct weights_file *f = &w->files[w->file_count];
    *f = (struct weights_file){0};
    BERTH_TRY(berth_strdup(&f->name, name));
    w->file_count++;
    BERTH_TRY_OUT(berth_path_join(&path, folder, name));
    if (torch) {
        BERTH_TRY_OUT(berth_torch_open(&f->torch, path));
    } else {
        BERTH_TRY_OUT(berth_safetensors_open(&f->safe, path));
    }
    const size_t count = torch ? berth_torch_count(f->torch) : berth_safetensors_count(f->safe);
    for (size_t i = 0; i < count; i++) {
        BERTH_TRY_OUT(berth_grow(&w->tensors, &w->capacity, w->count + 1, sizeof *w->tensors));
        w->tensors[w->count++] = torch ? berth_torch_at(f->torch, i) : berth_safetensors_at(f->safe, i);
    }
out:
    free(path);
    return status;
}

static int compare_tensors(const void *a, const void *b) {
    return strcmp((*(const struct berth_safetensor *const *)a)->name,
                  (*(const struct berth_safetensor *const *)b)->name);
}

static berth_status sort_names(struct model_weights *w) {
    if (w->count > 0) qsort(w->tensors, w->count, sizeof *w->tensors, compare_tensors);
    for (size_t i = 1; i < w->count; i++) {
        if (strcmp(w->tensors[i - 1]->name, w->tensors[i]->name) == 0)
            BERTH_FAIL(BERTH_E_FORMAT, "%s: tensor '%s' twice", w->path, w->tensors[i]->name);
    }
    return BERTH_OK;
}

const struct berth_safetensor *weights_find(const struct model_weights *w, const char *name) {
    const struct berth_safetensor wanted = {.name = name}, *key = &wanted;
    if (w->count == 0) return NULL;
    const struct berth_safetensor **found =
        bsearch(&key, w->tensors, w->count, sizeof *w->tensors, compare_tensors);
    return found == NULL ? NULL : *found;
}

/* ---- indexes */

struct index_reader {
    struct model_weights *w;
    const char *folder, *ending;
    bool torch;
};

static bool ends_with(const char *text, const char *ending) {
    const size_t length = strlen(text), end = strlen(ending);
    return length > end && strcmp(text + length - end, ending) == 0;
}

static size_t find_file(const struct model_weights *w, const char *name) {
    for (size_t i = w->file_count; i-- > 0;) { /* entries of one file mostly follow each other */
        if (strcmp(w->files[i].name, name) == 0) return i;
    }
    return w->file_count;
}

static berth_status visit_file(void *user, const char *tensor, const char *file) {
    const struct index_reader *r = user;
    struct model_weights *w = r->w;
    if (strpbrk(file, "/\\") != NULL || file[0] == '.' || !ends_with(file, r->ending))
        BERTH_FAIL(BERTH_E_FORMAT,
                   "%s: tensor '%.60s' is said to be in '%.60s', expected a file of this folder, *%s", w->path,
                   tensor, file, r->ending);
    if (find_file(w, file) < w->file_count) return BERTH_OK;
    if (w->file_count >= FILES_MOST) BERTH_FAIL(BERTH_E_FORMAT, "%s: more than %d files", w->path, FILES_MOST);
    return open_file(w, r->folder, file, r->torch);
}

static berth_status visit_tensor(void *user, const char *tensor, const char *file) {
    const struct index_reader *r = user;
    const struct model_weights *w = r->w;
    const struct berth_safetensor *t = weights_find(w, tensor);
    const struct weights_file *f = &w->files[find_file(w, file)];
    bool there = false;
    if (t != NULL && f->safe != NULL) there = berth_safetensors_find(f->safe, tensor) == t;
    for (size_t i = 0; t != NULL && f->torch != NULL && !there && i < berth_torch_count(f->torch); i++)
        there = berth_torch_at(f->torch, i) == t;
    if (!there)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: tensor '%.100s' is said to be in '%.60s', but it is not", w->path,
                   tensor, file);
    return BERTH_OK;
}

static berth_status open_index(struct model_weights *w, const char *folder, int source) {
    berth_status status = BERTH_OK;
    struct berth_json *j = NULL;
    struct index_reader r = {w, folder, SOURCES[source].ending, SOURCES[source].torch};
    BERTH_TRY_OUT(berth_json_load(&j, w->path));
    BERTH_TRY_OUT(berth_json_each_text(j, "weight_map", visit_file, &r));
    BERTH_TRY_OUT(sort_names(w));
    BERTH_TRY_OUT(berth_json_each_text(j, "weight_map", visit_tensor, &r));
out:
    berth_json_free(j);
    return status;
}

berth_status weights_open(struct model_weights *out, const char *folder) {
    int source = 0;
    *out = (struct model_weights){0};
    for (; source < SOURCE_COUNT; source++) {
        free(out->path);
        out->path = NULL;
        BERTH_TRY(berth_path_join(&out->path, folder, SOURCES[source].name));
        if (berth_file_exists(out->path)) break;
    }
    if (source == SOURCE_COUNT)
        BERTH_FAIL(BERTH_E_IO, "%s: no model.safetensors in this folder, and no pytorch_model.bin", folder);
    if (SOURCES[source].ending != NULL) return open_index(out, folder, source);
    BERTH_TRY(open_file(out, folder, SOURCES[source].name, SOURCES[source].torch));
    return sort_names(out);
}
