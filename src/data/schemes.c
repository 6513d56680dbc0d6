/* schemes.c: the tag scheme of a task, and what does not fit it, from the reports of its packs. */
#include "data/data_priv.h"

#include <string.h>

void split_log_report(const char *source, enum berth_split split, const struct read_report *report) {
    if (report->replaced.count > 0)
        berth_log(BERTH_LOG_WARN, "%s %s: %lld bad character%s replaced by U+FFFD (the first: %s)", source,
                  berth_split_name(split), (long long)report->replaced.count,
                  report->replaced.count == 1 ? " was" : "s were", report->replaced.first);
}

/* As the training rows of all its sources tell. */
static berth_status told_scheme(enum berth_tag_scheme *out, const struct berth_data *d,
                                const struct task_spec *task) {
    berth_status status = BERTH_OK;
    struct read_report all;
    BERTH_TRY_OUT(read_report_init(&all, 1));
    for (size_t i = 0; i < task->source_count; i++) {
        const struct data_source *source = &d->sources[task->sources[i].source];
        if (source->view.has[BERTH_TRAIN])
            BERTH_TRY_OUT(tag_census_merge(&all.tags[0],
                                           &source->packs[BERTH_TRAIN].report.tags[task->sources[i].label]));
    }
    *out = tag_census_scheme(&all.tags[0]);
out:
    read_report_deinit(&all);
    return status;
}

static void log_odd(const struct data_source *source, size_t label, const char *task,
                    enum berth_tag_scheme scheme) {
    for (int split = 0; split < BERTH_SPLIT_COUNT; split++) {
        const char *first = NULL;
        if (!source->view.has[split]) continue;
        int64_t odd = tag_census_odd(&source->packs[split].report.tags[label], scheme, &first);
        if (odd == 0) continue;
        berth_log(BERTH_LOG_WARN, "task '%s': %lld tag%s of %s %s %s not fit the scheme %s (the first: %s)",
                  task, (long long)odd, odd == 1 ? "" : "s", source->name,
                  berth_split_name((enum berth_split)split), odd == 1 ? "does" : "do",
                  berth_tag_scheme_name(scheme), first);
    }
}

berth_status task_scheme_in_files(enum berth_tag_scheme *out, const struct berth_data *d,
                                  const struct specs *specs, size_t task, const struct berth_task *given) {
    const struct task_spec *spec = &specs->tasks[task];
    /* the same for all sources: keys of the task */
    *out = specs->sources[spec->sources[0].source].labels[spec->sources[0].label].scheme;
    if (*out != BERTH_TAG_SCHEME_COUNT) return BERTH_OK;
    if (!given) return told_scheme(out, d, spec);
    *out = given->scheme;
    return BERTH_OK;
}

berth_status task_find_scheme(enum berth_tag_scheme *out, const struct berth_data *d, const struct specs *specs,
                              size_t task, const struct berth_task *given) {
    const struct task_spec *spec = &specs->tasks[task];
    *out = BERTH_TAGS_PLAIN;
    if (spec->kind != BERTH_TASK_TAGGING) return BERTH_OK;
    const struct label_spec *first = &specs->sources[spec->sources[0].source].labels[spec->sources[0].label];
    enum berth_tag_scheme in_files = BERTH_TAGS_PLAIN;
    BERTH_TRY(task_scheme_in_files(&in_files, d, specs, task, given));
    if (first->scheme == BERTH_TAG_SCHEME_COUNT && !given)
        berth_log(BERTH_LOG_INFO, "task '%s': the scheme of its tags is %s", spec->name,
                  berth_tag_scheme_name(in_files));
    for (size_t i = 0; i < spec->source_count; i++)
        log_odd(&d->sources[spec->sources[i].source], spec->sources[i].label, spec->name, in_files);
    *out = first->convert_to != BERTH_TAG_SCHEME_COUNT ? first->convert_to : in_files;
    if (given && first->convert_to == BERTH_TAG_SCHEME_COUNT && first->scheme == BERTH_TAG_SCHEME_COUNT)
        *out = given->scheme;
    return BERTH_OK;
}
