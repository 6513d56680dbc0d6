/* vocab_words.c: how often each word stands in the training files, and the map from text to number under it.
 *
 * Files are read line by line; memory holds the distinct words only. A word is what the tokenizer would cut:
 * normalised, split at white space and punctuation. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "text/vocab_priv.h"

void text_map_init(struct text_map *m) {
    *m = (struct text_map){0};
    berth_arena_init(&m->arena);
}

void text_map_deinit(struct text_map *m) {
    free(m->entries);
    free(m->slots);
    berth_arena_deinit(&m->arena);
}

static berth_status enlarge(struct text_map *m) {
    size_t slot_count = m->slot_count == 0 ? 1024 : m->slot_count * 2;
    int32_t *slots = NULL;
    if (slot_count > INT32_MAX) BERTH_FAIL(BERTH_E_MEMORY, "more than 2^30 distinct words");
    BERTH_TRY(berth_calloc(&slots, slot_count, sizeof *slots));
    for (size_t i = 0; i < m->count; i++) {
        size_t at = m->entries[i].hash & (slot_count - 1);
        while (slots[at] != 0)
            at = (at + 1) & (slot_count - 1);
        slots[at] = (int32_t)i + 1;
    }
    free(m->slots);
    m->slots = slots;
    m->slot_count = slot_count;
    return BERTH_OK;
}

berth_status text_map_at(struct text_map *m, const char *text, size_t size, size_t *out_index) {
    if ((m->count + 1) * 2 > m->slot_count) BERTH_TRY(enlarge(m));
    uint64_t hash = berth_hash(text, size).low;
    size_t at = hash & (m->slot_count - 1);
    for (; m->slots[at] != 0; at = (at + 1) & (m->slot_count - 1)) {
        const struct text_entry *e = &m->entries[m->slots[at] - 1];
        if (e->hash == hash && e->size == size && memcmp(e->text, text, size) == 0) {
            *out_index = (size_t)m->slots[at] - 1;
            return BERTH_OK;
        }
    }
    BERTH_TRY(berth_grow(&m->entries, &m->capacity, m->count + 1, sizeof *m->entries));
    struct text_entry *e = &m->entries[m->count];
    *e = (struct text_entry){.hash = hash, .size = size};
    BERTH_TRY(berth_arena_strndup(&m->arena, &e->text, text, size));
    m->slots[at] = (int32_t)++m->count;
    *out_index = m->count - 1;
    return BERTH_OK;
}

static berth_status count_word(void *user, const char *word, size_t size) {
    struct text_map *words = user;
    size_t index = 0;
    BERTH_TRY(text_map_at(words, word, size, &index));
    words->entries[index].value++;
    return BERTH_OK;
}

static berth_status count_file(struct text_map *words, const struct berth_tokenizer *cutter,
                               struct berth_encoding *work, const char *path) {
    berth_status status = BERTH_OK;
    char *line = NULL;
    size_t capacity = 0;
    int64_t number = 0;
    FILE *file = fopen(path, "rb");
    if (file == NULL) BERTH_FAIL_OUT(BERTH_E_IO, "%s: %s", path, strerror(errno));
    for (;;) {
        errno = 0;
        ssize_t length = getline(&line, &capacity, file);
        if (length < 0) break;
        number++;
        status = pretokenize_words(cutter, work, line, (size_t)length, count_word, words);
        if (status != BERTH_OK) {
            berth_error_context(status, "%s:%lld", path, (long long)number);
            goto out;
        }
    }
    if (errno == ENOMEM) BERTH_FAIL_OUT(BERTH_E_MEMORY, "%s:%lld: out of memory", path, (long long)number + 1);
    if (ferror(file)) BERTH_FAIL_OUT(BERTH_E_IO, "%s: %s", path, strerror(errno));
out:
    free(line);
    if (file != NULL) fclose(file);
    return status;
}

static int by_text(const void *a, const void *b) {
    const struct text_entry *x = a, *y = b;
    return strcmp(x->text, y->text);
}

berth_status vocab_count_words(struct text_map *words, const char *const *files, size_t file_count,
                               bool lowercase) {
    berth_status status = BERTH_OK;
    struct berth_tokenizer *cutter = NULL; /* a vocabulary-less tokenizer: it only cuts words */
    struct berth_encoding work;
    berth_encoding_init(&work);
    struct berth_tokenizer_options options = tokenizer_default_options();
    options.lowercase = lowercase;
    BERTH_TRY_OUT(berth_calloc(&cutter, 1, sizeof *cutter));
    tokenizer_set_options(cutter, &options);
    for (size_t i = 0; i < file_count; i++)
        BERTH_TRY_OUT(count_file(words, cutter, &work, files[i]));
    /* By text, so that nothing later depends on the order of the files. The slots are of no use any more. */
    if (words->count > 0) qsort(words->entries, words->count, sizeof *words->entries, by_text);
    free(words->slots);
    words->slots = NULL;
    words->slot_count = 0;
out:
    free(cutter);
    berth_encoding_deinit(&work);
    return status;
}
