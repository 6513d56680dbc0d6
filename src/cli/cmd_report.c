/* cmd_report.c: `berth report`: a page about one run, or several side by side. */
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "cli/report_priv.h"

static berth_status run(const struct cli_args *args) {
    berth_status status = BERTH_OK;
    size_t count = (size_t)args->positional_count, read = 0;
    struct report_run *runs = NULL;
    char *path = NULL;
    struct berth_str page;
    berth_str_init(&page);
    if (cli_value(args, "out"))
        BERTH_TRY_OUT(berth_strdup(&path, cli_value(args, "out")));
    else if (count == 1)
        BERTH_TRY_OUT(berth_path_join(&path, args->positional[0], "report.html"));
    else
        BERTH_FAIL_OUT(BERTH_E_USAGE, "report: several runs need --out FILE for their common page");
    BERTH_TRY_OUT(berth_calloc(&runs, count, sizeof *runs));
    for (; read < count; read++)
        BERTH_TRY_OUT(report_read(&runs[read], args->positional[read]));
    BERTH_TRY_OUT(report_page(&page, runs, count));
    BERTH_TRY_OUT(berth_file_put(path, page.data, page.length));
    BERTH_TRY_OUT(cli_out_f("%s\n", path));
out:
    for (size_t i = 0; i < read; i++)
        report_run_deinit(&runs[i]);
    free(runs);
    free(path);
    berth_str_deinit(&page);
    return status;
}

static const struct cli_option options[] = {
    {"out", "FILE", "where to write the page (one run: RUN/report.html)"},
    {NULL, NULL, NULL},
};

const struct cli_command cli_report = {
    .name = "report",
    .usage = "RUN... [--out FILE]",
    .summary = "write a page (HTML) about a run, or several side by side",
    .details =
        "Writes one self-contained HTML page, which loads nothing from elsewhere: curves of each task's loss "
        "and\n"
        "metrics, learning rate, gradient norm, throughput; scores, confusion matrices and entities by type "
        "of\n"
        "the best step and of test; what was frozen; the plan and the configuration. Several runs share their\n"
        "charts. The path of the page goes to standard output. A run that is not over may be reported, too.",
    .options = options,
    .min_positional = 1,
    .max_positional = -1,
    .run = run,
};
