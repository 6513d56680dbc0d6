/* model_folder.c: a model folder in: config.json, vocab.txt, weights (weights.c), berth_heads.json.
 *
 * Everything is checked here, before the first value is copied: every parameter of the backbone has exactly one
 * tensor of its shape and of a float type; what is not so is listed. The files stay mapped until
 * berth_model_allocate has copied what it needs. */
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "model/model_priv.h"

void model_pending_free(struct model_pending *p) {
    if (p == NULL) return;
    for (size_t i = 0; i < p->count; i++)
        free(p->sources[i].name);
    free(p->sources);
    free(p->folder);
    weights_close(&p->weights);
    free(p);
}

void model_pending_forget(struct model_pending *p, const char *prefix) {
    size_t kept = 0;
    for (size_t i = 0; i < p->count; i++) {
        if (strncmp(p->sources[i].name, prefix, strlen(prefix)) == 0)
            free(p->sources[i].name);
        else
            p->sources[kept++] = p->sources[i];
    }
    p->count = kept;
}

static int compare_sources(const void *a, const void *b) {
    const struct model_source *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static int compare_name_source(const void *name, const void *source) {
    return strcmp(name, ((const struct model_source *)source)->name);
}

const struct model_source *model_pending_find(const struct model_pending *p, const char *name) {
    if (p == NULL || p->count == 0) return NULL;
    return bsearch(name, p->sources, p->count, sizeof *p->sources, compare_name_source);
}

/* Takes ownership of what `name` holds. */
static berth_status add_source(struct model_pending *p, struct berth_str *name,
                               const struct berth_safetensor *t) {
    BERTH_TRY(berth_grow(&p->sources, &p->capacity, p->count + 1, sizeof *p->sources));
    BERTH_TRY(berth_str_take(name, &p->sources[p->count].name));
    p->sources[p->count++].tensor = t;
    return BERTH_OK;
}

/* ---- the folder's files */

/* A vocabulary of more tokens than embeddings would index past the table; fewer is a padded table. */
static berth_status check_vocabulary(const struct berth_model_config *c, const char *folder) {
    berth_status status = BERTH_OK;
    char *path = NULL, *text = NULL;
    size_t size = 0;
    int64_t lines = 0;
    BERTH_TRY_OUT(berth_path_join(&path, folder, "vocab.txt"));
    if (!berth_file_exists(path)) goto out;
    BERTH_TRY_OUT(berth_file_read(&text, &size, path));
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    lines += size > 0 && text[size - 1] != '\n';
    if (lines > c->vocab_size)
        BERTH_FAIL_OUT(BERTH_E_FORMAT,
                       "%s: %lld tokens, but config.json says vocab_size %lld: the files do not belong "
                       "together",
                       path, (long long)lines, (long long)c->vocab_size);
out:
    free(path);
    free(text);
    return status;
}

berth_status berth_model_check_tokenizer(const struct berth_model *m, const struct berth_tokenizer *tokenizer,
                                         const char *folder) {
    if ((int64_t)berth_tokenizer_size(tokenizer) > m->config.vocab_size)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: the tokenizer has %zu entries, config.json says vocab_size %lld",
                   folder, berth_tokenizer_size(tokenizer), (long long)m->config.vocab_size);
    return BERTH_OK;
}

/* ---- heads */

static berth_status add_head_source(struct model_pending *p, const struct berth_head *head, const char *part,
                                    const char *tensor) {
    struct berth_str name;
    berth_str_init(&name);
    berth_status status = BERTH_OK;
    const struct berth_safetensor *t = weights_find(&p->weights, tensor);
    if (t == NULL)
        BERTH_FAIL_OUT(
            BERTH_E_FORMAT,
            "%s: berth_heads.json names the tensor '%s' for head '%s', but the weights have none of that "
            "name",
            p->folder, tensor, head->task.name);
    berth_str_addf(&name, "heads.%s.%s", head->task.name, part);
    BERTH_TRY_OUT(add_source(p, &name, t));
out:
    berth_str_deinit(&name);
    return status;
}

static berth_status read_heads(struct berth_model *m, const char *folder) {
    berth_status status = BERTH_OK;
    struct model_pending *p = m->pending;
    struct heads_file_entry *entries = NULL;
    char *path = NULL;
    int count = 0;
    BERTH_TRY_OUT(berth_path_join(&path, folder, "berth_heads.json"));
    if (berth_file_exists(path)) {
        BERTH_TRY_OUT(heads_file_read(&entries, &count, path));
    } else {
        free(path);
        path = NULL;
        BERTH_TRY_OUT(berth_path_join(&path, folder, "config.json"));
        BERTH_TRY_OUT(reference_head_read(&entries, &count, path, &p->weights));
    }
    for (int i = 0; i < count; i++) {
        const struct heads_file_entry *e = &entries[i];
        if (berth_model_find_head(m, e->head.task.name) >= 0)
            BERTH_FAIL_OUT(BERTH_E_FORMAT, "%s: head '%s' comes twice", path, e->head.task.name);
        status = head_append(m, &e->head);
        if (status != BERTH_OK) {
            status = berth_error_context(status, "%s", path);
            goto out;
        }
    }
    BERTH_TRY_OUT(param_spec_build(m)); /* names the parameters of the heads */
    for (int i = 0; i < m->parameter_count; i++) {
        if (m->parameters[i].owner == 0) continue;
        const struct heads_file_entry *e = &entries[m->parameters[i].owner - 1];
        const char *part = m->parameters[i].name + strlen("heads.") + strlen(e->head.task.name) + 1;
        const char *tensor = m->parameters[i].name;
        for (size_t k = 0; k < e->tensor_count; k++)
            if (strcmp(e->tensors[k].part, part) == 0) tensor = e->tensors[k].name;
        BERTH_TRY_OUT(add_head_source(p, &e->head, part, tensor));
    }
out:
    heads_file_free(entries, count);
    free(path);
    return status;
}

/* ---- tensors */

static bool is_head_tensor(const struct model_pending *p, size_t head_sources,
                           const struct berth_safetensor *t) {
    for (size_t i = 0; i < head_sources; i++) {
        if (p->sources[i].tensor == t) return true;
    }
    return false;
}

/* Gives every tensor of the file its use; those of no use are named in one line of the log. */
static berth_status sort_tensors(struct model_pending *p) {
    enum { NAMED = 8 };
    berth_status status = BERTH_OK;
    const size_t head_sources = p->count;
    size_t unknown = 0;
    struct berth_str name, unused;
    berth_str_init(&name);
    berth_str_init(&unused);
    for (size_t i = 0; i < p->weights.count; i++) {
        const struct berth_safetensor *t = p->weights.tensors[i];
        berth_str_reset(&name);
        enum tensor_use use = tensor_name_read(t->name, &name);
        /* those of a masked language model serve a second head too, of another name */
        if (use != TENSOR_SPARE && is_head_tensor(p, head_sources, t)) continue;
        if (use == TENSOR_WANTED || use == TENSOR_SPARE) BERTH_TRY_OUT(add_source(p, &name, t));
        if (use == TENSOR_UNKNOWN && unknown++ < NAMED)
            berth_str_addf(&unused, "%s%s", unknown == 1 ? "" : ", ", t->name);
    }
    if (unknown > 0)
        berth_log(BERTH_LOG_WARN, "%s: %zu tensors are not used: %s%s", p->folder, unknown,
                  unused.failed ? "" : unused.data, unknown > NAMED ? ", ..." : "");
    if (p->count > 0) qsort(p->sources, p->count, sizeof *p->sources, compare_sources);
    for (size_t i = 1; i < p->count; i++) {
        if (strcmp(p->sources[i - 1].name, p->sources[i].name) == 0)
            BERTH_FAIL_OUT(BERTH_E_FORMAT, "%s: '%s' and '%s' are both %s", p->weights.path,
                           p->sources[i - 1].tensor->name, p->sources[i].tensor->name, p->sources[i].name);
    }
out:
    berth_str_deinit(&name);
    berth_str_deinit(&unused);
    return status;
}

static void shape_text(char out[64], int rank, const int64_t *shape) {
    size_t used = (size_t)snprintf(out, 64, "[");
    for (int i = 0; i < rank && used < 56; i++)
        used += (size_t)snprintf(out + used, 64 - used, "%s%lld", i == 0 ? "" : ", ", (long long)shape[i]);
    if (used < 63) snprintf(out + used, 64 - used, "]");
}

/* One line of what is wrong with many tensors: the first few by name. */
struct complaint {
    struct berth_str list;
    size_t count;
};

static void complain(struct complaint *c, const char *fmt, ...) BERTH_PRINTF(2, 3);
static void complain(struct complaint *c, const char *fmt, ...) {
    enum { NAMED = 8 };
    char text[256];
    va_list args;
    if (++c->count > NAMED + 1) return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    berth_str_addf(&c->list, "%s%s", c->count == 1 ? "" : ", ", c->count > NAMED ? "..." : text);
}

static berth_status raise(struct complaint *c, berth_status code, const char *path, const char *one,
                          const char *many) {
    berth_status status = BERTH_OK;
    if (c->count == 1)
        status = berth_error_set(code, __FILE__, __LINE__, "%s: the tensor %s%s", path,
                                 c->list.failed ? "" : c->list.data, one);
    if (c->count > 1)
        status = berth_error_set(code, __FILE__, __LINE__, "%s: %zu tensors %s: %s", path, c->count, many,
                                 c->list.failed ? "" : c->list.data);
    berth_str_deinit(&c->list);
    return status;
}

static bool same_shape(const struct berth_safetensor *t, const struct berth_parameter *p) {
    bool same = t->rank == p->rank;
    for (int i = 0; same && i < t->rank; i++)
        same = t->shape[i] == p->shape[i];
    return same;
}

static bool is_float(const struct berth_safetensor *t) {
    return strcmp(t->dtype, "F32") == 0 || strcmp(t->dtype, "F16") == 0 || strcmp(t->dtype, "BF16") == 0;
}

/* Every parameter's tensor: there, of its shape, of a float type. */
static berth_status check_parameters(const struct berth_model *m) {
    const struct model_pending *p = m->pending;
    const char *path = p->weights.path;
    struct complaint missing = {0}, misshapen = {0}, untyped = {0};
    for (int i = 0; i < m->parameter_count; i++) {
        const struct berth_parameter *parameter = &m->parameters[i];
        const struct model_source *source = model_pending_find(p, parameter->name);
        char found[64], expected[64];
        if (source == NULL) {
            complain(&missing, "'%.100s'", parameter->name);
        } else if (!same_shape(source->tensor, parameter)) {
            shape_text(found, source->tensor->rank, source->tensor->shape);
            shape_text(expected, parameter->rank, parameter->shape);
            complain(&misshapen, "'%.100s' has shape %s, expected %s", source->tensor->name, found, expected);
        } else if (!is_float(source->tensor)) {
            complain(&untyped, "'%.100s' is of type %s", source->tensor->name, source->tensor->dtype);
        }
    }
    berth_status of_types =
        raise(&untyped, BERTH_E_UNSUPPORTED, path, ", expected F32, F16 or BF16", "are not F32, F16 or BF16");
    berth_status of_shapes = raise(&misshapen, BERTH_E_FORMAT, path, "", "do not have config.json's shapes");
    berth_status of_names = raise(&missing, BERTH_E_FORMAT, path, " is missing", "are missing");
    return of_names != BERTH_OK ? of_names : of_shapes != BERTH_OK ? of_shapes : of_types;
}

/* Tensors with names of a backbone that this configuration has no parameter for: more layers than it says, ...
 */
static void log_surplus(const struct berth_model *m) {
    const struct model_pending *p = m->pending;
    struct complaint surplus = {0};
    for (size_t i = 0; i < p->count; i++) {
        const char *name = p->sources[i].name;
        const bool spare = strncmp(name, "cls.", 4) == 0 || strncmp(name, "vocab_", 6) == 0;
        if (!spare && berth_model_find(m, name) < 0) complain(&surplus, "'%.100s'", p->sources[i].tensor->name);
    }
    if (surplus.count == 1)
        berth_log(BERTH_LOG_WARN, "%s: the tensor %s is not used: config.json has no place for it", p->folder,
                  surplus.list.failed ? "" : surplus.list.data);
    if (surplus.count > 1)
        berth_log(BERTH_LOG_WARN, "%s: %zu tensors are not used: config.json has no place for them: %s",
                  p->folder, surplus.count, surplus.list.failed ? "" : surplus.list.data);
    berth_str_deinit(&surplus.list);
}

static berth_status load_weights(struct berth_model *m, const char *folder) {
    struct model_pending *p = NULL;
    BERTH_TRY(berth_calloc(&p, 1, sizeof *p));
    m->pending = p;
    BERTH_TRY(berth_strdup(&p->folder, folder));
    BERTH_TRY(weights_open(&p->weights, folder));
    BERTH_TRY(read_heads(m, folder));
    BERTH_TRY(sort_tensors(p));
    m->config.pooler = model_pending_find(p, "pooler.dense.weight") != NULL;
    BERTH_TRY(param_spec_build(m));
    BERTH_TRY(check_parameters(m));
    log_surplus(m);
    return BERTH_OK;
}

berth_status berth_model_load(struct berth_model **out, struct berth_device *dev, const char *folder) {
    berth_status status = BERTH_OK;
    struct berth_model *m = NULL;
    char *path = NULL;
    if (!berth_file_exists(folder)) BERTH_FAIL(BERTH_E_IO, "%s: there is no such model folder", folder);
    if (!berth_is_folder(folder))
        BERTH_FAIL(BERTH_E_IO,
                   "%s: is a file, expected a model folder (config.json, model.safetensors, vocab.txt)",
                   folder);
    BERTH_TRY_OUT(berth_calloc(&m, 1, sizeof *m));
    m->device = dev;
    BERTH_TRY_OUT(berth_path_join(&path, folder, "config.json"));
    BERTH_TRY_OUT(model_config_read(&m->config, path));
    BERTH_TRY_OUT(check_vocabulary(&m->config, folder));
    BERTH_TRY_OUT(load_weights(m, folder));
    *out = m;
    m = NULL;
out:
    free(path);
    berth_model_free(m);
    return status;
}
