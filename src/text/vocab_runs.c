/* vocab_runs.c: words that are too many for memory: sorted runs in a temporary file, merged.
 *
 *     file:  run | run | run ...        run: words in the order of their bytes, each once
 *     word:  size, count (7 bits a byte, lowest first, the top bit set where more follow), bytes
 *
 * All runs lie in one file, so that their number is not bounded by descriptors; a pass merges up to FAN_IN at a
 * time into the next file, until one is left. Equal words of several runs become one with the sum of their
 * counts: what comes out is the same however the words were cut into runs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "text/vocab_priv.h"

enum { FAN_IN = 64, BUFFER = 1 << 16, HEAD = 20 /* of a word: two numbers of at most ten bytes */ };

void vocab_runs_init(struct vocab_runs *r) {
    *r = (struct vocab_runs){.fd = -1};
}

void vocab_runs_deinit(struct vocab_runs *r) {
    if (r->fd >= 0) close(r->fd);
    free(r->list);
    vocab_runs_init(r);
}

/* ------------------------------------------------------------------ writing */

struct run_writer {
    struct vocab_runs *runs;
    struct vocab_memory *memory;
    char *buffer; /* [BUFFER] owned */
    size_t used;
};

static berth_status flush(struct run_writer *w) {
    for (size_t at = 0; at < w->used;) {
        ssize_t n = write(w->runs->fd, w->buffer + at, w->used - at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            BERTH_FAIL(BERTH_E_IO, "%s: its temporary file cannot be written: %s", w->memory->temp,
                       strerror(n < 0 ? errno : ENOSPC));
        at += (size_t)n;
    }
    w->runs->size += (int64_t)w->used;
    w->used = 0;
    return BERTH_OK;
}

static berth_status begin_run(struct run_writer *w, struct vocab_runs *r, struct vocab_memory *m) {
    *w = (struct run_writer){.runs = r, .memory = m};
    if (r->fd < 0) BERTH_TRY(vocab_temp_file(m, &r->fd));
    BERTH_TRY(berth_grow(&r->list, &r->capacity, r->count + 1, sizeof *r->list));
    r->list[r->count] = (struct vocab_run){r->size, r->size};
    return berth_calloc(&w->buffer, BUFFER, 1);
}

static berth_status end_run(struct run_writer *w) {
    BERTH_TRY(flush(w));
    w->runs->list[w->runs->count++].end = w->runs->size;
    return BERTH_OK;
}

static size_t put_number(char *out, uint64_t value) {
    size_t n = 0;
    for (; value >= 0x80; value >>= 7)
        out[n++] = (char)(value | 0x80);
    out[n++] = (char)value;
    return n;
}

static berth_status put_word(struct run_writer *w, const char *text, size_t size, int64_t count) {
    if (w->used + HEAD > BUFFER) BERTH_TRY(flush(w));
    w->used += put_number(w->buffer + w->used, size);
    w->used += put_number(w->buffer + w->used, (uint64_t)count);
    while (size > 0) {
        if (w->used == BUFFER) BERTH_TRY(flush(w));
        size_t n = size < BUFFER - w->used ? size : BUFFER - w->used;
        memcpy(w->buffer + w->used, text, n);
        w->used += n;
        text += n;
        size -= n;
    }
    return BERTH_OK;
}

berth_status vocab_runs_spill(struct vocab_runs *r, struct vocab_memory *m, struct text_map *words) {
    berth_status status = BERTH_OK;
    struct run_writer w = {0};
    text_map_sort(words);
    BERTH_TRY_OUT(begin_run(&w, r, m));
    for (size_t i = 0; i < words->count; i++) {
        const struct text_entry *e = &words->entries[i];
        BERTH_TRY_OUT(put_word(&w, e->text, e->size, e->value));
    }
    BERTH_TRY_OUT(end_run(&w));
    text_map_deinit(words);
    text_map_init(words);
out:
    free(w.buffer);
    return status;
}

/* ------------------------------------------------------------------ reading */

void vocab_reader_map(struct vocab_reader *r, const struct text_map *map) {
    *r = (struct vocab_reader){.map = map, .fd = -1};
}

void vocab_reader_run(struct vocab_reader *r, int fd, struct vocab_run run) {
    *r = (struct vocab_reader){.fd = fd, .at = run.begin, .end = run.end};
}

void vocab_reader_deinit(struct vocab_reader *r) {
    free(r->buffer);
    *r = (struct vocab_reader){.fd = -1};
}

/* At least `needed` bytes in the buffer where the run still has them. */
static berth_status fill(struct vocab_reader *r, size_t needed) {
    if (r->filled - r->first >= needed || r->at == r->end) return BERTH_OK;
    if (r->first > 0 && r->filled > r->first)
        memmove(r->buffer, r->buffer + r->first, r->filled - r->first);
    r->filled -= r->first;
    r->first = 0;
    BERTH_TRY(berth_grow(&r->buffer, &r->capacity, needed < BUFFER ? BUFFER : needed, 1));
    while (r->filled < needed && r->at < r->end) {
        size_t room = r->capacity - r->filled;
        if ((int64_t)room > r->end - r->at) room = (size_t)(r->end - r->at);
        ssize_t n = pread(r->fd, r->buffer + r->filled, room, (off_t)r->at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            BERTH_FAIL(BERTH_E_IO, "the temporary file of words cannot be read back: %s",
                       strerror(n < 0 ? errno : EIO));
        r->filled += (size_t)n;
        r->at += n;
    }
    return BERTH_OK;
}

static berth_status take_number(struct vocab_reader *r, uint64_t *out) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (r->first == r->filled) break;
        uint8_t byte = (uint8_t)r->buffer[r->first++];
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *out = value;
            return BERTH_OK;
        }
    }
    BERTH_FAIL(BERTH_E_IO, "the temporary file of words does not hold what was written to it");
}

berth_status vocab_reader_next(struct vocab_reader *r, struct vocab_word *out, bool *more) {
    if (r->map != NULL) {
        *more = r->next < r->map->count;
        if (!*more) return BERTH_OK;
        const struct text_entry *e = &r->map->entries[r->next++];
        *out = (struct vocab_word){e->text, e->size, e->value};
        return BERTH_OK;
    }
    uint64_t size = 0, count = 0;
    BERTH_TRY(fill(r, HEAD));
    *more = r->first < r->filled;
    if (!*more) return BERTH_OK;
    BERTH_TRY(take_number(r, &size));
    BERTH_TRY(take_number(r, &count));
    BERTH_TRY(fill(r, (size_t)size));
    if (r->filled - r->first < size)
        BERTH_FAIL(BERTH_E_IO, "the temporary file of words ends in the middle of one");
    *out = (struct vocab_word){r->buffer + r->first, (size_t)size, (int64_t)count};
    r->first += (size_t)size;
    return BERTH_OK;
}

/* ------------------------------------------------------------------ merging */

struct merger {
    struct vocab_reader readers[FAN_IN];
    struct vocab_word words[FAN_IN]; /* the next of each reader */
    int heap[FAN_IN];                /* readers, the least word on top */
    int count;
};

static int compare_words(const struct vocab_word *a, const struct vocab_word *b) {
    size_t n = a->size < b->size ? a->size : b->size;
    int order = memcmp(a->text, b->text, n);
    return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

static void sink(struct merger *g, int at) {
    int moved = g->heap[at];
    for (;;) {
        int child = 2 * at + 1;
        if (child >= g->count) break;
        if (child + 1 < g->count && compare_words(&g->words[g->heap[child + 1]], &g->words[g->heap[child]]) < 0)
            child++;
        if (compare_words(&g->words[g->heap[child]], &g->words[moved]) >= 0) break;
        g->heap[at] = g->heap[child];
        at = child;
    }
    g->heap[at] = moved;
}

/* The next word of the reader on top; the reader leaves the heap at its end. */
static berth_status advance(struct merger *g) {
    int top = g->heap[0];
    bool more = false;
    BERTH_TRY(vocab_reader_next(&g->readers[top], &g->words[top], &more));
    if (!more) g->heap[0] = g->heap[--g->count];
    if (g->count > 0) sink(g, 0);
    return BERTH_OK;
}

/* Merges `count` runs of `from` into one more of `to`. */
static berth_status merge_some(struct vocab_runs *to, const struct vocab_runs *from, size_t first, int count,
                               struct vocab_memory *m) {
    berth_status status = BERTH_OK;
    struct run_writer w = {0};
    struct merger *g = NULL;
    struct berth_str word;
    berth_str_init(&word);
    BERTH_TRY_OUT(berth_calloc(&g, 1, sizeof *g));
    BERTH_TRY_OUT(begin_run(&w, to, m));
    for (int i = 0; i < count; i++) {
        bool more = false;
        vocab_reader_run(&g->readers[i], from->fd, from->list[first + (size_t)i]);
        BERTH_TRY_OUT(vocab_reader_next(&g->readers[i], &g->words[i], &more));
        if (more) g->heap[g->count++] = i;
    }
    for (int at = g->count / 2 - 1; at >= 0; at--)
        sink(g, at);
    while (g->count > 0) {
        const struct vocab_word *top = &g->words[g->heap[0]];
        int64_t sum = 0;
        berth_str_reset(&word);
        berth_str_addn(&word, top->text, top->size);
        if (word.failed) BERTH_FAIL_OUT(BERTH_E_MEMORY, "out of memory");
        struct vocab_word same = {word.data, word.length, 0};
        while (g->count > 0 && compare_words(&g->words[g->heap[0]], &same) == 0) {
            sum += g->words[g->heap[0]].count;
            BERTH_TRY_OUT(advance(g));
        }
        BERTH_TRY_OUT(put_word(&w, word.data, word.length, sum));
    }
    BERTH_TRY_OUT(end_run(&w));
out:
    for (int i = 0; g != NULL && i < FAN_IN; i++)
        vocab_reader_deinit(&g->readers[i]);
    free(g);
    free(w.buffer);
    berth_str_deinit(&word);
    return status;
}

berth_status vocab_runs_merge(struct vocab_runs *r, struct vocab_memory *m) {
    while (r->count > 1) {
        struct vocab_runs next;
        berth_status status = BERTH_OK;
        vocab_runs_init(&next);
        for (size_t i = 0; i < r->count && status == BERTH_OK; i += FAN_IN)
            status = merge_some(&next, r, i, (int)(r->count - i < FAN_IN ? r->count - i : FAN_IN), m);
        next.passes = r->passes + 1;
        if (status != BERTH_OK) {
            vocab_runs_deinit(&next);
            return status;
        }
        vocab_runs_deinit(r);
        *r = next;
    }
    return BERTH_OK;
}
