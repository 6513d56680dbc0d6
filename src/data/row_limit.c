/* row_limit.c: `limit: 100` keeps that many rows of a split, every label with its share of them.
 *
 * Rows of the same sentence-level labels are a stratum. A stratum of share p gets p * limit rows, rounded by
 * largest remainder (ties: the stratum seen first), at least one each where the limit allows; within a stratum
 * the rows of the smallest keys stay (Philox by seed and the row's text, so the choice does not depend on the
 * rows' order, and a smaller limit keeps a part of what a larger one keeps, rounding aside). */
#include "data/data_priv.h"

#include <stdlib.h>
#include <string.h>

struct candidate {
    uint32_t stratum, key;
    int64_t index;
};

struct strata {
    struct berth_labels names;
    struct candidate *rows; /* [count] in the order of the walk, then sorted */
    size_t count, capacity;
    int64_t *size, *quota; /* [names.count] */
};

static berth_status stratum_of(int32_t *out, struct strata *s, const struct source_spec *spec,
                               const struct berth_row *row, struct berth_str *work) {
    berth_str_reset(work);
    berth_str_add(work, "");
    for (size_t i = 0; i < spec->label_count; i++) {
        enum berth_task_kind kind = spec->labels[i].kind;
        if (kind != BERTH_TASK_CLASSIFICATION && kind != BERTH_TASK_MULTILABEL) continue;
        berth_str_add(work, row->labels[i] ? row->labels[i] : "\x1D");
        berth_str_add(work, "\x1E");
    }
    if (work->failed) BERTH_FAIL(BERTH_E_MEMORY, "out of memory");
    return berth_labels_add(&s->names, work->data, out);
}

static berth_status gather(struct strata *s, const struct source_spec *spec, enum berth_split split,
                           const struct source_files *files) {
    berth_status status = BERTH_OK;
    struct row_walk w;
    struct berth_str work;
    bool more = true;
    berth_str_init(&work);
    row_walk_begin(&w, spec, split, files, NULL);
    for (;;) {
        int32_t stratum = 0;
        BERTH_TRY_OUT(row_walk_next(&w, &more));
        if (!more) break;
        BERTH_TRY_OUT(berth_grow(&s->rows, &s->capacity, s->count + 1, sizeof *s->rows));
        struct candidate *row = &s->rows[s->count];
        BERTH_TRY_OUT(row_limit_key(&row->key, spec, &w.reader.row, &work));
        BERTH_TRY_OUT(stratum_of(&stratum, s, spec, &w.reader.row, &work));
        row->stratum = (uint32_t)stratum;
        row->index = (int64_t)s->count++;
    }
out:
    row_walk_end(&w);
    berth_str_deinit(&work);
    return status;
}

/* Largest remainder; integers throughout, so that no rounding decides. */
static berth_status share_out(struct strata *s, int64_t limit) {
    size_t strata = s->names.count;
    int64_t left = limit, total = (int64_t)s->count;
    int64_t *rest = NULL;
    BERTH_TRY(berth_calloc(&s->size, strata, sizeof *s->size));
    BERTH_TRY(berth_calloc(&s->quota, strata, sizeof *s->quota));
    BERTH_TRY(berth_calloc(&rest, strata, sizeof *rest));
    for (size_t i = 0; i < s->count; i++)
        s->size[s->rows[i].stratum]++;
    for (size_t k = 0; k < strata; k++) {
        __int128_t wanted = (__int128_t)s->size[k] * limit;
        s->quota[k] = (int64_t)(wanted / total);
        rest[k] = (int64_t)(wanted % total);
        if (s->quota[k] == 0 && (int64_t)strata <= limit) {
            s->quota[k] = 1;
            rest[k] = -1;
        }
        left -= s->quota[k];
    }
    while (left != 0) { /* more where the remainder is largest; fewer where a quota is largest */
        size_t best = strata;
        for (size_t k = 0; k < strata; k++) {
            if (left > 0 ? s->quota[k] >= s->size[k] : s->quota[k] <= 1) continue;
            if (best == strata || (left > 0 ? rest[k] > rest[best] : s->quota[k] > s->quota[best])) best = k;
        }
        BERTH_ASSERT(best < strata);
        s->quota[best] += left > 0 ? 1 : -1;
        rest[best] = -1;
        left += left > 0 ? -1 : 1;
    }
    free(rest);
    return BERTH_OK;
}

static int by_key(const void *pa, const void *pb) {
    const struct candidate *a = pa, *b = pb;
    if (a->stratum != b->stratum) return a->stratum < b->stratum ? -1 : 1;
    if (a->key != b->key) return a->key < b->key ? -1 : 1;
    return a->index < b->index ? -1 : 1;
}

berth_status limit_choose(uint8_t **out, const struct source_spec *spec, enum berth_split split,
                          const struct source_files *files) {
    berth_status status = BERTH_OK;
    struct strata s;
    uint8_t *kept = NULL;
    int64_t limit = spec->limit[split];
    memset(&s, 0, sizeof s);
    berth_labels_init(&s.names);
    *out = NULL;
    if (limit <= 0) return BERTH_OK;
    BERTH_TRY_OUT(gather(&s, spec, split, files));
    if ((int64_t)s.count <= limit) goto out;
    BERTH_TRY_OUT(share_out(&s, limit));
    BERTH_TRY_OUT(berth_calloc(&kept, s.count / 8 + 1, 1));
    qsort(s.rows, s.count, sizeof *s.rows, by_key);
    for (size_t i = 0; i < s.count; i++) {
        if (s.quota[s.rows[i].stratum]-- <= 0) continue;
        kept[s.rows[i].index / 8] |= (uint8_t)(1u << (s.rows[i].index % 8));
    }
    *out = kept;
out:
    berth_labels_deinit(&s.names);
    free(s.rows);
    free(s.size);
    free(s.quota);
    return status;
}
