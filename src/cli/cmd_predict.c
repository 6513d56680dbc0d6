/* cmd_predict.c: `berth predict`: all heads' answers for each row of text, from one pass through the backbone.
 *
 * Rows are read in windows, put in order of length, run in batches of CLI_BATCH, and answered in the order they
 * came: each answer is a text that waits for its turn. Memory holds one window and its answers, however long
 * the input is. */
#include <stdlib.h>
#include <string.h>

#include "cli/predict_priv.h"

enum format { FORMAT_TSV, FORMAT_JSON, FORMAT_CONLL };
enum overflow_choice { OVERFLOW_OF_CUT, OVERFLOW_OF_WINDOWS, OVERFLOW_OF_ERROR };

struct predictor {
    struct cli_model m;
    struct cli_texts in;
    struct cli_rows window;
    size_t window_rows;
    struct predict_batch batch;
    struct predict_style style;
    enum format format;
    enum overflow_choice overflow;
    struct berth_str *answers; /* [answer_count] of the window's rows */
    size_t answer_count, answer_capacity;
    size_t order_count; /* of the window's order: rows without an answer */
    enum predict_column columns[CLI_MOST_KEPT];
    int64_t rows_cut;
};

static void answers_reset(struct predictor *p) {
    for (size_t i = 0; i < p->answer_count; i++)
        berth_str_deinit(&p->answers[i]);
    p->answer_count = 0;
}

static void predictor_deinit(struct predictor *p) {
    answers_reset(p);
    free(p->answers);
    cli_rows_deinit(&p->window);
    predict_batch_deinit(&p->batch);
    cli_texts_close(&p->in);
    cli_model_close(&p->m);
}

static berth_status answer_row(struct predictor *p, const struct predict_row *r) {
    struct berth_str *out = &p->answers[r->row - p->window.rows];
    if (r->added.cut && p->overflow == OVERFLOW_OF_ERROR)
        BERTH_FAIL(BERTH_E_FORMAT,
                   "%s:%lld: found a text of %lld tokens, expected at most %lld (--overflow error)", p->in.name,
                   (long long)r->row->row.line, (long long)r->added.tokens,
                   (long long)p->batch.limits.max_length);
    p->rows_cut += r->added.cut;
    if (p->format == FORMAT_JSON)
        predict_json(out, &p->style, r);
    else if (p->format == FORMAT_CONLL)
        predict_conll(out, &p->style, r);
    else
        predict_tsv(out, &p->style, r);
    return BERTH_OK;
}

/* Which kept columns stand beside the words in CoNLL: those that are lists, told by the first row that has a
 * value. */
static void tell_columns(struct predictor *p) {
    for (size_t c = 0; c < p->in.keep_count; c++) {
        for (size_t i = 0; i < p->window.count && p->columns[c] == PREDICT_COLUMN_UNKNOWN; i++) {
            const char *text = p->window.rows[i].row.labels[c];
            if (text) p->columns[c] = strchr(text, BERTH_LIST_END) ? PREDICT_COLUMN_WORDS : PREDICT_COLUMN_TEXT;
        }
        if (p->columns[c] == PREDICT_COLUMN_UNKNOWN) p->columns[c] = PREDICT_COLUMN_TEXT;
    }
}

/* The rows of the window before `end` that have no answer yet, in the order of work. */
static size_t rows_left(struct predictor *p, size_t end) {
    struct cli_rows *w = &p->window;
    size_t kept = 0;
    for (size_t i = 0; i < p->order_count; i++) {
        const size_t at = (size_t)(w->order[i] - w->rows);
        if (at < end && p->answers[at].length == 0 && !p->answers[at].failed) w->order[kept++] = w->order[i];
    }
    return p->order_count = kept;
}

/* One batch. *failed is the row that a mistake is about. */
static berth_status answer_batch(struct predictor *p, size_t left, const struct cli_row **failed) {
    size_t used = 0;
    berth_status status = predict_batch_run(&p->batch, p->window.order, left, &used);
    if (status == BERTH_E_FORMAT && p->batch.row_count > 0) {
        *failed = p->batch.rows[p->batch.row_count - 1].row;
        return berth_error_context(status, "%s:%lld", p->in.name, (long long)(*failed)->row.line);
    }
    for (size_t i = 0; status == BERTH_OK && i < p->batch.row_count; i++) {
        *failed = p->batch.rows[i].row;
        status = answer_row(p, &p->batch.rows[i]);
    }
    return status;
}

static berth_status print_answers(struct predictor *p, size_t end) {
    for (size_t i = 0; i < end; i++)
        BERTH_TRY(cli_out_str(&p->answers[i]));
    answers_reset(p);
    return cli_out_flush();
}

/* A row that cannot be answered ends the run behind the answers of the rows before it. */
static berth_status run_window(struct predictor *p) {
    struct cli_rows *w = &p->window;
    berth_status failure = BERTH_OK;
    char text[2048] = "";
    size_t end = w->count;
    tell_columns(p);
    BERTH_TRY(cli_rows_order(w));
    BERTH_TRY(berth_grow(&p->answers, &p->answer_capacity, w->count, sizeof p->answers[0]));
    for (; p->answer_count < w->count; p->answer_count++)
        berth_str_init(&p->answers[p->answer_count]);
    p->order_count = w->count;
    for (size_t left; (left = rows_left(p, end)) > 0;) {
        const struct cli_row *failed = NULL;
        berth_status status = answer_batch(p, left, &failed);
        if (status != BERTH_OK && (status != BERTH_E_FORMAT || !failed)) return status;
        if (status == BERTH_OK) continue;
        failure = status;
        snprintf(text, sizeof text, "%s", berth_error_text());
        end = (size_t)(failed - w->rows);
    }
    BERTH_TRY(print_answers(p, end));
    return failure == BERTH_OK ? BERTH_OK : berth_error_set(failure, __FILE__, __LINE__, "%s", text);
}

/* ---- options */

static berth_status fail_task(const struct predictor *p, const char *name, size_t size) {
    struct berth_str list;
    berth_str_init(&list);
    for (int i = 0; i < p->m.model->head_count; i++)
        berth_str_addf(&list, "%s%s", i ? ", " : "", p->m.tasks[i].name);
    berth_status status = berth_error_set(BERTH_E_USAGE, __FILE__, __LINE__,
                                          "predict: --task %.*s: no such head; this model's heads: %s",
                                          (int)size, name, list.length > 0 ? list.data : "");
    berth_str_deinit(&list);
    return status;
}

/* --task NAME,...: these heads alone; the batch still numbers tasks as the model does. */
static berth_status choose_tasks(struct predictor *p, const char *names) {
    const int heads = p->m.model->head_count;
    for (int i = 0; i < heads && !names; i++)
        p->batch.wanted[i] = true;
    while (names && *names) {
        const size_t n = strcspn(names, ",");
        bool found = false;
        for (int i = 0; i < heads; i++) {
            if (strlen(p->m.tasks[i].name) != n || memcmp(p->m.tasks[i].name, names, n) != 0) continue;
            p->batch.wanted[i] = found = true;
        }
        if (!found) return fail_task(p, names, n);
        names += n + (names[n] == ',');
    }
    return BERTH_OK;
}

static berth_status check_conll(const struct predictor *p) {
    for (int i = 0; i < p->m.model->head_count; i++)
        if (p->batch.wanted[i] && p->m.tasks[i].kind == BERTH_TASK_TAGGING) return BERTH_OK;
    BERTH_FAIL(BERTH_E_USAGE,
               "predict: --format conll prints a word a line, and none of the heads asked tags words");
}

/* A kept column that is called as a head, or as one of its columns, would make two of one name. */
static berth_status check_names(const struct predictor *p) {
    for (size_t c = 0; c < p->in.keep_count; c++) {
        for (int i = 0; i < p->m.model->head_count; i++) {
            const char *head = p->m.tasks[i].name, *name = p->in.keep[c];
            const size_t n = strlen(head);
            if (!p->batch.wanted[i] || strncmp(name, head, n) != 0 || (name[n] != '\0' && name[n] != '.'))
                continue;
            BERTH_FAIL(
                BERTH_E_USAGE,
                "predict: --keep %s: a head is called '%s', and two columns would have one name; leave one of "
                "them out (--task), or take --format json, where kept columns stand apart",
                name, head);
        }
    }
    return BERTH_OK;
}

static berth_status read_limits(struct predictor *p, const struct cli_args *args) {
    struct berth_row_limits *l = &p->batch.limits;
    int overflow = 0;
    int64_t rows = CLI_WINDOW_ROWS;
    BERTH_TRY(cli_max_length(args, &p->m, &l->max_length));
    BERTH_TRY(cli_choice(args, "overflow", "cut|windows|error", &overflow));
    p->overflow = (enum overflow_choice)overflow;
    l->windows = p->overflow == OVERFLOW_OF_WINDOWS;
    l->stride = 16 < l->max_length - 3 ? 16 : l->max_length - 3; /* as the key data.NAME.stride */
    l->max_windows = 256;
    if (cli_value(args, "stride") && !l->windows)
        BERTH_FAIL(BERTH_E_USAGE, "predict: --stride goes with --overflow windows");
    BERTH_TRY(cli_int(args, "stride", 0, l->max_length - 3, &l->stride));
    BERTH_TRY(cli_int(args, "window", 1, 1000000, &rows));
    p->window_rows = (size_t)rows;
    return BERTH_OK;
}

static berth_status open_all(struct predictor *p, const struct cli_args *args) {
    int format = 0;
    BERTH_TRY(cli_choice(args, "format", "tsv|json|conll", &format));
    p->format = (enum format)format;
    if (cli_flag(args, "header") && p->format != FORMAT_TSV)
        BERTH_FAIL(BERTH_E_USAGE, "predict: --header goes with --format tsv");
    BERTH_TRY(cli_texts_open(&p->in, args, args->positional_count > 1 ? args->positional[1] : NULL, true));
    BERTH_TRY(cli_model_open(&p->m, args->positional[0], cli_device(args), NULL, 0));
    if (p->m.model->head_count == 0)
        BERTH_FAIL(BERTH_E_USAGE, "%s: this model has no heads to predict with; `berth embed` needs none",
                   args->positional[0]);
    BERTH_TRY(cli_precision(args, &p->m));
    BERTH_TRY(predict_batch_init(&p->batch, &p->m));
    BERTH_TRY(read_limits(p, args));
    BERTH_TRY(choose_tasks(p, cli_value(args, "task")));
    if (p->format == FORMAT_CONLL) BERTH_TRY(check_conll(p));
    if (p->format == FORMAT_CONLL || cli_flag(args, "header")) BERTH_TRY(check_names(p));
    p->style = (struct predict_style){.m = &p->m,
                                      .wanted = p->batch.wanted,
                                      .keep = p->in.keep,
                                      .keep_count = p->in.keep_count,
                                      .columns = p->columns,
                                      .all = cli_flag(args, "probabilities")};
    return BERTH_OK;
}

static berth_status run(const struct cli_args *args) {
    berth_status status = BERTH_OK;
    struct predictor p = {0};
    struct berth_str header;
    berth_str_init(&header);
    BERTH_TRY_OUT(open_all(&p, args));
    if (cli_flag(args, "header")) {
        predict_tsv_header(&header, &p.style);
        BERTH_TRY_OUT(cli_out_str(&header));
    }
    for (;;) {
        BERTH_TRY_OUT(cli_texts_window(&p.in, &p.window, p.window_rows, CLI_WINDOW_BYTES));
        if (p.window.count == 0) break;
        BERTH_TRY_OUT(run_window(&p));
    }
    if (p.rows_cut > 0)
        cli_console_line(
            "berth: warning: %lld lines were longer than %lld tokens: what is behind the cut was not "
            "read, its words are tagged O (--overflow windows reads all)",
            (long long)p.rows_cut, (long long)p.batch.limits.max_length);
    if (cli_flag(args, "count-passes"))
        cli_console_line("passes: %lld batches: %lld", (long long)p.m.model->backbone_passes,
                         (long long)p.batch.batches);
out:
    berth_str_deinit(&header);
    predictor_deinit(&p);
    return status;
}

static const struct cli_option options[] = {
    {"task", "NAME[,NAME]", "these heads alone (default: all)"},
    {"format", "tsv|json|conll", "what is printed (default tsv)"},
    {"header", NULL, "tsv: a first line with the columns' names"},
    {"probabilities", NULL, "the probabilities of all classes, and of each word's tag"},
    {"keep", "COLUMN[,COLUMN]", "columns of the input that are printed with the answers, in front of them"},
    CLI_TEXT_OPTIONS("text, where a tab parts a pair", "replace"),
    {"max-length", "N", "tokens a line at most (default: the model's positions)"},
    {"overflow", "cut|windows|error", "longer lines: cut (default), read in windows, or an error"},
    {"stride", "N", "windows: tokens that neighbours share (default 16)"},
    {"window", "N", "lines that are read ahead and put in order of length (default 4096)"},
    CLI_DEVICE_OPTION,
    CLI_PRECISION_OPTION,
    {"count-passes", NULL, "at the end, tell the passes through the backbone and the batches"},
    {NULL, NULL, NULL},
};

const struct cli_command cli_predict = {
    .name = "predict",
    .usage = "MODEL [FILE|-] [--task NAME] [--format tsv|json|conll] [--input FORMAT] [...]",
    .summary = "all heads' answers for each line of text",
    .details =
        "Prints one line for each line of FILE (or standard input), in the same order, with the answers of all "
        "heads\n"
        "from one pass through the backbone. MODEL is a model folder or a run folder (its best/). Without "
        "--input a\n"
        "line is a text, and a tab in it separates the two texts of a pair; files compressed by gzip or zstd "
        "are read\n"
        "as they are. Any length of input: memory holds some thousand lines at a time.\n"
        "\n"
        "tsv: classification: its label and probability; tagging: the tags of the words (split at white\n"
        "space), joined by spaces; multilabel: the labels above the head's threshold, joined by commas;\n"
        "regression: the number; similarity and contrastive: the cosine of a pair; mlm: a token for each "
        "[MASK].\n"
        "json: {\"text\", \"heads\": {NAME: {\"label\", \"probability\"} or {\"tags\", \"entities\": "
        "[{\"type\",\n"
        "\"text\", \"start\", \"end\"}]} or {\"labels\", \"probabilities\"} or {\"value\"} or {\"similarity\"} "
        "or\n"
        "{\"tokens\", \"probabilities\"}}}; start and end count characters; kept columns stand in "
        "\"columns\".\n"
        "conll: a word a line, its tags behind tabs; sentence-level answers as lines \"# NAME: answer\" "
        "before.\n"
        "\n"
        "With --overflow windows a line longer than --max-length is read in windows: sentence-level heads "
        "decide by\n"
        "the mean of the windows' outputs, each word is tagged in the window that shows most of what is round "
        "it.",
    .options = options,
    .min_positional = 1,
    .max_positional = 2,
    .run = run,
};
