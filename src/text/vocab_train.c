/* vocab_train.c: a WordPiece vocabulary by byte-pair merges (Sennrich et al., arXiv 1508.07909), as the
 * reference's WordPiece trainer does it.
 *
 * Every word is a row of symbols: its first character, then "##c" for each later one; characters outside the
 * alphabet are left out. The most frequent pair of neighbouring symbols becomes a symbol of its own, again and
 * again, until the vocabulary is full or no pair is frequent enough.
 *
 *     order of ids: special tokens | alphabet by code point | "##" alphabet by code point | merges
 *
 * Pairs know the words they stand in, and a heap holds them by count. An entry whose count is no longer true is
 * put back with the true one when it comes up (counts mostly fall). Equal counts: the pair whose first, then
 * second piece comes earlier bytewise, so the result depends on nothing but the text. */
#include <stdlib.h>
#include <string.h>

#include "text/unicode_tables.h"
#include "text/vocab_priv.h"

struct pair {
    int32_t left, right; /* symbols: indices of the vocabulary */
    int64_t count;
    int32_t *words; /* where it was ever made; may be out of date, may repeat */
    size_t word_count, word_capacity;
    int64_t touched; /* number of the last merge that raised it */
};

struct row {        /* a word */
    size_t first;   /* into symbols */
    int32_t length; /* shrinks by merging */
    int64_t count;
};

struct heap_entry {
    int64_t count;
    int32_t pair;
};

struct trainer {
    struct text_map vocab; /* symbols: text, value unused */
    struct row *rows;
    size_t row_count;
    int32_t *symbols;
    struct pair *pairs;
    size_t pair_count, pair_capacity;
    int32_t *slots; /* pair + 1 by hash of (left, right) */
    size_t slot_count;
    struct heap_entry *heap;
    size_t heap_count, heap_capacity;
    int32_t *raised; /* pairs raised by the present merge */
    size_t raised_count, raised_capacity;
    int64_t merge;
};

/* ------------------------------------------------------------------ pairs */

static size_t pair_hash(int32_t left, int32_t right) {
    uint64_t x = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    x = (x ^ x >> 31) * 0x9E3779B97F4A7C15u;
    return (size_t)(x ^ x >> 29);
}

static berth_status enlarge_pairs(struct trainer *tr) {
    size_t slot_count = tr->slot_count == 0 ? 4096 : tr->slot_count * 2;
    int32_t *slots = NULL;
    BERTH_TRY(berth_calloc(&slots, slot_count, sizeof *slots));
    for (size_t i = 0; i < tr->pair_count; i++) {
        size_t at = pair_hash(tr->pairs[i].left, tr->pairs[i].right) & (slot_count - 1);
        while (slots[at] != 0)
            at = (at + 1) & (slot_count - 1);
        slots[at] = (int32_t)i + 1;
    }
    free(tr->slots);
    tr->slots = slots;
    tr->slot_count = slot_count;
    return BERTH_OK;
}

static berth_status pair_at(struct trainer *tr, int32_t left, int32_t right, int32_t *out) {
    if ((tr->pair_count + 1) * 2 > tr->slot_count) BERTH_TRY(enlarge_pairs(tr));
    size_t at = pair_hash(left, right) & (tr->slot_count - 1);
    for (; tr->slots[at] != 0; at = (at + 1) & (tr->slot_count - 1)) {
        const struct pair *p = &tr->pairs[tr->slots[at] - 1];
        if (p->left == left && p->right == right) {
            *out = tr->slots[at] - 1;
            return BERTH_OK;
        }
    }
    if (tr->pair_count >= INT32_MAX / 2) BERTH_FAIL(BERTH_E_MEMORY, "more than 2^30 pairs of pieces");
    BERTH_TRY(berth_grow(&tr->pairs, &tr->pair_capacity, tr->pair_count + 1, sizeof *tr->pairs));
    *out = (int32_t)tr->pair_count;
    tr->pairs[tr->pair_count++] = (struct pair){.left = left, .right = right, .touched = -1};
    tr->slots[at] = *out + 1;
    return BERTH_OK;
}

/* Adds a word's count to a pair; notes the word, and the pair as raised. */
static berth_status raise_pair(struct trainer *tr, int32_t index, int64_t count, int32_t word) {
    struct pair *p = &tr->pairs[index];
    p->count += count;
    if (p->word_count == 0 || p->words[p->word_count - 1] != word) {
        BERTH_TRY(berth_grow(&p->words, &p->word_capacity, p->word_count + 1, sizeof *p->words));
        p->words[p->word_count++] = word;
    }
    if (p->touched == tr->merge) return BERTH_OK;
    p->touched = tr->merge;
    BERTH_TRY(berth_grow(&tr->raised, &tr->raised_capacity, tr->raised_count + 1, sizeof *tr->raised));
    tr->raised[tr->raised_count++] = index;
    return BERTH_OK;
}

/* ------------------------------------------------------------------ heap */

/* Whether a comes out before b. */
static bool before(const struct trainer *tr, struct heap_entry a, struct heap_entry b) {
    if (a.count != b.count) return a.count > b.count;
    const struct pair *p = &tr->pairs[a.pair], *q = &tr->pairs[b.pair];
    const struct text_entry *symbols = tr->vocab.entries;
    int order = strcmp(symbols[p->left].text, symbols[q->left].text);
    if (order == 0) order = strcmp(symbols[p->right].text, symbols[q->right].text);
    return order < 0;
}

static berth_status heap_push(struct trainer *tr, struct heap_entry entry) {
    BERTH_TRY(berth_grow(&tr->heap, &tr->heap_capacity, tr->heap_count + 1, sizeof *tr->heap));
    size_t at = tr->heap_count++;
    while (at > 0 && before(tr, entry, tr->heap[(at - 1) / 2])) {
        tr->heap[at] = tr->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    tr->heap[at] = entry;
    return BERTH_OK;
}

static struct heap_entry heap_pop(struct trainer *tr) {
    struct heap_entry top = tr->heap[0], last = tr->heap[--tr->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= tr->heap_count) break;
        if (child + 1 < tr->heap_count && before(tr, tr->heap[child + 1], tr->heap[child])) child++;
        if (!before(tr, tr->heap[child], last)) break;
        tr->heap[at] = tr->heap[child];
        at = child;
    }
    tr->heap[at] = last;
    return top;
}

static berth_status push_raised(struct trainer *tr) {
    for (size_t i = 0; i < tr->raised_count; i++)
        BERTH_TRY(heap_push(tr, (struct heap_entry){tr->pairs[tr->raised[i]].count, tr->raised[i]}));
    tr->raised_count = 0;
    return BERTH_OK;
}

/* The best pair with its true count; false when none is left. */
static berth_status next_pair(struct trainer *tr, int32_t *out, bool *found) {
    *found = false;
    while (tr->heap_count > 0) {
        struct heap_entry top = heap_pop(tr);
        int64_t count = tr->pairs[top.pair].count;
        if (count == top.count && count > 0) {
            *out = top.pair;
            *found = true;
            return BERTH_OK;
        }
        if (count > 0 && count < top.count) BERTH_TRY(heap_push(tr, (struct heap_entry){count, top.pair}));
    }
    return BERTH_OK;
}

/* ------------------------------------------------------------------ start */

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
static berth_status find_alphabet(const struct text_map *words, size_t limit, struct letter **out,
                                  size_t *out_count) {
    struct letter *all = NULL;
    size_t count = 0;
    BERTH_TRY(berth_calloc(&all, 0x110000, sizeof *all));
    for (size_t i = 0; i < words->count; i++) {
        const struct text_entry *w = &words->entries[i];
        for (size_t at = 0, length = 0; at < w->size; at += length) {
            bool valid = false;
            uint32_t code = berth_utf8_decode(w->text + at, w->size - at, &length, &valid);
            all[code].code = code;
            all[code].count += w->value;
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
    return BERTH_OK;
}

static berth_status add_symbol(struct trainer *tr, const char *prefix, const char *text, size_t size,
                               int32_t *out) {
    struct berth_str name;
    size_t index = 0;
    berth_str_init(&name);
    berth_str_add(&name, prefix);
    berth_str_addn(&name, text, size);
    berth_status status = name.failed ? berth_error_set(BERTH_E_MEMORY, __FILE__, __LINE__, "out of memory")
                                      : text_map_at(&tr->vocab, name.data, name.length, &index);
    berth_str_deinit(&name);
    *out = (int32_t)index;
    return status;
}

/* Special tokens, the alphabet, the alphabet behind "##". first_of/later_of [0x110000] receive symbols + 1. */
static berth_status add_alphabet(struct trainer *tr, const struct letter *letters, size_t count,
                                 int32_t *first_of, int32_t *later_of) {
    int32_t symbol = 0;
    char bytes[4];
    for (int i = 0; i < SPECIAL_COUNT; i++)
        BERTH_TRY(add_symbol(tr, "", special_default_names[i], strlen(special_default_names[i]), &symbol));
    for (size_t i = 0; i < count; i++) {
        BERTH_TRY(add_symbol(tr, "", bytes, berth_utf8_encode(bytes, letters[i].code), &symbol));
        first_of[letters[i].code] = symbol + 1;
    }
    for (size_t i = 0; i < count; i++) {
        if (!letters[i].later) continue;
        BERTH_TRY(add_symbol(tr, "##", bytes, berth_utf8_encode(bytes, letters[i].code), &symbol));
        later_of[letters[i].code] = symbol + 1;
    }
    return BERTH_OK;
}

/* Rows of symbols for all words. */
static berth_status add_rows(struct trainer *tr, const struct text_map *words, const int32_t *first_of,
                             const int32_t *later_of) {
    size_t total = 0, used = 0;
    for (size_t i = 0; i < words->count; i++)
        total += words->entries[i].size;
    if (words->count > INT32_MAX) BERTH_FAIL(BERTH_E_MEMORY, "more than 2^31 distinct words");
    BERTH_TRY(berth_calloc(&tr->symbols, total, sizeof *tr->symbols));
    BERTH_TRY(berth_calloc(&tr->rows, words->count, sizeof *tr->rows));
    tr->row_count = words->count;
    for (size_t i = 0; i < words->count; i++) {
        const struct text_entry *w = &words->entries[i];
        struct row *row = &tr->rows[i];
        *row = (struct row){.first = used, .count = w->value};
        for (size_t at = 0, length = 0; at < w->size; at += length) {
            bool valid = false;
            uint32_t code = berth_utf8_decode(w->text + at, w->size - at, &length, &valid);
            int32_t symbol = (at == 0 ? first_of : later_of)[code];
            if (symbol > 0) tr->symbols[used++] = symbol - 1;
        }
        row->length = (int32_t)(used - row->first);
        for (int32_t k = 0; k + 1 < row->length; k++) {
            const int32_t *s = tr->symbols + row->first + k;
            int32_t pair = 0;
            BERTH_TRY(pair_at(tr, s[0], s[1], &pair));
            BERTH_TRY(raise_pair(tr, pair, row->count, (int32_t)i));
        }
    }
    return push_raised(tr);
}

/* ------------------------------------------------------------------ merging */

/* Counts of the row's pairs fall by its count (they come back where they still stand). */
static berth_status lower_row(struct trainer *tr, const struct row *row) {
    const int32_t *s = tr->symbols + row->first;
    for (int32_t k = 0; k + 1 < row->length; k++) {
        int32_t pair = 0;
        BERTH_TRY(pair_at(tr, s[k], s[k + 1], &pair));
        tr->pairs[pair].count -= row->count;
    }
    return BERTH_OK;
}

static berth_status merge_row(struct trainer *tr, int32_t word, int32_t left, int32_t right, int32_t made) {
    struct row *row = &tr->rows[word];
    int32_t *s = tr->symbols + row->first, kept = 0;
    bool there = false;
    for (int32_t k = 0; k + 1 < row->length && !there; k++)
        there = s[k] == left && s[k + 1] == right;
    if (!there) return BERTH_OK;
    BERTH_TRY(lower_row(tr, row));
    for (int32_t k = 0; k < row->length; k++) {
        bool here = s[k] == left && k + 1 < row->length && s[k + 1] == right;
        s[kept++] = here ? made : s[k];
        k += here;
    }
    row->length = kept;
    for (int32_t k = 0; k + 1 < kept; k++) {
        int32_t pair = 0;
        BERTH_TRY(pair_at(tr, s[k], s[k + 1], &pair));
        if (s[k] == made || s[k + 1] == made) {
            BERTH_TRY(raise_pair(tr, pair, row->count, word));
        } else {
            tr->pairs[pair].count += row->count;
        }
    }
    return BERTH_OK;
}

static berth_status merge_pair(struct trainer *tr, int32_t index) {
    struct pair pair = tr->pairs[index];
    const char *right = tr->vocab.entries[pair.right].text;
    if (strncmp(right, "##", 2) == 0) right += 2;
    int32_t made = 0;
    BERTH_TRY(add_symbol(tr, tr->vocab.entries[pair.left].text, right, strlen(right), &made));
    tr->merge++;
    tr->pairs[index].words = NULL; /* ours for the while: the array of pairs may move */
    tr->pairs[index].word_count = tr->pairs[index].word_capacity = 0;
    berth_status status = BERTH_OK;
    for (size_t i = 0; i < pair.word_count && status == BERTH_OK; i++)
        status = merge_row(tr, pair.words[i], pair.left, pair.right, made);
    free(pair.words);
    BERTH_TRY(status);
    return push_raised(tr);
}

/* ------------------------------------------------------------------ the whole */

static berth_status start(struct trainer *tr, const struct text_map *words,
                          const struct berth_vocab_options *options) {
    berth_status status = BERTH_OK;
    struct letter *letters = NULL;
    int32_t *first_of = NULL, *later_of = NULL;
    size_t count = 0;
    size_t limit = (size_t)(options->alphabet_limit > 0 ? options->alphabet_limit : 1000);
    BERTH_TRY_OUT(find_alphabet(words, limit, &letters, &count));
    BERTH_TRY_OUT(berth_calloc(&first_of, 0x110000, sizeof *first_of));
    BERTH_TRY_OUT(berth_calloc(&later_of, 0x110000, sizeof *later_of));
    BERTH_TRY_OUT(add_alphabet(tr, letters, count, first_of, later_of));
    if (tr->vocab.count > (size_t)options->size)
        BERTH_FAIL_OUT(BERTH_E_USAGE,
                       "vocabulary size %lld is too small: special tokens and an alphabet of %zu characters "
                       "already need %zu; raise the size or lower the alphabet's limit",
                       (long long)options->size, count, tr->vocab.count);
    BERTH_TRY_OUT(add_rows(tr, words, first_of, later_of));
out:
    free(letters);
    free(first_of);
    free(later_of);
    return status;
}

static void trainer_deinit(struct trainer *tr) {
    for (size_t i = 0; i < tr->pair_count; i++)
        free(tr->pairs[i].words);
    free(tr->pairs);
    free(tr->slots);
    free(tr->heap);
    free(tr->raised);
    free(tr->rows);
    free(tr->symbols);
    text_map_deinit(&tr->vocab);
}

static berth_status finish(struct berth_tokenizer **out, const struct text_map *vocab, bool lowercase) {
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

berth_status berth_vocab_train(struct berth_tokenizer **out, const char *const *files, size_t file_count,
                               const struct berth_vocab_options *options) {
    berth_status status = BERTH_OK;
    struct trainer tr = {0};
    struct text_map words;
    int64_t min_frequency = options->min_frequency > 0 ? options->min_frequency : 2;
    text_map_init(&tr.vocab);
    text_map_init(&words);
    if (options->size < 1 || options->size > INT32_MAX / 2)
        BERTH_FAIL_OUT(BERTH_E_USAGE, "vocabulary size %lld, expected 1 to 2^30", (long long)options->size);
    BERTH_TRY_OUT(vocab_count_words(&words, files, file_count, options->lowercase));
    if (words.count == 0)
        BERTH_FAIL_OUT(BERTH_E_FORMAT, "no words in %zu files to train a vocabulary from", file_count);
    BERTH_TRY_OUT(start(&tr, &words, options));
    while (tr.vocab.count < (size_t)options->size) {
        int32_t pair = 0;
        bool found = false;
        BERTH_TRY_OUT(next_pair(&tr, &pair, &found));
        if (!found || tr.pairs[pair].count < min_frequency) break;
        BERTH_TRY_OUT(merge_pair(&tr, pair));
    }
    BERTH_TRY_OUT(finish(out, &tr.vocab, options->lowercase));
out:
    text_map_deinit(&words);
    trainer_deinit(&tr);
    return status;
}
