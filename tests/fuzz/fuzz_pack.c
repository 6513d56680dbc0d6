/* fuzz_pack.c: packed files whose container is right and whose contents lie: offsets, lengths, types, labels,
 * counts.
 *
 * An input edits one of three packs that berth made (plain, windows, separate sequences) and writes the result
 * with berth's own writer, so every digest is right. It is refused in one line, or all that training and
 * evaluation do with it stays within it: an epoch of batches, and a scan.
 *
 *     byte 0: the pack; then edits: kind, dataset or place, operands (see `edit`); other kinds end the input
 *
 * Views are handed out as copies on the heap (berth_h5_view is wrapped), so that a read past a dataset's end is
 * seen. */
#include <dirent.h>
#include <unistd.h>

#include "data/data_priv.h"
#include "fuzz/support_fuzz.h"

/* Nothing here must survive a crash of the machine; flushing would be all that the target does. */
int fsync(int fd) {
    (void)fd;
    return 0;
}

enum { PACKS = 3, DATASETS = 24, MOST = 512, MAX_LENGTH = 8 };

struct part {
    char name[48];
    enum berth_h5_type type;
    bool is_text, dropped, square;
    int64_t count;
    unsigned char *bytes; /* room for MOST elements of 8 bytes, or for the text and its zero byte */
};
struct base {
    struct berth_config *config;
    struct specs specs;
    char *path; /* in the cache folder */
    struct part parts[DATASETS];
    size_t count;
};
static struct base bases[PACKS];
static struct berth_tokenizer *tokenizer;

/* ------------------------------------------------------------------ views as copies */

static void *copies[1024];
static size_t copy_count;

berth_status __real_berth_h5_view(const struct berth_h5 *f, const char *name, enum berth_h5_type type,
                                  const void *out_pointer, int64_t *out_count);
berth_status __wrap_berth_h5_view(const struct berth_h5 *f, const char *name, enum berth_h5_type type,
                                  const void *out_pointer, int64_t *out_count);
berth_status __wrap_berth_h5_view(const struct berth_h5 *f, const char *name, enum berth_h5_type type,
                                  const void *out_pointer, int64_t *out_count) {
    const void *data = NULL;
    int64_t count = 0;
    BERTH_TRY(__real_berth_h5_view(f, name, type, &data, &count));
    size_t bytes = (size_t)count * berth_h5_type_size(type);
    FUZZ_CHECK(copy_count < sizeof copies / sizeof *copies);
    void *copy = copies[copy_count++] = malloc(bytes > 0 ? bytes : 1);
    FUZZ_CHECK(copy != NULL);
    memcpy(copy, data, bytes);
    memcpy((void *)(uintptr_t)out_pointer, &copy, sizeof copy);
    if (out_count != NULL) *out_count = count;
    return BERTH_OK;
}

static void free_copies(void) {
    while (copy_count > 0)
        free(copies[--copy_count]);
}

/* ------------------------------------------------------------------ the packs */

static char folder[512];

static void remove_folder(void) {
    if (berth_remove_tree(folder) != BERTH_OK) fprintf(stderr, "%s\n", berth_error_text());
}

static void write_file(const char *name, const char *text) {
    char path[600];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FUZZ_SETUP(berth_file_put(path, text, strlen(text)));
}

static void load_parts(struct base *b) {
    struct berth_h5 *f = NULL;
    FUZZ_SETUP(berth_h5_open(&f, b->path, "pack", PACK_VERSION));
    b->count = berth_h5_dataset_count(f);
    FUZZ_CHECK(b->count <= DATASETS);
    for (size_t i = 0; i < b->count; i++) {
        const struct berth_h5_dataset *d = berth_h5_dataset(f, i);
        struct part *p = &b->parts[i];
        snprintf(p->name, sizeof p->name, "%s", d->name);
        p->type = d->type;
        p->is_text = d->is_text;
        p->count = d->count;
        FUZZ_CHECK(d->is_text || d->count <= MOST);
        size_t room = d->is_text ? (size_t)d->count + 1 : (size_t)MOST * 8;
        p->bytes = calloc(room, 1);
        FUZZ_CHECK(p->bytes != NULL);
        memcpy(p->bytes, d->data, (size_t)d->count * berth_h5_type_size(d->type));
    }
    berth_h5_close(f);
}

static void make_base(struct base *b, const char *body) {
    struct berth_str s;
    struct berth_data *d = NULL;
    berth_str_init(&s);
    berth_str_addf(&s,
                   "%s\noutput: o\ncache: %s/cache\ndata_folder: %s\nmodel: {backbone: none, max_length: %d}\n",
                   body, folder, folder, MAX_LENGTH);
    FUZZ_CHECK(!s.failed);
    FUZZ_SETUP(berth_config_parse(&b->config, "fuzz.yaml", s.data, s.length, NULL, 0));
    FUZZ_SETUP(specs_read(&b->specs, b->config));
    FUZZ_SETUP(berth_data_open(&d, b->config, tokenizer, NULL, 0, BERTH_ALL_SPLITS));
    FUZZ_SETUP(berth_strdup(&b->path, berth_data_file(d, 0, BERTH_TRAIN)));
    berth_data_free(d);
    free_copies();
    load_parts(b);
    berth_str_deinit(&s);
}

int LLVMFuzzerInitialize(int *count, char ***arguments) {
    (void)count;
    (void)arguments;
    const char *root = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/berth-fuzz-pack-XXXXXX", root != NULL ? root : "/tmp");
    FUZZ_CHECK(mkdtemp(folder) != NULL);
    atexit(remove_folder);
    FUZZ_SETUP(
        berth_tokenizer_load_vocab(&tokenizer, fuzz_source_path("tests/golden/tokenizer_vocab.txt"), NULL));
    write_file("tags", "the O\nold B-x\nman I-x\n\na B-y\n\n");
    write_file("long",
               "1\t0.5\tthe old man and the sea are one and the same\tp q\n0\t\tshort\t\n1\t-2\tno, no\tq\n");
    write_file("pairs", "the man\tthe sea\tno\t0.25\nan old man\tone\tthe end\t1\na\tb\tc\t\n");
    make_base(&bases[0], "data: {s: {format: conll, train: tags}}\n"
                         "tasks: {t: {type: tagging, source: s, label: 1}, m: {type: mlm, source: s}}");
    make_base(
        &bases[1],
        "data: {s: {format: tsv, header: false, train: long, text: 2, overflow: windows, stride: 2,\n"
        "           separator: space}}\n"
        "tasks: {c: {type: classification, source: s, label: 0}, r: {type: regression, source: s, label: 1},\n"
        "        l: {type: multilabel, source: s, label: 3}}");
    make_base(&bases[2],
              "data: {s: {format: tsv, header: false, train: pairs, text: 0, text_pair: 1, negative: 2}}\n"
              "tasks: {s: {type: similarity, source: s, label: 3}, c: {type: contrastive, source: s}}");
    return 0;
}

/* ------------------------------------------------------------------ edits */

struct input {
    const uint8_t *at, *end;
};

static uint64_t take(struct input *in, int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes && in->at < in->end; i++)
        value |= (uint64_t)*in->at++ << 8 * i;
    return value;
}

/* A value of the width of an element: a small one, the edge of a range, or any. */
static uint64_t take_value(struct input *in) {
    static const uint64_t edges[] = {0,
                                     1,
                                     UINT64_MAX,
                                     INT32_MAX,
                                     (uint64_t)1 << 31,
                                     INT64_MAX,
                                     (uint64_t)1 << 63,
                                     UINT32_MAX,
                                     0x7FC00000 /* not a number */,
                                     0x7F800000};
    uint8_t kind = (uint8_t)take(in, 1);
    if (kind < 128) return kind;
    if (kind < 200) return edges[kind % (sizeof edges / sizeof *edges)];
    return kind < 228 ? (uint64_t)(int64_t)(int8_t)take(in, 1) : take(in, 8);
}

/* Puts `text` in place of the n-th number of the metadata, where it fits. */
static void edit_number(struct part *meta, size_t n, const char *text) {
    char *at = (char *)meta->bytes;
    for (;; n--) {
        at += strcspn(at, ":");
        if (*at == '\0') return;
        at++;
        if (*at < '0' || *at > '9') {
            n++;
            continue;
        }
        if (n == 0) break;
    }
    size_t old = strspn(at, "0123456789.-+eE"), length = strlen(text), rest = strlen(at + old);
    char *made = calloc((size_t)meta->count + length + 1, 1);
    FUZZ_CHECK(made != NULL);
    size_t before = (size_t)(at - (char *)meta->bytes);
    memcpy(made, meta->bytes, before);
    memcpy(made + before, text, length);
    memcpy(made + before + length, at + old, rest);
    free(meta->bytes);
    meta->bytes = (unsigned char *)made;
    meta->count = (int64_t)(before + length + rest);
}

static bool edit(struct part *parts, size_t count, struct input *in) {
    uint8_t kind = (uint8_t)take(in, 1);
    struct part *p = &parts[take(in, 1) % count];
    size_t place = take(in, 2), size = berth_h5_type_size(p->type);
    uint64_t value = 0;
    char number[24];
    switch (kind) {
    case 'v': /* an element's value */
        value = take_value(in);
        if (!p->is_text && p->count > 0) memcpy(p->bytes + place % (size_t)p->count * size, &value, size);
        return true;
    case 'l': /* a dataset's length */
        if (!p->is_text) p->count = (int64_t)(place % MOST);
        return true;
    case 't': /* a dataset's type */
        p->type = p->is_text ? p->type : (enum berth_h5_type)(place % 6);
        return true;
    case 'd':
        p->dropped = true;
        return true;
    case 's': /* two dimensions */
        p->square = !p->is_text;
        return true;
    case 'm': /* a byte of the metadata */
        value = take(in, 1);
        if (p->is_text && p->count > 0 && value != 0) p->bytes[place % (size_t)p->count] = (unsigned char)value;
        return true;
    case 'n': /* a number of the metadata */
        snprintf(number, sizeof number, "%lld", (long long)take_value(in));
        if (p->is_text) edit_number(p, place % 64, number);
        return true;
    default:
        return false;
    }
}

static void write_pack(const struct base *b, const struct part *parts) {
    struct berth_h5_writer *w = NULL;
    FUZZ_SETUP(berth_h5_create(&w, b->path, "pack", PACK_VERSION));
    for (size_t i = 0; i < b->count; i++) {
        const struct part *p = &parts[i];
        const int64_t dims[2] = {p->square ? 1 : p->count, p->count};
        if (p->dropped) continue;
        if (p->is_text) {
            FUZZ_SETUP(berth_h5_put_text(w, p->name, (const char *)p->bytes));
        } else {
            FUZZ_SETUP(berth_h5_put(w, p->name, p->type, p->square ? 2 : 1, dims, p->bytes));
        }
    }
    FUZZ_SETUP(berth_h5_commit(&w));
}

/* ------------------------------------------------------------------ use */

/* What a batch refers to lies within it, and labels within their maps. */
static void check_batch(const struct berth_batch *batch, const struct berth_data *d) {
    FUZZ_CHECK(batch->cu_seqlens[batch->sequence_count] == batch->tokens_count);
    for (int64_t i = 0; i < batch->tokens_count; i++) {
        FUZZ_CHECK(batch->tokens[i] >= 0 && (size_t)batch->tokens[i] < berth_tokenizer_size(tokenizer));
        FUZZ_CHECK(batch->segments[i] == 0 || batch->segments[i] == 1);
        FUZZ_CHECK(batch->positions[i] >= 0 && batch->positions[i] < MAX_LENGTH);
    }
    for (size_t t = 0; t < berth_data_task_count(d); t++) {
        const struct berth_task *task = berth_data_task(d, t);
        const struct berth_items *items = &batch->items[t];
        bool rows = task->kind == BERTH_TASK_TAGGING || task->kind == BERTH_TASK_MLM;
        int64_t places = rows ? batch->tokens_count : batch->sequence_count;
        size_t classes = task->kind == BERTH_TASK_MLM ? berth_tokenizer_size(tokenizer) : task->labels.count;
        for (int64_t k = 0; k < items->count; k++) {
            FUZZ_CHECK(items->index[k] >= 0 && items->index[k] < places);
            FUZZ_CHECK(items->label[k] < 0 || classes == 0 || (size_t)items->label[k] < classes);
        }
    }
}

static void use_data(struct base *b) {
    struct berth_data *d = NULL;
    struct berth_feeder *f = NULL;
    struct berth_scan *scan = NULL;
    const struct berth_batch *batch = NULL;
    const struct berth_feeder_options options = {
        .seed = 1, .batch_size = 3, .accumulate = 1, .synchronous = true};
    int64_t steps = 0;
    if (fuzz_answer(berth_data_open(&d, b->config, tokenizer, NULL, 0, 1u << BERTH_TRAIN)) != BERTH_OK) return;
    FUZZ_CHECK(!berth_data_was_packed(d, 0, BERTH_TRAIN));
    if (fuzz_answer(berth_feeder_create(&f, d, &options)) == BERTH_OK &&
        fuzz_answer(berth_feeder_epoch_steps(f, 0, &steps)) == BERTH_OK) {
        for (int64_t i = 0; i < steps && i < 64 && fuzz_answer(berth_feeder_next(f)) == BERTH_OK; i++)
            for (int k = 0; k < berth_feeder_batch_count(f); k++)
                check_batch(berth_feeder_batch(f, k), d);
    }
    berth_feeder_free(f);
    if (fuzz_answer(berth_scan_create(&scan, d, 0, BERTH_TRAIN, 4)) == BERTH_OK)
        while (fuzz_answer(berth_scan_next(scan, &batch)) == BERTH_OK && batch != NULL)
            check_batch(batch, d);
    berth_scan_free(scan);
    berth_data_free(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input in = {data, data + size};
    struct base *b = &bases[take(&in, 1) % PACKS];
    struct part parts[DATASETS];
    struct pack pack;
    for (size_t i = 0; i < b->count; i++) {
        size_t room = b->parts[i].is_text ? (size_t)b->parts[i].count + 1 : (size_t)MOST * 8;
        parts[i] = b->parts[i];
        parts[i].bytes = malloc(room);
        FUZZ_CHECK(parts[i].bytes != NULL);
        memcpy(parts[i].bytes, b->parts[i].bytes, room);
    }
    while (in.at < in.end && edit(parts, b->count, &in))
        continue;
    write_pack(b, parts);
    bool opened = fuzz_answer(pack_open(&pack, b->path, &b->specs.sources[0], MAX_LENGTH,
                                        berth_tokenizer_size(tokenizer))) == BERTH_OK;
    if (opened) {
        pack_close(&pack);
        use_data(b);
    }
    free_copies();
    for (size_t i = 0; i < b->count; i++)
        free(parts[i].bytes);
    return 0;
}
