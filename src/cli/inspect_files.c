/* inspect_files.c: what lies in a safetensors file, a pytorch_model.bin or in one of berth's HDF5 files: names,
 * types, shapes, digests.
 *
 * The digest is the XXH3-128 of a tensor's bytes: equal digests mean equal bits. */
#include <string.h>

#include "berth/h5.h"
#include "cli/cli_priv.h"

static void add_shape(struct berth_str *s, int rank, const int64_t *shape) {
    berth_str_add(s, "[");
    for (int i = 0; i < rank; i++)
        berth_str_addf(s, "%s%lld", i ? ", " : "", (long long)shape[i]);
    berth_str_add(s, "]");
}

static void add_digest(struct berth_str *s, const void *data, size_t bytes) {
    char hex[33];
    berth_hash_hex(berth_hash(data, bytes), hex);
    berth_str_addf(s, "\t%s\n", hex);
}

static void add_tensor(struct berth_str *s, const struct berth_safetensor *t, int64_t *elements) {
    berth_str_addf(s, "tensor\t%s\t%s\t", t->name, t->dtype);
    add_shape(s, t->rank, t->shape);
    add_digest(s, t->data, t->bytes);
    *elements += t->count;
}

berth_status cli_inspect_weights(const char *path) {
    berth_status status = BERTH_OK;
    const bool torch = berth_glob("*.bin", path);
    struct berth_safetensors *safe = NULL;
    struct berth_torch *file = NULL;
    struct berth_str s;
    int64_t elements = 0;
    berth_str_init(&s);
    if (torch)
        BERTH_TRY_OUT(berth_torch_open(&file, path));
    else
        BERTH_TRY_OUT(berth_safetensors_open(&safe, path));
    const size_t count = torch ? berth_torch_count(file) : berth_safetensors_count(safe);
    for (size_t i = 0; i < count; i++)
        add_tensor(&s, torch ? berth_torch_at(file, i) : berth_safetensors_at(safe, i), &elements);
    berth_str_addf(&s, "tensors\t%zu\nelements\t%lld\n", count, (long long)elements);
    BERTH_TRY_OUT(cli_out_str(&s));
out:
    berth_str_deinit(&s);
    berth_safetensors_close(safe);
    berth_torch_close(file);
    return status;
}

static const char *type_name(enum berth_h5_type type) {
    switch (type) {
    case BERTH_H5_F32:
        return "F32";
    case BERTH_H5_I32:
        return "I32";
    case BERTH_H5_I64:
        return "I64";
    case BERTH_H5_U8:
        return "U8";
    case BERTH_H5_U16:
        return "U16";
    case BERTH_H5_F64:
        return "F64";
    }
    return "?";
}

berth_status cli_inspect_h5(const char *path, int64_t row, const char *vocabulary) {
    berth_status status = BERTH_OK;
    struct berth_h5 *file = NULL;
    struct berth_str s;
    berth_str_init(&s);
    BERTH_TRY_OUT(berth_h5_open(&file, path, NULL, INT32_MAX));
    const bool pack = strcmp(berth_h5_kind(file), "pack") == 0;
    if (!pack && (row >= 0 || vocabulary))
        BERTH_FAIL_OUT(BERTH_E_USAGE, "%s: holds '%s'; --row and --vocab are for packed data", path,
                       berth_h5_kind(file));
    if (row < 0) berth_str_addf(&s, "kind\t%s\nversion\t%d\n", berth_h5_kind(file), berth_h5_version(file));
    if (pack) BERTH_TRY_OUT(cli_inspect_pack(&s, file, row, vocabulary));
    for (size_t i = 0; row < 0 && i < berth_h5_dataset_count(file); i++) {
        const struct berth_h5_dataset *d = berth_h5_dataset(file, i);
        if (d->is_text && pack) continue; /* told above */
        if (d->is_text) {
            const char *text = NULL;
            BERTH_TRY_OUT(berth_h5_text(file, d->name, &text));
            berth_str_addf(&s, "text\t%s\t", d->name);
            cli_add_json_text(&s, text, strlen(text));
            berth_str_add(&s, "\n");
            continue;
        }
        berth_str_addf(&s, "dataset\t%s\t%s\t", d->name, type_name(d->type));
        add_shape(&s, d->rank, d->dims);
        add_digest(&s, d->data, (size_t)d->count * berth_h5_type_size(d->type));
    }
    BERTH_TRY_OUT(cli_out_str(&s));
out:
    berth_str_deinit(&s);
    berth_h5_close(file);
    return status;
}
