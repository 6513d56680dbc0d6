/* pack_key.c: what a packed file depends on, as text and as a digest.
 *
 * The key is the digest of the settings' text and of each source file's size and XXH3-128: a changed byte, word
 * list or setting is another pack, and a pack once made is never changed. The settings' text also stands in the
 * file's meta, where it can be read. */
#include "data/data_priv.h"

#include <string.h>

static void add_rows(struct berth_str *s, const struct source_spec *spec, enum berth_split split) {
    static const char *const overflows[] = {"cut", "error", "windows"};
    berth_str_addf(s, ",\"overflow\":\"%s\"", overflows[spec->overflow]);
    if (spec->overflow == OVERFLOW_WINDOWS) berth_str_addf(s, ",\"stride\":%lld", (long long)spec->stride);
    bool drawn = false;
    if (spec->split_given) {
        berth_str_addf(s, ",\"split_shares\":[%.17g,%.17g]", spec->split_share[BERTH_DEV],
                       spec->split_share[BERTH_TEST]);
        drawn = true;
    }
    if (spec->limit[split] > 0) {
        berth_str_addf(s, ",\"limit\":%lld", (long long)spec->limit[split]);
        drawn = true;
    }
    if (drawn) berth_str_addf(s, ",\"seed\":%llu", (unsigned long long)spec->seed);
}

berth_status pack_settings(struct berth_str *s, const struct source_spec *spec, enum berth_split split,
                           const struct berth_tokenizer *t, int64_t max_length) {
    char hex[33];
    berth_hash_hex(berth_tokenizer_digest(t), hex);
    berth_str_addf(s, "\"layout\":%d,\"tokenizer\":\"%s\",\"max_length\":%lld,\"separate\":%s,", PACK_VERSION,
                   hex, (long long)max_length, spec->separate ? "true" : "false");
    spec_add_settings(s, spec);
    add_rows(s, spec, split);
    if (s->failed) BERTH_FAIL(BERTH_E_MEMORY, "out of memory");
    return BERTH_OK;
}

berth_status pack_key(char out[33], struct source_files *files, const struct source_spec *spec,
                      enum berth_split split, const struct berth_tokenizer *t, int64_t max_length) {
    berth_status status = BERTH_OK;
    struct berth_hasher *hasher = NULL;
    struct berth_str s;
    berth_str_init(&s);
    BERTH_TRY_OUT(pack_settings(&s, spec, split, t, max_length));
    if (spec->split_given) berth_str_addf(&s, ",\"part\":\"%s\"", berth_split_name(split));
    if (s.failed) BERTH_FAIL_OUT(BERTH_E_MEMORY, "out of memory");
    BERTH_TRY_OUT(berth_hasher_create(&hasher));
    berth_hasher_add(hasher, s.data, s.length);
    for (size_t i = 0; i < files->count; i++) {
        uint64_t size = files->list[i].map.size;
        files->digest[i] = berth_hash(files->list[i].map.data, files->list[i].map.size);
        berth_hasher_add(hasher, &size, sizeof size);
        berth_hasher_add(hasher, &files->digest[i], sizeof files->digest[i]);
    }
    berth_hash_hex(berth_hasher_end(hasher), out);
out:
    berth_str_deinit(&s);
    return status;
}
