/* fuzz_tokenizer_json.c: any text as a tokenizer.json: refused in one line, or a tokenizer whose ids lie within
 * its vocabulary and which can be saved. */
#include "fuzz/support_fuzz.h"
#include "text/text_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char text[] =
        "Hello h\303\251llo WORLD new mask <tel> [SEP]\xff e2e  <b> \344\270\255\346\226\207 abc";
    struct tokenizer_parts parts;
    struct berth_tokenizer *t = NULL;
    tokenizer_parts_init(&parts);
    if (fuzz_answer(tokenizer_json_read(&parts, "tokenizer.json", (const char *)data, size)) == BERTH_OK &&
        fuzz_answer(tokenizer_create(&t, &parts, "tokenizer.json")) == BERTH_OK) {
        struct berth_encoding e;
        struct berth_str back;
        berth_encoding_init(&e);
        berth_str_init(&back);
        FUZZ_SETUP(berth_tokenizer_encode(t, &e, text, sizeof text - 1));
        for (size_t i = 0; i < e.count; i++) {
            FUZZ_CHECK(e.ids[i] >= 0 && (size_t)e.ids[i] < berth_tokenizer_size(t));
            FUZZ_CHECK(e.start[i] >= 0 && e.start[i] <= e.end[i] && (size_t)e.end[i] <= sizeof text - 1);
        }
        FUZZ_SETUP(berth_tokenizer_decode(t, &back, e.ids, e.count, true));
        berth_str_deinit(&back);
        berth_encoding_deinit(&e);
    }
    berth_tokenizer_free(t);
    tokenizer_parts_deinit(&parts);
    return 0;
}
