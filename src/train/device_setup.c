/* device_setup.c: what a run asks of its device beyond operations: an implementation of attention, and that
 * algorithms chosen once are chosen again when it resumes.
 *
 *     checkpoint   device/choices    the text of berth_device_choices, where there is one
 *     run folder   choices.txt       the same, as of the last checkpoint */
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "train/train_priv.h"

/* ---- attention: own|cudnn|auto */

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* The largest batches: a row is up to three sequences (pairs with a negative), a sequence at least three
 * tokens. */
static void largest_batches(struct berth_attention_use *use, const struct berth_model *m,
                            const struct berth_config *c) {
    enum { LEAST_TOKENS = 3 };
    int64_t a_row = 3;
    for (int i = 0; i < m->head_count; i++)
        if (m->heads[i].task.kind == BERTH_TASK_MLM) a_row += 3;
    const int64_t parts = berth_config_int(c, "train.accumulate"),
                  evaluated = berth_config_int(c, "evaluate.batch_size");
    int64_t rows = evaluated, budget = 0;
    if (berth_config_has(c, "train.batch_tokens")) {
        budget = berth_config_int(c, "train.batch_tokens") / parts + use->max_length;
        use->max_sequences = budget / LEAST_TOKENS;
    } else {
        rows = most(rows, (berth_config_int(c, "train.batch_size") + parts - 1) / parts);
    }
    use->max_sequences = most(use->max_sequences, rows * a_row);
    use->max_tokens = most(budget, rows * a_row * use->max_length);
}

berth_status berth_attention_from_config(struct berth_model *m, const struct berth_config *c, bool training) {
    char *reason = NULL;
    const char *kind = berth_config_string(c, "attention");
    struct berth_attention_use use = {
        .kind = strcmp(kind, "own") == 0     ? BERTH_ATTENTION_OWN
                : strcmp(kind, "cudnn") == 0 ? BERTH_ATTENTION_CUDNN
                                             : BERTH_ATTENTION_AUTO,
        .dtype = m->half != NULL ? BERTH_BF16 : BERTH_F32,
        .heads = m->config.heads,
        .head_size = m->config.hidden / m->config.heads,
        .max_length = least(m->config.positions, berth_config_int(c, "model.max_length")),
        .dropout = (double)m->config.attention_dropout,
        .training = training,
    };
    largest_batches(&use, m, c);
    if (training && berth_config_bool(c, "graphs")) berth_graph_filled(&use.max_tokens, &use.max_sequences);
    berth_status status = berth_device_set_attention(m->device, &use);
    if (status != BERTH_E_UNSUPPORTED && status != BERTH_E_USAGE) return status;
    BERTH_TRY(berth_strdup(&reason, berth_error_text()));
    status = berth_config_fail(c, "attention", "%s", reason);
    free(reason);
    return status;
}

/* ---- graphs */

berth_status device_graphs(struct berth_trainer *t) {
    struct plan_sizes sizes;
    struct berth_attention_use use = {
        .max_length = least(t->model->config.positions, berth_config_int(t->config, "model.max_length"))};
    if (!berth_config_bool(t->config, "graphs")) return BERTH_OK;
    if (!berth_device_has_graphs(t->device))
        return berth_config_fail(t->config, "graphs", "device %s has no graphs; NVIDIA GPUs have",
                                 t->device->backend->name);
    BERTH_TRY(plan_sizes_estimate(&sizes, t));
    largest_batches(&use, t->model, t->config);
    int64_t filled = sizes.tokens, sequences = use.max_sequences;
    berth_graph_filled(&filled, &sequences);
    const struct berth_graph_limits limits = {
        .max_tokens = sizes.tokens,
        .max_sequences = use.max_sequences,
        .max_length = use.max_length,
        .bytes = (size_t)(1.5 * (double)sizes.step * (double)filled / (double)most(sizes.tokens, 1))};
    return berth_model_graphs_create(&t->graphs, t->model, &limits);
}

/* ---- choices of algorithms */

/* Where the text changed since the last checkpoint, the run folder's file follows. */
static berth_status keep_in_folder(struct berth_trainer *t, char **text) {
    berth_status status = BERTH_OK;
    char *path = NULL;
    if (t->choices != NULL && strcmp(t->choices, *text) == 0) return BERTH_OK;
    BERTH_TRY_OUT(berth_path_join(&path, t->folder.path, "choices.txt"));
    BERTH_TRY_OUT(berth_file_put(path, *text, strlen(*text)));
    free(t->choices);
    t->choices = *text;
    *text = NULL;
out:
    free(path);
    return status;
}

static berth_status take_choices(struct berth_trainer *t, struct checkpoint_pieces *p) {
    berth_status status = BERTH_OK;
    char *text = NULL;
    struct berth_str s;
    berth_str_init(&s);
    BERTH_TRY_OUT(berth_device_choices(t->device, &s));
    if (s.length == 0) goto out;
    BERTH_TRY_OUT(berth_str_take(&s, &text));
    BERTH_TRY_OUT(checkpoint_piece_text(p, "choices", &text));
    BERTH_TRY_OUT(keep_in_folder(t, &text));
out:
    berth_str_deinit(&s);
    free(text);
    return status;
}

/* Another machine is refused by `deterministic: strict` before (checkpoint_state.c); here it is told what that
 * means. */
static berth_status give_choices(struct berth_trainer *t, struct checkpoint_pieces *p) {
    berth_status status = BERTH_OK;
    bool used = false;
    char *text = NULL;
    BERTH_TRY_OUT(checkpoint_piece_text(p, "choices", &text));
    if (text == NULL) goto out;
    BERTH_TRY_OUT(berth_device_restore_choices(t->device, text, &used));
    if (used) goto out;
    if (strcmp(berth_config_string(t->config, "deterministic"), "strict") == 0)
        BERTH_FAIL_OUT(BERTH_E_USAGE,
                       "the checkpoint's choices of algorithms are those of '%.*s', which this device is not: "
                       "deterministic: strict refuses",
                       (int)strcspn(text, "\n"), text);
    record_note(
        t,
        "the checkpoint's choices of algorithms (%.*s) are not this device's: it chooses anew, bits may differ",
        (int)strcspn(text, "\n"), text);
out:
    free(text);
    return status;
}

static berth_status choices_pieces(void *user, struct checkpoint_pieces *p) {
    return checkpoint_pieces_restoring(p) ? give_choices(user, p) : take_choices(user, p);
}

berth_status device_part_add(struct berth_trainer *t) {
    return checkpoint_add_part(
        t, &(struct checkpoint_part){.name = "device", .user = t, .pieces = choices_pieces});
}
