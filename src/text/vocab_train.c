/* vocab_train.c: a WordPiece vocabulary by byte-pair merges (Sennrich et al., arXiv 1508.07909), as the
 * reference's WordPiece trainer does it.
 *
 * Every word is a row of symbols: its first character, then "##c" for each later one; characters outside the
 * alphabet are left out. The most frequent pair of neighbouring symbols becomes a symbol of its own, again and
 * again, until the vocabulary is full or no pair is frequent enough.
 *
 *     order of ids: special tokens | alphabet by code point | "##" alphabet by code point | merges
 *
 * A word is what the tokenizer would cut: normalised, split at white space and punctuation. Words are read in
 * the order of their bytes, so nothing depends on the order of the texts. */
#include <stdlib.h>
#include <string.h>

#include "text/unicode_tables.h"
#include "text/vocab_priv.h"

struct row {        /* a word */
    size_t first;   /* into symbols */
    int32_t length; /* shrinks by merging */
    int64_t count;
};

struct berth_vocab {
    struct berth_vocab_options options;
    char *temp; /* owned */
    struct vocab_memory memory;
    struct berth_tokenizer *cutter; /* without a vocabulary: it only cuts words */
    struct berth_encoding work;
    struct text_map words; /* counted since the last spill */
    struct vocab_runs runs;
    /* training */
    struct text_map vocab; /* symbols: text, value unused */
    struct vocab_array rows;
    size_t row_count;
    struct vocab_array symbols; /* int32: the rows', back to back */
    struct vocab_pairs pairs;
};

/* ------------------------------------------------------------------ counting */

berth_status berth_vocab_create(struct berth_vocab **out, const struct berth_vocab_options *options) {
    berth_status status = BERTH_OK;
    struct berth_vocab *v = NULL;
    *out = NULL;
    if (options->size < 1 || options->size > INT32_MAX / 2)
        BERTH_FAIL(BERTH_E_USAGE, "vocabulary size %lld, expected 1 to 2^30", (long long)options->size);
    BERTH_TRY(berth_calloc(&v, 1, sizeof *v));
    v->options = *options;
    v->memory.limit = options->memory;
    berth_encoding_init(&v->work);
    text_map_init(&v->words);
    text_map_init(&v->vocab);
    vocab_runs_init(&v->runs);
    vocab_array_init(&v->rows, sizeof(struct row));
    vocab_array_init(&v->symbols, sizeof(int32_t));
    vocab_pairs_init(&v->pairs, &v->memory, &v->vocab);
    struct berth_tokenizer_options cut = tokenizer_default_options();
    cut.lowercase = options->lowercase;
    BERTH_TRY_OUT(berth_strdup(&v->temp, options->temp != NULL ? options->temp : "berth-vocab"));
    v->memory.temp = v->temp;
    BERTH_TRY_OUT(berth_calloc(&v->cutter, 1, sizeof *v->cutter));
    tokenizer_set_options(v->cutter, &cut);
    *out = v;
    v = NULL;
out:
    berth_vocab_free(v);
    return status;
}

void berth_vocab_free(struct berth_vocab *v) {
    if (v == NULL) return;
    vocab_pairs_deinit(&v->pairs);
    vocab_array_deinit(&v->memory, &v->rows);
    vocab_array_deinit(&v->memory, &v->symbols);
    vocab_runs_deinit(&v->runs);
    text_map_deinit(&v->vocab);
    text_map_deinit(&v->words);
    berth_encoding_deinit(&v->work);
    free(v->cutter);
    free(v->temp);
    free(v);
}

/* Half the budget is the map's: growing it needs the old one and the new. */
static berth_status count_word(void *user, const char *word, size_t size) {
    struct berth_vocab *v = user;
    size_t index = 0;
    if (v->memory.limit > 0 && v->words.count > 0 && text_map_bytes(&v->words) > v->memory.limit / 2)
        BERTH_TRY(vocab_runs_spill(&v->runs, &v->memory, &v->words));
    BERTH_TRY(text_map_at(&v->words, word, size, &index));
    v->words.entries[index].value++;
    return BERTH_OK;
}

berth_status berth_vocab_add(struct berth_vocab *v, const char *text, size_t size) {
    return pretokenize_words(v->cutter, &v->work, text, size, count_word, v);
}

struct berth_vocab_spilled berth_vocab_spilled(const struct berth_vocab *v) {
    return (struct berth_vocab_spilled){.files = v->memory.files,
                                        .runs = (int64_t)v->runs.count,
                                        .passes = v->runs.passes,
                                        .bytes = v->runs.size};
}

/* Words from the map where all fit into it, else from the one merged run. */
static void read_words(const struct berth_vocab *v, struct vocab_reader *r) {
    if (v->runs.count > 0)
        vocab_reader_run(r, v->runs.fd, v->runs.list[0]);
    else
        vocab_reader_map(r, &v->words);
}

static berth_status end_counting(struct berth_vocab *v) {
    if (v->runs.count == 0) {
        text_map_sort(&v->words);
        return BERTH_OK;
    }
    if (v->words.count > 0) BERTH_TRY(vocab_runs_spill(&v->runs, &v->memory, &v->words));
    return vocab_runs_merge(&v->runs, &v->memory);
}

/* ------------------------------------------------------------------ alphabet */

struct letter {
    uint32_t code;
    int64_t count;
    bool later; /* stands somewhere behind the first place of a word */
};

static int by_count(const void *a, const void *b) {
    const struct letter *x = a, *y = b;
    if (x->count != y->count) return x->count < y->count ? 1 : -1;
    return (x->code > y->code) - (x->code < y->code);
}

static int by_code(const void *a, const void *b) {
    const struct letter *x = a, *y = b;
    return (x->code > y->code) - (x->code < y->code);
}

/* Letters of all words, the `limit` most frequent, by code point. *out is owned by the caller. */
static berth_status find_alphabet(const struct berth_vocab *v, size_t limit, struct letter **out,
                                  size_t *out_count) {
    berth_status status = BERTH_OK;
    struct letter *all = NULL;
    struct vocab_reader reader;
    struct vocab_word w;
    size_t count = 0;
    read_words(v, &reader);
    BERTH_TRY_OUT(berth_calloc(&all, 0x110000, sizeof *all));
    for (bool more = true;;) {
        BERTH_TRY_OUT(vocab_reader_next(&reader, &w, &more));
        if (!more) break;
        for (size_t at = 0, length = 0; at < w.size; at += length) {
            bool valid = false;
            uint32_t code = berth_utf8_decode(w.text + at, w.size - at, &length, &valid);
            all[code].code = code;
            all[code].count += w.count;
            all[code].later |= at > 0;
        }
    }
    for (size_t c = 0; c < 0x110000; c++)
        if (all[c].count > 0) all[count++] = all[c];
    qsort(all, count, sizeof *all, by_count);
    if (count > limit) count = limit;
    qsort(all, count, sizeof *all, by_code);
    *out = all;
    *out_count = count;
    all = NULL;
out:
    free(all);
    vocab_reader_deinit(&reader);
    return status;
}

static berth_status add_symbol(struct berth_vocab *v, const char *prefix, const char *text, size_t size,
                               int32_t *out) {
    struct berth_str name;
    size_t index = 0;
    berth_str_init(&name);
    berth_str_add(&name, prefix);
    berth_str_addn(&name, text, size);
    berth_status status = name.failed ? berth_error_set(BERTH_E_MEMORY, __FILE__, __LINE__, "out of memory")
                                      : text_map_at(&v->vocab, name.data, name.length, &index);
    berth_str_deinit(&name);
    *out = (int32_t)index;
    return status;
}

/* Special tokens, the alphabet, the alphabet behind "##". first_of/later_of [0x110000] receive symbols + 1. */
static berth_status add_alphabet(struct berth_vocab *v, const struct letter *letters, size_t count,
                                 int32_t *first_of, int32_t *later_of) {
    int32_t symbol = 0;
    char bytes[4];
    for (int i = 0; i < SPECIAL_COUNT; i++)
        BERTH_TRY(add_symbol(v, "", special_default_names[i], strlen(special_default_names[i]), &symbol));
    for (size_t i = 0; i < count; i++) {
        BERTH_TRY(add_symbol(v, "", bytes, berth_utf8_encode(bytes, letters[i].code), &symbol));
        first_of[letters[i].code] = symbol + 1;
    }
    for (size_t i = 0; i < count; i++) {
        if (!letters[i].later) continue;
        BERTH_TRY(add_symbol(v, "##", bytes, berth_utf8_encode(bytes, letters[i].code), &symbol));
        later_of[letters[i].code] = symbol + 1;
    }
    return BERTH_OK;
}

/* ------------------------------------------------------------------ rows */

/* The word's symbols behind those of the words before; words of one symbol have nothing to merge and are left
 * out. */
static berth_status add_row(struct berth_vocab *v, const struct vocab_word *w, const int32_t *first_of,
                            const int32_t *later_of, size_t *used) {
    BERTH_TRY(vocab_array_grow(&v->memory, &v->symbols, *used + w->size));
    int32_t *symbols = v->symbols.data;
    size_t first = *used;
    for (size_t at = 0, length = 0; at < w->size; at += length) {
        bool valid = false;
        uint32_t code = berth_utf8_decode(w->text + at, w->size - at, &length, &valid);
        int32_t symbol = (at == 0 ? first_of : later_of)[code];
        if (symbol > 0) symbols[(*used)++] = symbol - 1;
    }
    if (*used - first < 2) {
        *used = first;
        return BERTH_OK;
    }
    if (v->row_count >= INT32_MAX) BERTH_FAIL(BERTH_E_MEMORY, "more than 2^31 distinct words");
    BERTH_TRY(vocab_array_grow(&v->memory, &v->rows, v->row_count + 1));
    struct row *row = (struct row *)v->rows.data + v->row_count;
    *row = (struct row){.first = first, .length = (int32_t)(*used - first), .count = w->count};
    for (int32_t k = 0; k + 1 < row->length; k++) {
        int32_t pair = 0;
        BERTH_TRY(vocab_pair_at(&v->pairs, symbols[first + (size_t)k], symbols[first + (size_t)k + 1], &pair));
        BERTH_TRY(vocab_pair_raise(&v->pairs, pair, row->count, (int32_t)v->row_count));
    }
    v->row_count++;
    return BERTH_OK;
}

static berth_status add_rows(struct berth_vocab *v, const int32_t *first_of, const int32_t *later_of) {
    berth_status status = BERTH_OK;
    struct vocab_reader reader;
    struct vocab_word w;
    size_t used = 0;
    read_words(v, &reader);
    for (bool more = true;;) {
        BERTH_TRY_OUT(vocab_reader_next(&reader, &w, &more));
        if (!more) break;
        BERTH_TRY_OUT(add_row(v, &w, first_of, later_of, &used));
    }
    BERTH_TRY_OUT(vocab_pairs_settle(&v->pairs));
out:
    vocab_reader_deinit(&reader);
    return status;
}

/* ------------------------------------------------------------------ merging */

/* Counts of the row's pairs fall by its count (they come back where they still stand). */
static berth_status lower_row(struct berth_vocab *v, const struct row *row, const int32_t *s) {
    for (int32_t k = 0; k + 1 < row->length; k++) {
        int32_t pair = 0;
        BERTH_TRY(vocab_pair_at(&v->pairs, s[k], s[k + 1], &pair));
        vocab_pair_of(&v->pairs, pair)->count -= row->count;
    }
    return BERTH_OK;
}

static berth_status merge_row(struct berth_vocab *v, int32_t word, int32_t left, int32_t right, int32_t made) {
    struct row *row = (struct row *)v->rows.data + word;
    int32_t *s = (int32_t *)v->symbols.data + row->first, kept = 0;
    bool there = false;
    for (int32_t k = 0; k + 1 < row->length && !there; k++)
        there = s[k] == left && s[k + 1] == right;
    if (!there) return BERTH_OK;
    BERTH_TRY(lower_row(v, row, s));
    for (int32_t k = 0; k < row->length; k++) {
        bool here = s[k] == left && k + 1 < row->length && s[k + 1] == right;
        s[kept++] = here ? made : s[k];
        k += here;
    }
    row->length = kept;
    for (int32_t k = 0; k + 1 < kept; k++) {
        int32_t pair = 0;
        BERTH_TRY(vocab_pair_at(&v->pairs, s[k], s[k + 1], &pair));
        if (s[k] == made || s[k + 1] == made) {
            BERTH_TRY(vocab_pair_raise(&v->pairs, pair, row->count, word));
        } else {
            vocab_pair_of(&v->pairs, pair)->count += row->count;
        }
    }
    return BERTH_OK;
}

static berth_status merge_pair(struct berth_vocab *v, int32_t index) {
    struct vocab_pair pair = *vocab_pair_of(&v->pairs, index);
    const char *right = v->vocab.entries[pair.right].text;
    if (strncmp(right, "##", 2) == 0) right += 2;
    int32_t made = 0;
    BERTH_TRY(add_symbol(v, v->vocab.entries[pair.left].text, right, strlen(right), &made));
    for (int64_t chunk = vocab_pair_take_words(&v->pairs, index); chunk >= 0;
         chunk = vocab_chunk_free(&v->pairs, chunk)) {
        int32_t count = vocab_chunk_count(&v->pairs, chunk);
        for (int32_t i = 0; i < count; i++)
            BERTH_TRY(merge_row(v, vocab_chunk_word(&v->pairs, chunk, i), pair.left, pair.right, made));
    }
    return vocab_pairs_settle(&v->pairs);
}

/* ------------------------------------------------------------------ the whole */

static berth_status start(struct berth_vocab *v) {
    berth_status status = BERTH_OK;
    struct letter *letters = NULL;
    int32_t *first_of = NULL, *later_of = NULL;
    size_t count = 0;
    size_t limit = (size_t)(v->options.alphabet_limit > 0 ? v->options.alphabet_limit : 1000);
    BERTH_TRY_OUT(find_alphabet(v, limit, &letters, &count));
    if (count == 0) BERTH_FAIL_OUT(BERTH_E_FORMAT, "no words to train a vocabulary from");
    BERTH_TRY_OUT(berth_calloc(&first_of, 0x110000, sizeof *first_of));
    BERTH_TRY_OUT(berth_calloc(&later_of, 0x110000, sizeof *later_of));
    BERTH_TRY_OUT(add_alphabet(v, letters, count, first_of, later_of));
    if (v->vocab.count > (size_t)v->options.size)
        BERTH_FAIL_OUT(BERTH_E_USAGE,
                       "vocabulary size %lld is too small: special tokens and an alphabet of %zu characters "
                       "already need %zu; raise the size or lower the alphabet's limit",
                       (long long)v->options.size, count, v->vocab.count);
    BERTH_TRY_OUT(add_rows(v, first_of, later_of));
out:
    free(letters);
    free(first_of);
    free(later_of);
    return status;
}

static berth_status make_tokenizer(struct berth_tokenizer **out, const struct text_map *vocab, bool lowercase) {
    berth_status status = BERTH_OK;
    struct tokenizer_parts parts;
    tokenizer_parts_init(&parts);
    parts.options.lowercase = lowercase;
    for (size_t i = 0; i < vocab->count; i++)
        BERTH_TRY_OUT(tokenizer_parts_add_token(&parts, vocab->entries[i].text, vocab->entries[i].size));
    BERTH_TRY_OUT(tokenizer_create(out, &parts, "trained vocabulary"));
out:
    tokenizer_parts_deinit(&parts);
    return status;
}

berth_status berth_vocab_finish(struct berth_vocab *v, struct berth_tokenizer **out) {
    int64_t min_frequency = v->options.min_frequency > 0 ? v->options.min_frequency : 2;
    BERTH_ASSERT(v->vocab.count == 0); /* once */
    BERTH_TRY(end_counting(v));
    int64_t held = text_map_bytes(&v->words); /* until rows of symbols have taken its place */
    v->memory.used += held;
    berth_status status = start(v);
    v->memory.used -= held;
    text_map_deinit(&v->words);
    text_map_init(&v->words);
    BERTH_TRY(status);
    while (v->vocab.count < (size_t)v->options.size) {
        int32_t pair = 0;
        bool found = false;
        BERTH_TRY(vocab_pairs_best(&v->pairs, &pair, &found));
        if (!found || vocab_pair_of(&v->pairs, pair)->count < min_frequency) break;
        BERTH_TRY(merge_pair(v, pair));
    }
    return make_tokenizer(out, &v->vocab, v->options.lowercase);
}
