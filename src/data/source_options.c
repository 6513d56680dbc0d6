/* source_options.c: what the configuration says of a source's set of rows and of rows that are too long. */
#include "data/data_priv.h"

#include <string.h>

/* berth_config_fail at data.NAME.key. */
static berth_status fail_at(const struct source_spec *spec, const char *key, const char *fmt,
                            const char *text) {
    char path[160];
    snprintf(path, sizeof path, "data.%s.%s", spec->name, key);
    return berth_config_fail(spec->config, path, fmt, text);
}

static berth_status read_split(struct source_spec *spec) {
    const struct berth_config *c = spec->config;
    double dev = berth_config_number_f(c, "data.%s.split.dev", spec->name);
    double test = berth_config_number_f(c, "data.%s.split.test", spec->name);
    spec->split_given = dev > 0 || test > 0;
    if (!spec->split_given) return BERTH_OK;
    spec->split_share[BERTH_DEV] = dev;
    spec->split_share[BERTH_TEST] = test;
    if (dev + test >= 1)
        return fail_at(spec, "split", "the shares of dev and test leave no row for %s", "train");
    if (spec->path_count[BERTH_TRAIN] == 0)
        return fail_at(spec, "split", "there are no rows to split: the source has no key '%s'", "train");
    for (int split = BERTH_DEV; split < BERTH_SPLIT_COUNT; split++) {
        const char *name = berth_split_name((enum berth_split)split);
        if (spec->path_count[split] > 0 && spec->split_share[split] > 0)
            return fail_at(spec, "split",
                           "%s is a part of the train rows here and has paths of its own too; leave one out",
                           name);
        if (spec->path_count[split] > 0)
            return fail_at(spec, "split",
                           "a source's splits are parts of its train rows or have paths of their own, not "
                           "both: '%s' has paths",
                           name);
    }
    return BERTH_OK;
}

berth_status source_options_read(struct source_spec *spec) {
    const struct berth_config *c = spec->config;
    BERTH_TRY(read_split(spec));
    if (berth_config_has_f(c, "data.%s.limit", spec->name))
        spec->limit[BERTH_TRAIN] = berth_config_int_f(c, "data.%s.limit", spec->name);
    if (berth_config_has_f(c, "data.%s.limit_eval", spec->name))
        spec->limit[BERTH_DEV] = spec->limit[BERTH_TEST] =
            berth_config_int_f(c, "data.%s.limit_eval", spec->name);
    spec->seed = (uint64_t)berth_config_int(c, "seed");
    const char *overflow = berth_config_string_f(c, "data.%s.overflow", spec->name);
    spec->overflow = strcmp(overflow, "windows") == 0 ? OVERFLOW_WINDOWS
                     : strcmp(overflow, "error") == 0 ? OVERFLOW_ERROR
                                                      : OVERFLOW_CUT;
    spec->stride = berth_config_int_f(c, "data.%s.stride", spec->name);
    if (spec->overflow == OVERFLOW_WINDOWS && spec->stride > berth_config_int(c, "model.max_length") - 4)
        return fail_at(spec, "stride", "windows would share more than they hold; %s is at least 4 more",
                       "model.max_length");
    return BERTH_OK;
}

/* Whether a task of the kind reads text and pair as one sequence. */
static bool reads_joined(enum berth_task_kind kind) {
    return kind == BERTH_TASK_CLASSIFICATION || kind == BERTH_TASK_MULTILABEL || kind == BERTH_TASK_REGRESSION;
}

berth_status source_options_check(struct source_spec *spec, const struct specs *specs) {
    const struct label_spec *joined = NULL, *apart = NULL;
    for (size_t i = 0; i < spec->label_count; i++) {
        const struct label_spec *label = &spec->labels[i];
        if (label->kind == BERTH_TASK_SIMILARITY || label->kind == BERTH_TASK_CONTRASTIVE) apart = label;
        if (reads_joined(label->kind) && spec->has_pair) joined = label;
    }
    spec->separate = apart != NULL;
    if (joined && apart)
        return berth_config_fail(spec->config, apart->column.key,
                                 "source '%s': task '%s' (%s) reads text and text_pair as two sequences, task "
                                 "'%s' (%s) as one; name the "
                                 "files as two sources",
                                 spec->name, specs->tasks[apart->task].name, berth_task_kind_name(apart->kind),
                                 specs->tasks[joined->task].name, berth_task_kind_name(joined->kind));
    if (spec->separate && spec->overflow == OVERFLOW_WINDOWS)
        return fail_at(spec, "overflow", "windows are for rows of one sequence; task '%s' compares two",
                       specs->tasks[apart->task].name);
    return BERTH_OK;
}
