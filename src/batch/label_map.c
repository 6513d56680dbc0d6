/* label_map.c: names <-> class numbers.
 *
 * Names lie in an array in class order; an open-addressing table (linear probing, a power of two of slots, at
 * most half full) finds a name's class. Nothing is ever removed, so there are no tombstones.
 */
#include "berth/batch.h"

#include <stdlib.h>
#include <string.h>

struct label_table {
    uint32_t mask;   /* slots - 1 */
    int32_t slots[]; /* class, or -1 */
};

void berth_labels_init(struct berth_labels *l) {
    memset(l, 0, sizeof *l);
}

void berth_labels_deinit(struct berth_labels *l) {
    for (size_t i = 0; i < l->count; i++)
        free(l->names[i]);
    free(l->names);
    free(l->index);
    memset(l, 0, sizeof *l);
}

/* The slot that holds the name, or the empty one where it belongs. */
static uint32_t find_slot(const struct berth_labels *l, const struct label_table *table, const char *name) {
    uint32_t slot = berth_hash_name(name) & table->mask;
    while (table->slots[slot] >= 0 && strcmp(l->names[table->slots[slot]], name) != 0)
        slot = (slot + 1) & table->mask;
    return slot;
}

static void fill_table(const struct berth_labels *l, struct label_table *table) {
    for (uint32_t i = 0; i <= table->mask; i++)
        table->slots[i] = -1;
    for (size_t i = 0; i < l->count; i++)
        table->slots[find_slot(l, table, l->names[i])] = (int32_t)i;
}

/* Makes room for one more name in the table. */
static berth_status reserve_slot(struct berth_labels *l) {
    const struct label_table *old = l->index;
    size_t slots = old ? (size_t)old->mask + 1 : 0;
    if (2 * (l->count + 1) <= slots) return BERTH_OK;
    slots = slots ? 2 * slots : 32;
    struct label_table *table = NULL;
    BERTH_TRY(berth_calloc(&table, 1, sizeof *table + slots * sizeof table->slots[0]));
    table->mask = (uint32_t)(slots - 1);
    fill_table(l, table);
    free(l->index);
    l->index = table;
    return BERTH_OK;
}

berth_status berth_labels_add(struct berth_labels *l, const char *name, int32_t *out) {
    int32_t known = berth_labels_find(l, name);
    if (known < 0) {
        if (l->count >= INT32_MAX / 4)
            BERTH_FAIL(BERTH_E_UNSUPPORTED, "more than %d labels; is the label column the right one?",
                       INT32_MAX / 4);
        BERTH_TRY(reserve_slot(l));
        BERTH_TRY(berth_grow(&l->names, &l->capacity, l->count + 1, sizeof *l->names));
        BERTH_TRY(berth_strdup(&l->names[l->count], name));
        struct label_table *table = l->index;
        known = (int32_t)l->count;
        table->slots[find_slot(l, table, name)] = known;
        l->count++;
    }
    if (out) *out = known;
    return BERTH_OK;
}

int32_t berth_labels_find(const struct berth_labels *l, const char *name) {
    const struct label_table *table = l->index;
    return table ? table->slots[find_slot(l, table, name)] : -1;
}

static int compare_names(const void *pa, const void *pb) {
    const char *a = *(char *const *)pa, *b = *(char *const *)pb;
    bool outside_a = strcmp(a, "O") == 0, outside_b = strcmp(b, "O") == 0;
    if (outside_a != outside_b) return outside_a ? -1 : 1;
    return strcmp(a, b);
}

berth_status berth_labels_sort(struct berth_labels *l) {
    if (l->count > 1) qsort(l->names, l->count, sizeof *l->names, compare_names);
    if (l->index) fill_table(l, l->index);
    return BERTH_OK;
}

berth_status berth_labels_copy(struct berth_labels *to, const struct berth_labels *from) {
    struct berth_labels copy;
    berth_labels_init(&copy);
    for (size_t i = 0; i < from->count; i++) {
        berth_status status = berth_labels_add(&copy, from->names[i], NULL);
        if (status != BERTH_OK) {
            berth_labels_deinit(&copy);
            return status;
        }
    }
    berth_labels_deinit(to);
    *to = copy;
    return BERTH_OK;
}

bool berth_labels_equal(const struct berth_labels *a, const struct berth_labels *b) {
    if (a->count != b->count) return false;
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->names[i], b->names[i]) != 0) return false;
    return true;
}
