/* cmd_predict.c: `berth predict`: all heads' answers for each line of text, from one pass through the backbone.
 *
 * Lines are read in windows, put in order of length, run in batches of CLI_BATCH, and answered in the order
 * they came. A head's items carry the ordinals of their sequences, which are the lines' numbers in the batch.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/cli_priv.h"

struct predictor {
    struct cli_model m;
    struct cli_window window;
    struct cli_answer answers[CLI_WINDOW];
    size_t answer_count;
    struct berth_batch batch;
    struct berth_tensor **logits; /* [heads] */
    bool *wanted;                 /* [heads] */
    float *host;                  /* one head's outputs */
    size_t host_capacity;
    struct berth_answers said; /* of one head, all lines of a batch */
    int64_t max_length;
    int64_t batches, lines_cut;
    bool json;
};

static void answers_reset(struct predictor *p) {
    for (size_t i = 0; i < p->answer_count; i++) {
        for (int h = 0; p->answers[i].said && h < p->m.model->head_count; h++) {
            free(p->answers[i].said[h].label);
            free(p->answers[i].said[h].score);
            free(p->answers[i].said[h].scores);
            free(p->answers[i].said[h].tags);
        }
        free(p->answers[i].said);
        free(p->answers[i].words);
    }
    memset(p->answers, 0, sizeof p->answers);
    p->answer_count = 0;
}

static void predictor_deinit(struct predictor *p) {
    answers_reset(p);
    cli_window_deinit(&p->window);
    berth_batch_deinit(&p->batch);
    berth_answers_deinit(&p->said);
    free(p->logits);
    free(p->wanted);
    free(p->host);
    cli_model_close(&p->m);
}

/* Adds one line to the batch. */
static berth_status add_line(struct predictor *p, size_t line, int32_t ordinal) {
    struct cli_answer *a = &p->answers[line];
    size_t heads = (size_t)p->m.model->head_count;
    a->text = p->window.lines[line];
    cli_split_pair(p->window.lines[line], &a->pair);
    BERTH_TRY(berth_data_add_text(&p->batch, p->m.tokenizer, p->max_length, a->text, a->pair, p->m.tasks, heads,
                                  ordinal, &a->words, &a->word_count));
    BERTH_TRY(berth_calloc(&a->said, heads, sizeof a->said[0]));
    for (size_t w = 0; w < a->word_count; w++)
        a->words_cut += a->words[w].cut;
    return BERTH_OK;
}

static int32_t line_of(const struct predictor *p, int head, int64_t item) {
    int32_t at = p->batch.items[head].index[item];
    return berth_task_kind_pools(p->m.tasks[head].kind) ? p->batch.ordinal[at] : p->batch.row_ordinal[at];
}

/* A tag for each word: items stand in the order of the words that have a first piece. */
static berth_status read_tags(const struct berth_task *task, struct cli_answer *a, struct cli_said *said) {
    int64_t item = 0;
    BERTH_TRY(berth_calloc(&said->tags, a->word_count, sizeof said->tags[0]));
    for (size_t w = 0; w < a->word_count; w++) {
        bool has_item = a->words[w].token >= 0;
        BERTH_ASSERT_MSG(!has_item || item < said->count, "head %s: %lld items", task->name,
                         (long long)said->count);
        said->tags[w] = has_item ? task->labels.names[said->label[item++]] : "O";
    }
    return BERTH_OK;
}

/* Spreads a head's answers over the batch's lines. */
static berth_status read_head(struct predictor *p, int head, const size_t *lines, size_t count) {
    const int64_t items = p->batch.items[head].count, width = berth_head_width(p->m.model, head);
    if (items > 0) {
        const struct berth_tensor *outputs = p->logits[head];
        const size_t elements = (size_t)(outputs->shape[0] * outputs->shape[1]);
        BERTH_TRY(berth_grow(&p->host, &p->host_capacity, elements, sizeof p->host[0]));
        BERTH_TRY(
            berth_device_download(p->m.device, p->host, outputs->data, elements * sizeof p->host[0]));
        BERTH_TRY(berth_device_synchronize(p->m.device));
        BERTH_TRY(berth_model_answer(p->m.model, head, p->host, items, &p->batch, &p->said));
    }
    for (int64_t first = 0, end; first < items; first = end) {
        const int32_t line = line_of(p, head, first);
        for (end = first + 1; end < items && line_of(p, head, end) == line; end++) {
        }
        BERTH_ASSERT_MSG((size_t)line < count, "line %d of %zu", line, count);
        struct cli_said *said = &p->answers[lines[line]].said[head];
        const size_t n = (size_t)(end - first), m = n * (size_t)width;
        said->count = end - first;
        said->width = width;
        BERTH_TRY(berth_calloc(&said->label, n, sizeof said->label[0]));
        BERTH_TRY(berth_calloc(&said->score, n, sizeof said->score[0]));
        BERTH_TRY(berth_calloc(&said->scores, m, sizeof said->scores[0]));
        memcpy(said->label, p->said.label + first, n * sizeof said->label[0]);
        memcpy(said->score, p->said.score + first, n * sizeof said->score[0]);
        memcpy(said->scores, p->said.scores + first * width, m * sizeof said->scores[0]);
    }
    for (size_t s = 0; p->m.tasks[head].kind == BERTH_TASK_TAGGING && s < count; s++)
        BERTH_TRY(read_tags(&p->m.tasks[head], &p->answers[lines[s]], &p->answers[lines[s]].said[head]));
    return BERTH_OK;
}

static berth_status run_batch(struct predictor *p, const size_t *lines, size_t count) {
    int heads = p->m.model->head_count;
    BERTH_TRY(berth_batch_reset(&p->batch, heads));
    for (size_t s = 0; s < count; s++)
        BERTH_TRY(add_line(p, lines[s], (int32_t)s));
    BERTH_TRY(berth_batch_finish(&p->batch));
    struct berth_forward_options options = {.wanted = p->wanted};
    berth_tape_reset(p->m.tape, false);
    BERTH_TRY(berth_model_forward(p->m.model, p->m.tape, &p->batch, &options, p->logits));
    p->batches++;
    for (int i = 0; i < heads; i++)
        if (p->wanted[i]) BERTH_TRY(read_head(p, i, lines, count));
    return BERTH_OK;
}

static berth_status run_window(struct predictor *p) {
    berth_status status = BERTH_OK;
    size_t *order = NULL;
    struct berth_str s;
    berth_str_init(&s);
    answers_reset(p);
    p->answer_count = p->window.count;
    BERTH_TRY_OUT(cli_window_order(&p->window, &order));
    for (size_t first = 0; first < p->window.count; first += CLI_BATCH) {
        size_t left = p->window.count - first;
        BERTH_TRY_OUT(run_batch(p, order + first, left < CLI_BATCH ? left : CLI_BATCH));
    }
    for (size_t i = 0; i < p->window.count; i++) {
        p->lines_cut += p->answers[i].words_cut > 0;
        if (p->json)
            cli_answer_json(&s, &p->m, p->wanted, &p->answers[i]);
        else
            cli_answer_tsv(&s, &p->m, p->wanted, &p->answers[i]);
    }
    BERTH_TRY_OUT(cli_out_str(&s));
    BERTH_TRY_OUT(cli_out_flush());
out:
    berth_str_deinit(&s);
    free(order);
    return status;
}

/* --task NAME: that head alone; the batch still numbers tasks as the model does. */
static berth_status choose_task(struct predictor *p, const char *name) {
    int heads = p->m.model->head_count;
    BERTH_TRY(berth_calloc(&p->wanted, (size_t)heads, sizeof p->wanted[0]));
    BERTH_TRY(berth_calloc(&p->logits, (size_t)heads, sizeof p->logits[0]));
    for (int i = 0; i < heads; i++)
        p->wanted[i] = !name || strcmp(name, p->m.tasks[i].name) == 0;
    if (!name || berth_model_find_head(p->m.model, name) >= 0) return BERTH_OK;
    struct berth_str list;
    berth_str_init(&list);
    for (int i = 0; i < heads; i++)
        berth_str_addf(&list, "%s%s", i ? ", " : "", p->m.tasks[i].name);
    berth_status status = berth_error_set(BERTH_E_USAGE, __FILE__, __LINE__,
                                          "predict: --task %s: no such head; this model's heads: %s", name,
                                          list.length > 0 ? list.data : "");
    berth_str_deinit(&list);
    return status;
}

static berth_status run(const struct cli_args *args) {
    berth_status status = BERTH_OK;
    int json = 0;
    struct cli_lines in = {0};
    struct berth_str header;
    struct predictor *p = NULL;
    berth_str_init(&header);
    BERTH_TRY(berth_calloc(&p, 1, sizeof *p));
    berth_batch_init(&p->batch);
    BERTH_TRY_OUT(cli_choice(args, "format", "tsv|json", &json));
    p->json = json == 1;
    BERTH_TRY_OUT(cli_lines_open(&in, args->positional_count > 1 ? args->positional[1] : NULL));
    BERTH_TRY_OUT(cli_model_open(&p->m, args->positional[0], "auto", NULL, 0));
    if (p->m.model->head_count == 0)
        BERTH_FAIL_OUT(BERTH_E_USAGE, "%s: this model has no heads to predict with; `berth embed` needs none",
                       args->positional[0]);
    BERTH_TRY_OUT(cli_max_length(args, &p->m, &p->max_length));
    BERTH_TRY_OUT(choose_task(p, cli_value(args, "task")));
    if (cli_flag(args, "header") && !p->json) {
        cli_answer_header(&header, &p->m, p->wanted);
        BERTH_TRY_OUT(cli_out_str(&header));
    }
    for (;;) {
        BERTH_TRY_OUT(cli_lines_window(&in, &p->window, CLI_WINDOW));
        if (p->window.count == 0) break;
        BERTH_TRY_OUT(run_window(p));
    }
    if (p->lines_cut > 0)
        cli_console_line(
            "berth: warning: %lld lines were longer than %lld tokens: words behind the cut are tagged O",
            (long long)p->lines_cut, (long long)p->max_length);
    if (cli_flag(args, "count-passes"))
        cli_console_line("passes: %lld batches: %lld", (long long)p->m.model->backbone_passes,
                         (long long)p->batches);
out:
    berth_str_deinit(&header);
    cli_lines_close(&in);
    predictor_deinit(p);
    free(p);
    return status;
}

static const struct cli_option options[] = {
    {"task", "NAME", "one head alone (default: all)"},
    {"format", "tsv|json", "default tsv"},
    {"header", NULL, "tsv: a first line with the columns' names"},
    {"max-length", "N", "tokens a line at most (default: the model's positions)"},
    {"count-passes", NULL, "at the end, tell the passes through the backbone and the batches"},
    {NULL, NULL, NULL},
};

const struct cli_command cli_predict = {
    .name = "predict",
    .usage = "MODEL [FILE|-] [--task NAME] [--format tsv|json] [--header]",
    .summary = "all heads' answers for each line of text",
    .details = "Prints one line for each line of FILE (or standard input), in the same order, with the answers "
               "of all heads\n"
               "from one pass through the backbone. A tab in a line separates the two texts of a pair. MODEL "
               "is a model\n"
               "folder or a run folder (its best/).\n"
               "\n"
               "tsv: classification: its label and probability; tagging: the tags of the words (split at white\n"
               "space), joined by spaces; multilabel: the labels above the head's threshold, joined by commas;\n"
               "regression: the number; similarity and contrastive: the cosine of a pair; mlm: a token for each "
               "[MASK].\n"
               "json: {\"text\", \"heads\": {NAME: {\"label\", \"probability\"} or {\"tags\", \"entities\": "
               "[{\"type\",\n"
               "\"text\", \"start\", \"end\"}]} or {\"labels\", \"probabilities\"} or {\"value\"} or "
               "{\"similarity\"} or\n"
               "{\"tokens\", \"probabilities\"}}}; start and end count characters.",
    .options = options,
    .min_positional = 1,
    .max_positional = 2,
    .run = run,
};
