/* cmd_predict.c: `berth predict`: all heads' answers for each line of text, from one pass through the backbone.
 *
 * Lines are read in windows, put in order of length, run in batches of CLI_BATCH, and answered in the order
 * they came. Within a batch an item of a token-level head is a packed row; item_at[row] finds it again for each
 * word:
 *
 *     rows      [CLS] play jazz [SEP] [CLS] hello [SEP]
 *     item_at     -1    0    1   -1     -1    2    -1 */
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
    int32_t *item_at;             /* [T] of the batch at hand */
    size_t item_capacity;
    float *host; /* one head's logits */
    size_t host_capacity;
    int64_t max_length;
    int64_t batches, lines_cut;
    bool json;
};

static void answers_reset(struct predictor *p) {
    for (size_t i = 0; i < p->answer_count; i++) {
        free(p->answers[i].words);
        free(p->answers[i].best);
        free(p->answers[i].probability);
    }
    memset(p->answers, 0, sizeof p->answers);
    p->answer_count = 0;
}

static void predictor_deinit(struct predictor *p) {
    answers_reset(p);
    cli_window_deinit(&p->window);
    berth_batch_deinit(&p->batch);
    free(p->logits);
    free(p->wanted);
    free(p->item_at);
    free(p->host);
    cli_model_close(&p->m);
}

/* Adds one line to the batch and makes room for its answers. */
static berth_status add_line(struct predictor *p, size_t line, int32_t ordinal) {
    struct cli_answer *a = &p->answers[line];
    int heads = p->m.model->head_count;
    a->text = p->window.lines[line];
    cli_split_pair(p->window.lines[line], &a->pair);
    BERTH_TRY(berth_data_add_text(&p->batch, p->m.tokenizer, p->max_length, a->text, a->pair, p->m.tasks,
                                  (size_t)heads, ordinal, &a->words, &a->word_count));
    size_t slots = 0;
    for (int i = 0; i < heads; i++)
        slots += cli_answer_slots(&p->m, i, a);
    BERTH_TRY(berth_calloc(&a->best, slots, sizeof a->best[0]));
    BERTH_TRY(berth_calloc(&a->probability, slots, sizeof a->probability[0]));
    for (size_t i = 0; i < slots; i++)
        a->best[i] = -1;
    for (size_t w = 0; w < a->word_count; w++)
        a->words_cut += a->words[w].cut;
    return BERTH_OK;
}

/* Spreads a head's logits over the answers of the batch's lines. */
static berth_status read_head(struct predictor *p, int head, const size_t *lines, size_t count) {
    const struct berth_items *items = &p->batch.items[head];
    const struct berth_task *task = &p->m.tasks[head];
    int64_t classes = (int64_t)task->labels.count;
    size_t elements = (size_t)(items->count * classes);
    BERTH_TRY(berth_grow(&p->host, &p->host_capacity, elements, sizeof p->host[0]));
    BERTH_TRY(berth_device_download(p->m.device, p->host, p->logits[head]->data, elements * sizeof p->host[0]));
    bool tagging = task->kind == BERTH_TASK_TAGGING;
    int64_t places = tagging ? p->batch.tokens_count : p->batch.sequence_count;
    BERTH_TRY(berth_grow(&p->item_at, &p->item_capacity, (size_t)places, sizeof p->item_at[0]));
    for (int64_t i = 0; i < places; i++)
        p->item_at[i] = -1;
    for (int64_t i = 0; i < items->count; i++)
        p->item_at[items->index[i]] = (int32_t)i;
    for (size_t s = 0; s < count; s++) {
        struct cli_answer *a = &p->answers[lines[s]];
        size_t at = 0;
        for (int i = 0; i < head; i++)
            at += cli_answer_slots(&p->m, i, a);
        for (size_t k = 0; k < cli_answer_slots(&p->m, head, a); k++) {
            if (tagging && a->words[k].token < 0) continue;
            int64_t place = tagging ? p->batch.cu_seqlens[s] + a->words[k].token : (int64_t)s;
            int32_t item = p->item_at[place];
            BERTH_ASSERT_MSG(item >= 0, "head %s: no item at %lld", task->name, (long long)place);
            berth_argmax_softmax(p->host + (int64_t)item * classes, classes, &a->best[at + k],
                                 &a->probability[at + k]);
        }
    }
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
    BERTH_TRY(berth_device_synchronize(p->m.device));
    p->batches++;
    for (int i = 0; i < heads; i++)
        if (p->wanted[i] && p->logits[i] && p->batch.items[i].count > 0)
            BERTH_TRY(read_head(p, i, lines, count));
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
               "tsv: for a classification head its label and probability, for a tagging head the tags of the "
               "words (split\n"
               "at white space), joined by spaces. json: {\"text\", \"heads\": {NAME: {\"label\", "
               "\"probability\"} or\n"
               "{\"tags\", \"entities\": [{\"type\", \"text\", \"start\", \"end\"}]}}}; start and end count "
               "characters.",
    .options = options,
    .min_positional = 1,
    .max_positional = 2,
    .run = run,
};
