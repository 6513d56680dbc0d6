/* fuzz_json.c: a document is refused in one line, or every question about it is answered. */
#include "berth/json.h"
#include "fuzz/support_fuzz.h"

static void ask(const struct berth_json *j, const char *path) {
    int64_t whole = 0;
    double number = 0;
    bool truth = false;
    const char *text = NULL;
    (void)berth_json_has(j, path);
    if (fuzz_answer(berth_json_int(&whole, j, path, -5, 5)) == BERTH_OK) FUZZ_CHECK(whole >= -5 && whole <= 5);
    fuzz_answer(berth_json_number(&number, j, path));
    fuzz_answer(berth_json_bool_or(&truth, j, path, true));
    if (fuzz_answer(berth_json_string(&text, j, path)) == BERTH_OK) FUZZ_CHECK(text != NULL);
    size_t count = berth_json_count(j, path);
    for (size_t i = 0; i < count && i < 4; i++) {
        const char *key = berth_json_key(j, path, i);
        if (key != NULL && path[0] == '\0' && key[0] != '\0') ask(j, key);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct berth_json *j = NULL;
    if (fuzz_answer(berth_json_parse(&j, "x.json", (const char *)data, size)) == BERTH_OK) {
        ask(j, "");
        ask(j, "a.b[0]");
        ask(j, "[0].a");
    } else {
        FUZZ_CHECK(j == NULL);
    }
    berth_json_free(j);
    return 0;
}
