/* fuzz_config.c: any text as a YAML configuration, and as an override. What is taken can be written out, and
 * what was written out is taken again and gives the same. */
#include "berth/config.h"
#include "fuzz/support_fuzz.h"

static void check_written(const struct berth_config *c) {
    struct berth_config *again = NULL;
    char *text = NULL, *twice = NULL;
    FUZZ_SETUP(berth_config_dump(&text, c, false));
    FUZZ_SETUP(berth_config_parse(&again, "written.yaml", text, strlen(text), NULL, 0));
    FUZZ_SETUP(berth_config_dump(&twice, again, false));
    FUZZ_CHECK(strcmp(text, twice) == 0);
    berth_config_free(again);
    free(text);
    free(twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char base[] = "output: o\nmodel: {backbone: b}\ndata: {s: {format: tsv, train: t, text: x}}\n"
                               "tasks: {a: {type: classification, source: s, label: l}}\n";
    struct berth_config *c = NULL;
    if (fuzz_answer_lines(berth_config_parse(&c, "x.yaml", (const char *)data, size, NULL, 0)) == BERTH_OK)
        check_written(c);
    berth_config_free(c);
    if (memchr(data, 0, size) != NULL) return 0;
    char *text = NULL;
    FUZZ_SETUP(berth_strndup(&text, (const char *)data, size));
    const char *overrides[] = {text};
    c = NULL;
    if (fuzz_answer_lines(berth_config_parse(&c, "base.yaml", base, sizeof base - 1, overrides, 1)) == BERTH_OK)
        check_written(c);
    berth_config_free(c);
    free(text);
    return 0;
}
