/* cmd_embed.c: `berth embed`: one fixed-size embedding a line of text, and the shape of all of them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "berth/h5.h"
#include "cli/cli_priv.h"

enum format { FORMAT_TSV, FORMAT_JSONL, FORMAT_HDF5 };

struct embedder {
    struct cli_model m;
    struct cli_window window;
    struct berth_batch batch;
    enum berth_pooling pooling;
    enum format format;
    bool normalize;
    int64_t max_length;
    float *rows; /* [window, H]; hdf5: [all, H] */
    size_t capacity;
    int64_t count; /* lines before this window */
};

static void embedder_deinit(struct embedder *e) {
    cli_window_deinit(&e->window);
    berth_batch_deinit(&e->batch);
    free(e->rows);
    cli_model_close(&e->m);
}

/* Divides by the 2-norm, summed in double; a zero vector stays. */
static void normalize_row(float *row, int64_t size) {
    double sum = 0;
    for (int64_t i = 0; i < size; i++)
        sum += (double)row[i] * row[i];
    if (sum <= 0) return;
    double scale = 1 / sqrt(sum);
    for (int64_t i = 0; i < size; i++)
        row[i] = (float)(row[i] * scale);
}

/* Embeds the window's lines lines[0..count) into rows[line]. */
static berth_status run_batch(struct embedder *e, const size_t *lines, size_t count, float *rows) {
    int64_t hidden = e->m.model->config.hidden;
    BERTH_TRY(berth_batch_reset(&e->batch, 0));
    for (size_t s = 0; s < count; s++) {
        const char *pair = NULL;
        struct berth_word_span *words = NULL;
        size_t word_count = 0;
        char *copy = NULL;
        BERTH_TRY(berth_strdup(&copy, e->window.lines[lines[s]]));
        cli_split_pair(copy, &pair);
        berth_status status = berth_data_add_text(&e->batch, e->m.tokenizer, e->max_length, copy, pair, NULL, 0,
                                                  (int32_t)s, &words, &word_count);
        free(words);
        free(copy);
        BERTH_TRY(status);
    }
    BERTH_TRY(berth_batch_finish(&e->batch));
    struct berth_tensor *out = NULL;
    berth_tape_reset(e->m.tape, false);
    BERTH_TRY(berth_model_embed(e->m.model, e->m.tape, &e->batch, e->pooling, &out));
    BERTH_TRY(berth_device_synchronize(e->m.device));
    const float *data = out->data;
    for (size_t s = 0; s < count; s++) {
        float *row = rows + (int64_t)lines[s] * hidden;
        BERTH_TRY(berth_device_download(e->m.device, row, data + (int64_t)s * hidden,
                                        (size_t)hidden * sizeof(float)));
        if (e->normalize) normalize_row(row, hidden);
    }
    return BERTH_OK;
}

static berth_status print_rows(struct embedder *e, const float *rows) {
    int64_t hidden = e->m.model->config.hidden;
    struct berth_str s;
    berth_str_init(&s);
    for (size_t i = 0; i < e->window.count; i++) {
        if (e->format == FORMAT_JSONL) {
            berth_str_add(&s, "{\"text\": ");
            cli_add_json_text(&s, e->window.lines[i], strlen(e->window.lines[i]));
            berth_str_add(&s, ", \"embedding\": [");
        }
        const char *between = e->format == FORMAT_JSONL ? ", " : "\t";
        for (int64_t k = 0; k < hidden; k++)
            berth_str_addf(&s, "%s%.6g", k ? between : "", (double)rows[(int64_t)i * hidden + k]);
        berth_str_add(&s, e->format == FORMAT_JSONL ? "]}\n" : "\n");
    }
    berth_status status = cli_out_str(&s);
    berth_str_deinit(&s);
    if (status == BERTH_OK) status = cli_out_flush();
    return status;
}

static berth_status run_window(struct embedder *e) {
    berth_status status = BERTH_OK;
    size_t *order = NULL;
    int64_t hidden = e->m.model->config.hidden;
    size_t before = e->format == FORMAT_HDF5 ? (size_t)e->count : 0;
    BERTH_TRY(
        berth_grow(&e->rows, &e->capacity, (before + e->window.count) * (size_t)hidden, sizeof e->rows[0]));
    float *rows = e->rows + before * (size_t)hidden;
    BERTH_TRY_OUT(cli_window_order(&e->window, &order));
    for (size_t first = 0; first < e->window.count; first += CLI_BATCH) {
        size_t left = e->window.count - first;
        BERTH_TRY_OUT(run_batch(e, order + first, left < CLI_BATCH ? left : CLI_BATCH, rows));
    }
    if (e->format != FORMAT_HDF5) BERTH_TRY_OUT(print_rows(e, rows));
    e->count += (int64_t)e->window.count;
out:
    free(order);
    return status;
}

static berth_status write_h5(const struct embedder *e, const char *path, const char *model) {
    struct berth_h5_writer *w = NULL;
    struct berth_str meta;
    berth_str_init(&meta);
    berth_str_add(&meta, "{\"model\": ");
    cli_add_json_text(&meta, model, strlen(model));
    berth_str_addf(&meta, ", \"pooling\": \"%s\", \"normalized\": %s}", berth_pooling_name(e->pooling),
                   e->normalize ? "true" : "false");
    int64_t dims[2] = {e->count, e->m.model->config.hidden};
    berth_status status = BERTH_OK;
    if (meta.failed) BERTH_FAIL_OUT(BERTH_E_MEMORY, "%s: out of memory", path);
    BERTH_TRY_OUT(berth_h5_create(&w, path, "embeddings", 1));
    BERTH_TRY_OUT(berth_h5_put(w, "embeddings", BERTH_H5_F32, 2, dims, e->rows));
    BERTH_TRY_OUT(berth_h5_put_text(w, "meta", meta.data));
    BERTH_TRY_OUT(berth_h5_commit(&w));
out:
    berth_h5_abort(&w);
    berth_str_deinit(&meta);
    return status;
}

static berth_status run(const struct cli_args *args) {
    berth_status status = BERTH_OK;
    int pooling = 0, format = 0;
    struct cli_lines in = {0};
    struct embedder e = {0};
    static const enum berth_pooling poolings[] = {BERTH_POOL_MEAN, BERTH_POOL_CLS, BERTH_POOL_POOLER};
    const char *path = cli_value(args, "out");
    berth_batch_init(&e.batch);
    BERTH_TRY_OUT(cli_choice(args, "pooling", "mean|cls|pooler", &pooling));
    BERTH_TRY_OUT(cli_choice(args, "format", "tsv|jsonl|hdf5", &format));
    e.pooling = poolings[pooling];
    e.format = (enum format)format;
    e.normalize = cli_flag(args, "normalize");
    if (e.format == FORMAT_HDF5 && !path)
        BERTH_FAIL_OUT(BERTH_E_USAGE, "embed: --format hdf5 needs --out FILE");
    if (e.format != FORMAT_HDF5 && path)
        BERTH_FAIL_OUT(BERTH_E_USAGE,
                       "embed: --out goes with --format hdf5; other formats go to standard output");
    BERTH_TRY_OUT(cli_lines_open(&in, args->positional_count > 1 ? args->positional[1] : NULL));
    BERTH_TRY_OUT(cli_model_open(&e.m, args->positional[0], "auto", NULL, 0));
    BERTH_TRY_OUT(cli_max_length(args, &e.m, &e.max_length));
    for (;;) {
        BERTH_TRY_OUT(cli_lines_window(&in, &e.window, CLI_WINDOW));
        if (e.window.count == 0) break;
        BERTH_TRY_OUT(run_window(&e));
    }
    if (e.count == 0) BERTH_FAIL_OUT(BERTH_E_FORMAT, "%s: no lines, nothing to embed", in.name);
    if (path) BERTH_TRY_OUT(write_h5(&e, path, args->positional[0]));
    cli_console_line("shape: (%lld, %lld)", (long long)e.count, (long long)e.m.model->config.hidden);
out:
    cli_lines_close(&in);
    embedder_deinit(&e);
    return status;
}

static const struct cli_option options[] = {
    {"pooling", "mean|cls|pooler", "mean over the tokens (default), the first token, or the pooler's output"},
    {"format", "tsv|jsonl|hdf5", "default tsv"},
    {"out", "FILE", "hdf5: the file to write"},
    {"normalize", NULL, "divide each embedding by its length"},
    {"max-length", "N", "tokens a line at most (default: the model's positions)"},
    {NULL, NULL, NULL},
};

const struct cli_command cli_embed = {
    .name = "embed",
    .usage = "MODEL [FILE|-] [--pooling mean|cls|pooler] [--format tsv|jsonl|hdf5]",
    .summary = "one fixed-size embedding for each line of text",
    .details = "Prints one embedding for each line of FILE (or standard input), in the same order, and at the "
               "end the shape\n"
               "of all of them on standard error: \"shape: (3, 384)\". A tab in a line separates the two texts "
               "of a pair.\n"
               "\n"
               "tsv: the numbers, separated by tabs. jsonl: {\"text\", \"embedding\"}. hdf5: dataset "
               "\"embeddings\" [N, H]\n"
               "of 32-bit floats in the file given by --out.",
    .options = options,
    .min_positional = 1,
    .max_positional = 2,
    .run = run,
};
