/* cmd_embed.c: `berth embed`: one fixed-size embedding a row of text, and the shape of all of them.
 *
 * Rows are read in windows, put in order of length, run in batches of CLI_BATCH, and written in the order they
 * came. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/embed_priv.h"

struct embedder {
    struct cli_model m;
    struct cli_texts in;
    struct cli_rows window;
    struct embed_sink sink;
    struct berth_batch batch;
    struct berth_row_limits limits;
    float *rows; /* [window, H] */
    size_t capacity, window_rows;
    int64_t rows_cut;
};

static void embedder_deinit(struct embedder *e) {
    embed_sink_deinit(&e->sink);
    cli_rows_deinit(&e->window);
    berth_batch_deinit(&e->batch);
    free(e->rows);
    cli_texts_close(&e->in);
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

/* Embeds the rows list[0..count) into their places of e->rows. */
static berth_status run_batch(struct embedder *e, struct cli_row *const *list, size_t count) {
    const int64_t hidden = e->sink.width;
    struct berth_tensor *out = NULL;
    BERTH_TRY(berth_batch_reset(&e->batch, 0));
    for (size_t s = 0; s < count; s++) {
        struct berth_added_row added;
        berth_status status = berth_data_add_long_row(&e->batch, e->m.tokenizer, &e->limits, &list[s]->row,
                                                      NULL, 0, (int32_t)s, &added);
        if (status == BERTH_E_FORMAT)
            return berth_error_context(status, "%s:%lld", e->in.name, (long long)list[s]->row.line);
        BERTH_TRY(status);
        free(added.words);
        e->rows_cut += added.cut;
    }
    BERTH_TRY(berth_batch_finish(&e->batch));
    berth_tape_reset(e->m.tape, false);
    BERTH_TRY(berth_model_embed(e->m.model, e->m.tape, &e->batch, e->sink.pooling, &out));
    BERTH_TRY(berth_device_synchronize(e->m.device));
    const float *data = out->data;
    for (size_t s = 0; s < count; s++) {
        float *row = e->rows + (list[s] - e->window.rows) * hidden;
        BERTH_TRY(berth_device_download(e->m.device, row, data + (int64_t)s * hidden,
                                        (size_t)hidden * sizeof(float)));
        if (e->sink.normalized) normalize_row(row, hidden);
    }
    return BERTH_OK;
}

static berth_status run_window(struct embedder *e) {
    const struct cli_rows *w = &e->window;
    BERTH_TRY(cli_rows_order(&e->window));
    BERTH_TRY(berth_grow(&e->rows, &e->capacity, w->count * (size_t)e->sink.width, sizeof e->rows[0]));
    for (size_t first = 0; first < w->count; first += CLI_BATCH) {
        const size_t left = w->count - first;
        BERTH_TRY(run_batch(e, w->order + first, left < CLI_BATCH ? left : CLI_BATCH));
    }
    return embed_sink_add(&e->sink, w, e->rows);
}

static berth_status read_options(struct embedder *e, const struct cli_args *args) {
    static const enum berth_pooling poolings[] = {BERTH_POOL_MEAN, BERTH_POOL_CLS, BERTH_POOL_POOLER};
    struct embed_sink *s = &e->sink;
    int pooling = 0, format = 0;
    int64_t rows = CLI_WINDOW_ROWS;
    BERTH_TRY(cli_choice(args, "pooling", "mean|cls|pooler", &pooling));
    BERTH_TRY(cli_choice(args, "format", "tsv|jsonl|hdf5|npy", &format));
    BERTH_TRY(cli_int(args, "window", 1, 1000000, &rows));
    e->window_rows = (size_t)rows;
    s->pooling = poolings[pooling];
    s->format = (enum embed_format)format;
    s->normalized = cli_flag(args, "normalize");
    s->path = cli_value(args, "out");
    s->model = args->positional[0];
    const bool to_file = s->format == EMBED_HDF5 || s->format == EMBED_NPY;
    if (to_file && !s->path)
        BERTH_FAIL(BERTH_E_USAGE, "embed: --format %s needs --out FILE", cli_value(args, "format"));
    if (!to_file && s->path)
        BERTH_FAIL(BERTH_E_USAGE,
                   "embed: --out goes with --format hdf5 and npy; other formats go to standard output");
    if (s->format == EMBED_NPY && cli_value(args, "keep"))
        BERTH_FAIL(BERTH_E_USAGE,
                   "embed: --keep: a npy file holds one array and nothing else; hdf5 has room for ids");
    return BERTH_OK;
}

/* Without --pooling: as the files of sentence-transformers in the folder say, where it has them. */
static berth_status take_settings(struct embedder *e, const struct cli_args *args) {
    struct berth_sentence_settings s;
    char *folder = NULL;
    if (cli_value(args, "pooling") != NULL) return BERTH_OK;
    BERTH_TRY(cli_model_folder(&folder, args->positional[0]));
    berth_status status = berth_model_sentence_settings(&s, folder);
    free(folder);
    if (status == BERTH_E_UNSUPPORTED)
        return berth_error_context(status, "embed: give --pooling to embed with the backbone alone");
    BERTH_TRY(status);
    if (!s.found) return BERTH_OK;
    e->sink.pooling = s.pooling;
    e->sink.normalized = e->sink.normalized || s.normalize;
    if (s.max_length >= 3 && s.max_length < e->limits.max_length && cli_value(args, "max-length") == NULL)
        e->limits.max_length = s.max_length;
    cli_console_line("berth: note: the folder's modules.json: pooling %s%s, %lld tokens at most",
                     berth_pooling_name(s.pooling), s.normalize ? ", normalized" : "",
                     (long long)e->limits.max_length);
    return BERTH_OK;
}

static berth_status open_all(struct embedder *e, const struct cli_args *args) {
    BERTH_TRY(read_options(e, args));
    BERTH_TRY(cli_texts_open(&e->in, args, args->positional_count > 1 ? args->positional[1] : NULL, true));
    if (e->in.keep_count > 1) BERTH_FAIL(BERTH_E_USAGE, "embed: --keep: one column, which is the row's id");
    BERTH_TRY(cli_model_open(&e->m, args->positional[0], cli_device(args), NULL, 0));
    BERTH_TRY(cli_precision(args, &e->m));
    BERTH_TRY(cli_max_length(args, &e->m, &e->limits.max_length));
    BERTH_TRY(take_settings(e, args));
    e->sink.width = e->m.model->config.hidden;
    e->sink.with_ids = e->in.keep_count > 0;
    return embed_sink_open(&e->sink);
}

static berth_status run(const struct cli_args *args) {
    berth_status status = BERTH_OK;
    struct embedder e = {.sink = {.rows_fd = -1, .ids_fd = -1}};
    berth_batch_init(&e.batch);
    BERTH_TRY_OUT(open_all(&e, args));
    for (;;) {
        BERTH_TRY_OUT(cli_texts_window(&e.in, &e.window, e.window_rows, CLI_WINDOW_BYTES));
        if (e.window.count == 0) break;
        BERTH_TRY_OUT(run_window(&e));
    }
    if (e.sink.count == 0) BERTH_FAIL_OUT(BERTH_E_FORMAT, "%s: no lines, nothing to embed", e.in.name);
    BERTH_TRY_OUT(embed_sink_finish(&e.sink));
    if (e.rows_cut > 0)
        cli_console_line("berth: warning: %lld lines were longer than %lld tokens and were cut",
                         (long long)e.rows_cut, (long long)e.limits.max_length);
    cli_console_line("shape: (%lld, %lld)", (long long)e.sink.count, (long long)e.sink.width);
out:
    embedder_deinit(&e);
    return status;
}

static const struct cli_option options[] = {
    {"pooling", "mean|cls|pooler",
     "mean over the tokens, the first token, or the pooler's output (default: modules.json's way, else mean)"},
    {"normalize", NULL, "divide each embedding by its length"},
    {"format", "tsv|jsonl|hdf5|npy", "default tsv"},
    {"out", "FILE", "hdf5, npy: the file to write"},
    {"keep", "COLUMN", "a column of the input that is written with each embedding, as its id"},
    CLI_TEXT_OPTIONS("text, where a tab parts a pair", "replace"),
    {"max-length", "N", "tokens a line at most (default: the model's positions)"},
    {"window", "N", "lines that are read ahead and put in order of length (default 4096)"},
    CLI_DEVICE_OPTION,
    CLI_PRECISION_OPTION,
    {NULL, NULL, NULL},
};

const struct cli_command cli_embed = {
    .name = "embed",
    .usage = "MODEL [FILE|-] [--pooling mean|cls|pooler] [--format tsv|jsonl|hdf5|npy] [--input FORMAT] [...]",
    .summary = "one fixed-size embedding for each line of text",
    .details =
        "Prints one embedding for each line of FILE (or standard input), in the same order, and at the end the "
        "shape\n"
        "of all of them on standard error: \"shape: (3, 384)\". Without --input a line is a text, and a tab in "
        "it\n"
        "separates the two texts of a pair. Any length of input: memory holds some thousand lines at a time.\n"
        "A folder of sentence-transformers (modules.json) says pooling, normalization and length itself; "
        "--pooling\n"
        "sets that aside.\n"
        "\n"
        "tsv: [the id,] the numbers, separated by tabs. jsonl: {\"id\", \"text\", \"embedding\"}. hdf5: "
        "dataset\n"
        "\"embeddings\" [N, H] of 32-bit floats in the file given by --out, and \"ids\": the bytes of all ids, "
        "a line\n"
        "each. npy: the same array for numpy.load.",
    .options = options,
    .min_positional = 1,
    .max_positional = 2,
    .run = run,
};
