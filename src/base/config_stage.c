/* config_stage.c: a stage's configuration: the run's own with the keys of `stages[i]` laid over it.
 *
 * A stage may hold the sections below as they stand at the top. Maps are merged, lists and values replaced. A
 * key that excludes another takes that one out: a stage of `steps` in a run of `epochs` has steps. Texts and
 * positions stay those of the run's configuration, so errors of meaning name the right line. */
#include <stdlib.h>
#include <string.h>

#include "base/base_priv.h"

static const char *const SECTIONS[] = {"train", "freeze", "sampling", "weighting", "evaluate"};

bool conf_in_stages(const char *section, size_t length) {
    for (size_t i = 0; i < sizeof SECTIONS / sizeof SECTIONS[0]; i++) {
        if (strlen(SECTIONS[i]) == length && strncmp(SECTIONS[i], section, length) == 0) return true;
    }
    return false;
}

/* The same without the entry of a map with this key. */
static void leave_out(struct ytree_node *map, const char *key) {
    struct ytree_node *child = map->first;
    map->first = map->last = NULL;
    map->count = 0;
    while (child != NULL) {
        struct ytree_node *next = child->next;
        if (strcmp(child->key, key) != 0) ytree_append(map, child);
        child = next;
    }
}

static berth_status copy(struct ytree_node **out, struct berth_arena *arena, const struct ytree_node *from) {
    BERTH_TRY(berth_arena_alloc(arena, out, 1, sizeof **out));
    **out = *from;
    (*out)->first = (*out)->last = (*out)->next = NULL;
    (*out)->count = 0;
    for (const struct ytree_node *n = from->first; n != NULL; n = n->next) {
        struct ytree_node *child = NULL;
        BERTH_TRY(copy(&child, arena, n));
        ytree_append(*out, child);
    }
    return BERTH_OK;
}

/* Takes out of `map`, the section `pattern`, what the new key `name` excludes. */
static void drop_excluded(struct ytree_node *map, const char *pattern, const char *name) {
    for (size_t i = 0; i < berth_config_key_count; i++) {
        const struct berth_key *row = &berth_config_keys[i];
        if (row->unless == NULL || !conf_is_child(row, pattern)) continue;
        const char *own = conf_last_name(row->path), *other = conf_last_name(row->unless);
        if (strcmp(own, name) == 0) leave_out(map, other);
        if (strcmp(other, name) == 0) leave_out(map, own);
    }
}

static berth_status lay_over(struct ytree_node *map, struct berth_arena *arena, const struct ytree_node *stage,
                             const char *pattern) {
    for (const struct ytree_node *n = stage->first; n != NULL; n = n->next) {
        char child_pattern[CONF_PATH];
        struct ytree_node *under = ytree_child(map, n->key), *made = NULL;
        if (pattern[0] == '\0' && !conf_in_stages(n->key, strlen(n->key))) continue;
        conf_format_path(child_pattern, "%s%s%s", pattern, pattern[0] == '\0' ? "" : ".", n->key);
        drop_excluded(map, pattern, n->key);
        if (under != NULL && under->kind == YTREE_MAP && n->kind == YTREE_MAP) {
            BERTH_TRY(lay_over(under, arena, n, child_pattern));
            continue;
        }
        BERTH_TRY(copy(&made, arena, n));
        leave_out(map, n->key);
        ytree_append(map, made);
    }
    return BERTH_OK;
}

berth_status berth_config_stage(struct berth_config **out, const struct berth_config *c, size_t index) {
    berth_status status = BERTH_OK;
    struct berth_config *s = NULL;
    const struct ytree_node *stages = ytree_child(c->root, "stages");
    BERTH_ASSERT_MSG(stages != NULL && index < stages->count, "stage %zu", index);
    BERTH_TRY(berth_calloc(&s, 1, sizeof *s));
    berth_arena_init(&s->arena);
    s->name = c->name;
    BERTH_TRY_OUT(copy(&s->root, &s->arena, c->root));
    leave_out(s->root, "stages");
    BERTH_TRY_OUT(lay_over(s->root, &s->arena, ytree_entry(stages, index), ""));
    *out = s;
    s = NULL;
out:
    berth_config_free(s);
    return status;
}
