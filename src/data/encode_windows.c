/* encode_windows.c: a row that is longer than max_length as several sequences, so that nothing is cut off.
 *
 *     pieces      0 1 2 3 4 5 6 7 8 9        room 6, stride 2: a window starts room - stride pieces further
 *     window 0    0 1 2 3 4 5
 *     window 1            4 5 6 7 8 9        as the reference's tokenizer lays them (return_overflowing_tokens)
 *
 * Each word belongs to one window: of those that hold its first piece the one where it has the longer context,
 * that is where the smaller of its distances to the window's two edges is greatest; ties go to the earlier
 * window. As words go right so does the owner, hence a window owns a run of words. Of a pair the longer text is
 * walked over and the other stands in every window, cut to half the room at most. */
#include "data/data_priv.h"

struct walk {
    size_t room, step; /* pieces of a window; pieces from window to window */
    size_t pieces;     /* of the text walked over */
    size_t count;      /* windows */
};

static struct walk make_walk(size_t pieces, size_t room, size_t stride) {
    struct walk w = {.room = room, .pieces = pieces, .count = 1};
    w.step = stride < room ? room - stride : 1;
    if (pieces > room) w.count = 1 + (pieces - room + w.step - 1) / w.step;
    return w;
}

static size_t window_start(const struct walk *w, size_t k) {
    return k * w->step;
}

static size_t window_end(const struct walk *w, size_t k) {
    size_t end = window_start(w, k) + w->room;
    return end < w->pieces ? end : w->pieces;
}

/* The window that owns the word of pieces first..last. */
static size_t owner(const struct walk *w, size_t first, size_t last) {
    size_t best = 0;
    int64_t best_context = INT64_MIN;
    size_t k = first < w->room ? 0 : (first - w->room) / w->step + 1; /* the first that holds it */
    for (; k < w->count && window_start(w, k) <= first; k++) {
        int64_t left = (int64_t)(first - window_start(w, k));
        int64_t right = (int64_t)window_end(w, k) - 1 - (int64_t)last;
        int64_t context = left < right ? left : right;
        if (context <= best_context) continue;
        best_context = context;
        best = k;
    }
    return best;
}

/* Gives the words to their windows and numbers their pieces within them. A word without pieces goes with the
 * word before it. */
static void share_words(struct row_encoder *e, const struct walk *w, bool over_text) {
    size_t current = 0;
    for (size_t i = 0; i < e->word_count; i++) {
        struct row_word *word = &e->words[i];
        if (word->token >= 0 && over_text) {
            size_t first = (size_t)word->token, last = e->text.count - 1;
            for (size_t j = i + 1; j < e->word_count; j++) {
                if (e->words[j].token < 0) continue;
                last = (size_t)e->words[j].token - 1;
                break;
            }
            size_t found = owner(w, first, last);
            BERTH_ASSERT_MSG(found >= current, "word %zu: window %zu after %zu", i, found, current);
            for (; current < found; current++)
                e->parts[current + 1].word_first = i;
            word->token = (int32_t)(first - window_start(w, found)) + 1;
        } else if (word->token >= 0) { /* the text stands in every window; the first owns it */
            word->cut = word->token + 2 > (int32_t)e->parts[0].token_count || word->token >= (int32_t)w->room;
            word->token = word->cut ? -1 : word->token + 1;
        }
        e->parts[current].word_count++;
    }
    for (size_t k = current + 1; k < e->part_count; k++)
        e->parts[k].word_first = e->word_count;
}

berth_status row_encode_windows(struct row_encoder *e, const char *text, const char *pair, enum row_words words,
                                int64_t stride) {
    size_t special = pair ? 3 : 2, room = (size_t)e->max_length - special;
    BERTH_TRY(row_begin(e, text, pair, NULL, words));
    e->whole = e->text.count + e->pair.count + special;
    bool over_text = e->text.count >= e->pair.count;
    const struct berth_encoding *long_one = over_text ? &e->text : &e->pair;
    const struct berth_encoding *other = over_text ? &e->pair : &e->text;
    size_t held = other->count;
    if (e->whole > (size_t)e->max_length && held > room / 2) held = room / 2;
    e->cut = held < other->count;
    size_t window_room = room - held;
    if ((size_t)stride >= window_room) stride = (int64_t)(window_room / 2);
    const struct walk w = make_walk(long_one->count, window_room, (size_t)stride);
    BERTH_TRY(berth_grow(&e->parts, &e->part_capacity, w.count, sizeof *e->parts));
    for (size_t k = 0; k < w.count; k++) {
        const int32_t *ids = long_one->ids + window_start(&w, k);
        size_t count = window_end(&w, k) - window_start(&w, k), first = e->length;
        if (over_text)
            BERTH_TRY(row_put(e, ids, count, other->ids, held, pair != NULL));
        else
            BERTH_TRY(row_put(e, other->ids, held, ids, count, true));
        e->parts[k] = (struct row_part){.token_first = first, .token_count = e->length - first};
    }
    e->part_count = w.count;
    struct walk shared = w;
    if (!over_text) shared.room = held; /* pieces of the text that stand in the windows */
    share_words(e, &shared, over_text);
    return BERTH_OK;
}
