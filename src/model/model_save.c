/* model_save.c: a model folder out, whole or not at all.
 *
 *     FOLDER.tmp.PID-RANDOM/ written and flushed, file by file -> exchanged with FOLDER in one step -> the old
 *     one deleted
 *
 * What the reference library loads the folder as, and the names that its tensors get:
 *
 *     one head that a class of the reference is      BertForSequenceClassification   bert.* / distilbert.*,
 *     (reference_head.c)                             ...                             classifier.*, ...
 *     anything else                                  BertModel / DistilBertModel     no prefix, heads.NAME.*
 *
 * A pooler is kept whatever the heads: the folder is also a backbone for later tasks. The reference's tagger
 * has none and passes over its two tensors. DistilBERT keeps its own names. berth_heads.json says which tensors
 * are the heads'. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "berth/file.h"
#include "model/model_priv.h"

/* How a folder is written. */
struct save_form {
    bool distilbert;
    const struct reference_form *reference; /* the class with a head; NULL: the bare one */
    const char *prefix;                     /* of backbone tensors */
    enum berth_weight_type dtype;
};

static struct save_form choose_form(const struct berth_model *m, const struct berth_save_options *options) {
    struct save_form f = {.distilbert = model_is_distilbert(&m->config), .prefix = "", .dtype = options->dtype};
    if (!options->sentences) f.reference = reference_form_of(m);
    if (f.reference != NULL) f.prefix = f.distilbert ? "distilbert." : "bert.";
    return f;
}

static void write_labels(struct berth_str *s, const struct berth_labels *labels) {
    if (labels->count == 0) { /* one output without a name: how the reference counts them */
        berth_str_add(s, ",\n  \"id2label\": {\"0\": \"LABEL_0\"},\n  \"label2id\": {\"LABEL_0\": 0}");
        return;
    }
    berth_str_add(s, ",\n  \"id2label\": {");
    for (size_t i = 0; i < labels->count; i++) {
        berth_str_addf(s, "%s\"%zu\": ", i == 0 ? "" : ", ", i);
        berth_str_add_json(s, labels->names[i]);
    }
    berth_str_add(s, "},\n  \"label2id\": {");
    for (size_t i = 0; i < labels->count; i++) {
        berth_str_add(s, i == 0 ? "" : ", ");
        berth_str_add_json(s, labels->names[i]);
        berth_str_addf(s, ": %zu", i);
    }
    berth_str_add(s, "}");
}

berth_status save_text(const char *folder, const char *name, const char *text) {
    char *path = NULL;
    BERTH_TRY(berth_path_join(&path, folder, name));
    berth_status status = berth_file_put(path, text, strlen(text));
    free(path);
    return status;
}

/* What the reference must know of its head. */
static void write_head(const struct berth_model *m, const struct save_form *f, struct berth_str *s) {
    const struct berth_head *head = &m->heads[0];
    const char *problem = head_kind_of(head)->problem_type;
    const bool sequence = f->reference->place == REFERENCE_SEQUENCE;
    write_labels(s, &head->task.labels);
    if (problem != NULL) berth_str_addf(s, ",\n  \"problem_type\": \"%s\"", problem);
    if (head->dropout >= 0.0f && !f->distilbert)
        berth_str_addf(s, ",\n  \"classifier_dropout\": %.9g", (double)head->dropout);
    if (f->distilbert && sequence)
        berth_str_addf(s, ",\n  \"seq_classif_dropout\": %.9g",
                       (double)(head->dropout >= 0.0f ? head->dropout : m->config.hidden_dropout));
}

static berth_status write_config(const struct berth_model *m, const struct save_form *f, const char *folder) {
    berth_status status = BERTH_OK;
    struct berth_str s;
    char *text = NULL;
    berth_str_init(&s);
    berth_str_addf(&s, "{\n  \"architectures\": [\"%s\"]",
                   f->reference != NULL ? f->reference->class_name
                   : f->distilbert      ? "DistilBertModel"
                                        : "BertModel");
    model_config_write(&m->config, &s);
    if (f->reference != NULL && f->reference->place != REFERENCE_MLM) write_head(m, f, &s);
    static const char *const TYPES[] = {"float32", "float16", "bfloat16"};
    berth_str_addf(&s, ",\n  \"torch_dtype\": \"%s\"\n}\n", TYPES[f->dtype]);
    BERTH_TRY_OUT(berth_str_take(&s, &text));
    BERTH_TRY_OUT(save_text(folder, "config.json", text));
out:
    berth_str_deinit(&s);
    free(text);
    return status;
}

/* head: the name of the only one, where the folder is of the reference's class. */
static berth_status tensor_file_name(char **out, const struct save_form *f, const struct berth_parameter *p,
                                     const char *head) {
    struct berth_str s;
    berth_str_init(&s);
    if (p->owner == 0) {
        tensor_name_write(p->name, f->distilbert, f->prefix, &s);
    } else if (f->reference != NULL) {
        const char *part = p->name + strlen("heads.") + strlen(head) + 1;
        berth_str_add(&s, reference_part_name(f->reference, part));
    } else {
        berth_str_add(&s, p->name);
    }
    return berth_str_take(&s, out);
}

static berth_status write_weights(const struct berth_model *m, const struct save_form *f, const char *folder) {
    berth_status status = BERTH_OK;
    struct berth_safetensor_out *tensors = NULL;
    char **names = NULL, *path = NULL;
    float *copy = NULL;
    const float *values = m->values;
    size_t count = 0;
    BERTH_TRY_OUT(berth_calloc(&tensors, (size_t)m->parameter_count, sizeof *tensors));
    BERTH_TRY_OUT(berth_calloc(&names, (size_t)m->parameter_count, sizeof *names));
    if (!m->device->backend->host_memory) {
        BERTH_TRY_OUT(berth_calloc(&copy, (size_t)m->total, sizeof *copy));
        BERTH_TRY_OUT(berth_device_download(m->device, copy, m->values, (size_t)m->total * sizeof *copy));
        BERTH_TRY_OUT(berth_device_synchronize(m->device));
        values = copy;
    }
    for (int i = 0; i < m->parameter_count; i++) {
        const struct berth_parameter *p = &m->parameters[i];
        BERTH_TRY_OUT(tensor_file_name(&names[count], f, p, m->head_count > 0 ? m->heads[0].task.name : ""));
        tensors[count] = (struct berth_safetensor_out){.name = names[count],
                                                       .rank = p->rank,
                                                       .shape = p->shape,
                                                       .data = values + p->offset,
                                                       .dtype = f->dtype};
        count++;
    }
    BERTH_TRY_OUT(berth_path_join(&path, folder, "model.safetensors"));
    BERTH_TRY_OUT(berth_safetensors_write(path, tensors, count));
out:
    free(path);
    free(copy);
    free(tensors);
    berth_names_free(names, count);
    return status;
}

/* ---- folders */

/* What stands at the target may only be a model folder of plain files, or an empty folder: nobody's else is
 * deleted. */
static berth_status check_replaceable(const char *folder) {
    berth_status status = BERTH_OK;
    char **names = NULL, *path = NULL;
    size_t count = 0;
    bool is_model = false;
    struct stat st;
    if (lstat(folder, &st) != 0) return BERTH_OK;
    if (!S_ISDIR(st.st_mode))
        BERTH_FAIL(BERTH_E_EXISTS,
                   "%s: is not a folder; a model folder is written to a new name, or over an old model",
                   folder);
    BERTH_TRY_OUT(berth_list_folder(&names, &count, folder));
    for (size_t i = 0; i < count; i++) {
        free(path);
        path = NULL;
        BERTH_TRY_OUT(berth_path_join(&path, folder, names[i]));
        if (lstat(path, &st) != 0)
            BERTH_FAIL_OUT(BERTH_E_IO, "%s: cannot be looked at: %s", path, strerror(errno));
        if (S_ISDIR(st.st_mode))
            BERTH_FAIL_OUT(BERTH_E_EXISTS,
                           "%s: holds the folder '%s', which a model folder of berth's does not; it is "
                           "not replaced: choose another name",
                           folder, names[i]);
        is_model = is_model || strcmp(names[i], "config.json") == 0;
    }
    if (count > 0 && !is_model)
        BERTH_FAIL_OUT(BERTH_E_EXISTS,
                       "%s: holds files and no config.json: it is no model folder and is not replaced: "
                       "choose another name",
                       folder);
out:
    free(path);
    berth_names_free(names, count);
    return status;
}

static berth_status sync_folder(const char *folder) {
    berth_status status = BERTH_OK;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) BERTH_FAIL(BERTH_E_IO, "%s: the folder cannot be opened: %s", folder, strerror(errno));
    if (fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP) /* not every file system can */
        BERTH_FAIL_OUT(BERTH_E_IO, "%s: the folder cannot be flushed: %s", folder, strerror(errno));
out:
    close(fd);
    return status;
}

/* Puts tmp, a temporary name of folder's, in its place. Where the file system can exchange two names there is
 * no instant without a whole folder of that name; elsewhere the old one steps aside first, and comes back when
 * the second step fails. */
static berth_status publish(const char *tmp, const char *folder) {
    berth_status status = BERTH_OK;
    char *old = NULL;
    if (!berth_file_exists(folder)) {
        if (rename(tmp, folder) != 0)
            BERTH_FAIL(BERTH_E_IO, "%s: cannot be put in its place: %s", folder, strerror(errno));
        return BERTH_OK;
    }
    if (renameat2(AT_FDCWD, tmp, AT_FDCWD, folder, RENAME_EXCHANGE) == 0) return berth_remove_tree(tmp);
    struct berth_str s;
    berth_str_init(&s);
    berth_str_addf(&s, "%s.old.%s", folder, tmp + strlen(folder) + strlen(".tmp."));
    BERTH_TRY_OUT(berth_str_take(&s, &old));
    if (rename(folder, old) != 0)
        BERTH_FAIL_OUT(BERTH_E_IO, "%s: cannot be moved aside: %s", folder, strerror(errno));
    if (rename(tmp, folder) != 0) {
        int reason = errno;
        if (rename(old, folder) != 0) berth_log(BERTH_LOG_ERROR, "%s: the old model now stands there", old);
        BERTH_FAIL_OUT(BERTH_E_IO, "%s: cannot be put in its place: %s", folder, strerror(reason));
    }
    BERTH_TRY_OUT(berth_remove_tree(old));
out:
    free(old);
    return status;
}

/* The folder's name without slashes at its end, and the folder that holds it. */
static berth_status split_path(const char *folder, char **target, char **parent) {
    size_t length = strlen(folder);
    while (length > 1 && folder[length - 1] == '/')
        length--;
    if (length == 0) BERTH_FAIL(BERTH_E_USAGE, "the name of the model folder is empty");
    BERTH_TRY(berth_strndup(target, folder, length));
    const char *slash = strrchr(*target, '/');
    if (slash == NULL) return berth_strdup(parent, ".");
    return berth_strndup(parent, *target, slash == *target ? 1 : (size_t)(slash - *target));
}

static berth_status write_files(const struct berth_model *m, const struct berth_tokenizer *tokenizer,
                                const struct berth_save_options *options, const char *folder) {
    const struct save_form form = choose_form(m, options);
    char *heads = NULL;
    BERTH_TRY(write_config(m, &form, folder));
    BERTH_TRY(write_weights(m, &form, folder));
    BERTH_TRY(heads_file_text(m, form.reference, &heads));
    berth_status status = save_text(folder, "berth_heads.json", heads);
    free(heads);
    if (status == BERTH_OK && tokenizer != NULL) status = berth_tokenizer_save(tokenizer, folder);
    if (status == BERTH_OK && options->sentences) status = save_sentences(m, options, folder);
    return status;
}

berth_status berth_model_save(const struct berth_model *m, const struct berth_tokenizer *tokenizer,
                              const char *folder) {
    const struct berth_save_options options = {.dtype = BERTH_WEIGHTS_F32};
    return berth_model_save_as(m, tokenizer, &options, folder);
}

berth_status berth_model_save_as(const struct berth_model *m, const struct berth_tokenizer *tokenizer,
                                 const struct berth_save_options *options, const char *folder) {
    berth_status status = BERTH_OK;
    char *target = NULL, *parent = NULL, *tmp = NULL;
    bool made = false;
    BERTH_ASSERT_MSG(m->values != NULL, "the model has no values yet: berth_model_allocate");
    BERTH_TRY_OUT(split_path(folder, &target, &parent));
    BERTH_TRY_OUT(check_replaceable(target));
    BERTH_TRY_OUT(berth_make_folders(parent));
    BERTH_TRY_OUT(berth_file_make_tmp_folder(&tmp, target));
    made = true;
    BERTH_TRY_OUT(write_files(m, tokenizer, options, tmp));
    BERTH_TRY_OUT(sync_folder(tmp));
    BERTH_TRY_OUT(publish(tmp, target));
    made = false;
    BERTH_TRY_OUT(sync_folder(parent));
out:
    if (made) { /* the first error is the one to tell */
        char *text = NULL;
        berth_status first = status;
        if (berth_strdup(&text, berth_error_text()) == BERTH_OK) {
            if (berth_remove_tree(tmp) != BERTH_OK) berth_log(BERTH_LOG_WARN, "%s", berth_error_text());
            status = berth_error_set(first, __FILE__, __LINE__, "%s", text);
        }
        free(text);
    }
    free(target);
    free(parent);
    free(tmp);
    return status;
}
