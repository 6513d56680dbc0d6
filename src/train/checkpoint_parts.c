/* checkpoint_parts.c: what a checkpoint holds, as parts that describe their own memory.
 *
 *     taking       part: "my 3 doubles are here"   ->  copied into the snapshot   ->  the file's dataset
 * NAME/... restoring    part: "my 3 doubles are here"   <-  copied out of the file
 *
 * A part says the same in both directions, so the two cannot disagree. Parts are restored in the order in which
 * they were added, those of checkpoint_state.c after all others: what decides which arrays there are (a stage,
 * a freezing) comes before the arrays. */
#include <stdlib.h>
#include <string.h>

#include "train/checkpoint_priv.h"

struct checkpoint_pieces {
    struct berth_device *device;
    const char *part;            /* "" for those of checkpoint_state.c */
    struct snapshot *snapshot;   /* taking; NULL: restoring */
    const struct berth_h5 *file; /* restoring */
    const char *path;
};

berth_status checkpoint_add_part(struct berth_trainer *t, const struct checkpoint_part *part) {
    struct checkpointer *c = t->checkpointer;
    BERTH_ASSERT(part->pieces != NULL);
    for (size_t i = 0; i < c->part_count; i++)
        BERTH_ASSERT_MSG(strcmp(c->parts[i].name, part->name) != 0, "part '%s' is there already", part->name);
    BERTH_TRY(berth_grow(&c->parts, &c->part_capacity, c->part_count + 1, sizeof *c->parts));
    c->parts[c->part_count++] = *part;
    return BERTH_OK;
}

/* ---- the snapshot */

void snapshot_deinit(struct snapshot *s) {
    free(s->bytes);
    free(s->pieces);
    memset(s, 0, sizeof *s);
}

/* Room for a piece; *at is where its bytes go. Memory grows to what is needed: it is as large as the state. */
static berth_status snapshot_add(struct snapshot *s, const struct snapshot_piece *piece, size_t bytes,
                                 unsigned char **at) {
    size_t offset = (s->size + 63) / 64 * 64, end = offset + bytes;
    BERTH_TRY(berth_grow(&s->pieces, &s->piece_capacity, s->count + 1, sizeof *s->pieces));
    if (end > s->capacity) {
        BERTH_TRY(berth_realloc(&s->bytes, end, 1));
        s->capacity = end;
    }
    for (size_t i = 0; i < s->count; i++)
        BERTH_ASSERT_MSG(s->pieces[i].is_tensor || strcmp(s->pieces[i].name, piece->name) != 0,
                         "piece '%s' twice", piece->name);
    s->pieces[s->count] = *piece;
    s->pieces[s->count++].offset = offset;
    s->size = end;
    *at = s->bytes + offset;
    return BERTH_OK;
}

berth_status snapshot_add_text(struct snapshot *s, const char *name, const char *text) {
    struct snapshot_piece piece = {.type = BERTH_H5_U8, .is_text = true, .count = (int64_t)strlen(text)};
    unsigned char *at = NULL;
    snprintf(piece.name, sizeof piece.name, "%s", name);
    BERTH_TRY(snapshot_add(s, &piece, strlen(text) + 1, &at));
    memcpy(at, text, strlen(text) + 1);
    return BERTH_OK;
}

berth_status snapshot_add_tensor(struct snapshot *s, const char *name, int64_t first, int64_t count) {
    BERTH_ASSERT(s->count > 0);
    size_t whole = s->count - 1;
    while (s->pieces[whole].is_tensor)
        whole--;
    BERTH_ASSERT(s->pieces[whole].type == BERTH_H5_F32 && first >= 0 &&
                 first + count <= s->pieces[whole].count);
    struct snapshot_piece piece = {
        .type = BERTH_H5_F32, .is_tensor = true, .count = count, .whole = whole, .first = first};
    int length = snprintf(piece.name, sizeof piece.name, "%s/%s", s->pieces[whole].name, name);
    BERTH_ASSERT_MSG(length > 0 && (size_t)length < sizeof piece.name, "tensor '%s'", name);
    piece.offset = s->pieces[whole].offset + (size_t)first * sizeof(float);
    BERTH_TRY(berth_grow(&s->pieces, &s->piece_capacity, s->count + 1, sizeof *s->pieces));
    s->pieces[s->count++] = piece;
    return BERTH_OK;
}

size_t snapshot_piece_bytes(const struct snapshot_piece *piece) {
    return (size_t)piece->count * berth_h5_type_size(piece->type);
}

/* ---- one piece, in either direction */

static berth_status take(struct checkpoint_pieces *p, const char *name, enum berth_h5_type type, int64_t count,
                         const void *data, bool on_device) {
    struct snapshot_piece piece = {.type = type, .count = count};
    size_t bytes = (size_t)count * berth_h5_type_size(type);
    unsigned char *at = NULL;
    snprintf(piece.name, sizeof piece.name, "%s", name);
    BERTH_TRY(snapshot_add(p->snapshot, &piece, bytes, &at));
    if (bytes == 0) return BERTH_OK;
    if (on_device) return berth_device_download(p->device, at, data, bytes);
    memcpy(at, data, bytes);
    return BERTH_OK;
}

static berth_status give(struct checkpoint_pieces *p, const char *name, enum berth_h5_type type, int64_t count,
                         void *data, bool on_device) {
    const void *stored = NULL;
    int64_t found = 0;
    size_t bytes = (size_t)count * berth_h5_type_size(type);
    BERTH_TRY(berth_h5_view(p->file, name, type, &stored, &found));
    if (found != count)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: '%s' has %lld elements, expected %lld", p->path, name, (long long)found,
                   (long long)count);
    if (bytes == 0) return BERTH_OK;
    if (on_device) return berth_device_upload(p->device, data, stored, bytes);
    memcpy(data, stored, bytes);
    return BERTH_OK;
}

static berth_status move_piece(struct checkpoint_pieces *p, const char *name, enum berth_h5_type type,
                               int64_t count, void *data, bool on_device) {
    char full[CHECKPOINT_NAME];
    int length = snprintf(full, sizeof full, "%s%s%s", p->part, p->part[0] != '\0' ? "/" : "", name);
    BERTH_ASSERT_MSG(length > 0 && (size_t)length < sizeof full && count >= 0, "piece '%s' of %lld", name,
                     (long long)count);
    return p->snapshot != NULL ? take(p, full, type, count, data, on_device)
                               : give(p, full, type, count, data, on_device);
}

berth_status checkpoint_piece(struct checkpoint_pieces *p, const char *name, enum berth_h5_type type,
                              int64_t count, void *data) {
    return move_piece(p, name, type, count, data, false);
}

berth_status checkpoint_piece_device(struct checkpoint_pieces *p, const char *name, int64_t count,
                                     float *data) {
    return move_piece(p, name, BERTH_H5_F32, count, data, true);
}

berth_status checkpoint_tensor(struct checkpoint_pieces *p, const char *name, int64_t first, int64_t count) {
    return p->snapshot != NULL ? snapshot_add_tensor(p->snapshot, name, first, count) : BERTH_OK;
}

berth_status checkpoint_piece_text(struct checkpoint_pieces *p, const char *name, char **text) {
    char full[CHECKPOINT_NAME];
    const char *stored = NULL;
    int length = snprintf(full, sizeof full, "%s/%s", p->part, name);
    BERTH_ASSERT_MSG(length > 0 && (size_t)length < sizeof full, "piece '%s'", name);
    if (p->snapshot != NULL) return snapshot_add_text(p->snapshot, full, *text);
    *text = NULL;
    if (berth_h5_find(p->file, full) == NULL) return BERTH_OK;
    BERTH_TRY(berth_h5_text(p->file, full, &stored));
    return berth_strdup(text, stored);
}

bool checkpoint_pieces_restoring(const struct checkpoint_pieces *p) {
    return p->snapshot == NULL;
}

/* ---- all parts */

berth_status snapshot_take(struct snapshot *s, struct berth_trainer *t) {
    const struct checkpointer *c = t->checkpointer;
    struct checkpoint_pieces p = {.device = t->device, .snapshot = s};
    s->count = s->size = 0;
    BERTH_TRY(berth_device_synchronize(t->device));
    for (size_t i = 0; i < c->part_count; i++) {
        p.part = c->parts[i].name;
        BERTH_TRY(c->parts[i].pieces(c->parts[i].user, &p));
    }
    p.part = "";
    BERTH_TRY(checkpoint_state_pieces(t, &p));
    return checkpoint_parameter_pieces(t, &p);
}

berth_status parts_restore(struct berth_trainer *t, const struct berth_h5 *file, const char *path, bool state) {
    const struct checkpointer *c = t->checkpointer;
    struct checkpoint_pieces p = {.device = t->device, .part = "", .file = file, .path = path};
    for (size_t i = 0; i < c->part_count; i++) {
        const struct checkpoint_part *part = &c->parts[i];
        p.part = part->name;
        BERTH_TRY(part->pieces(part->user, &p));
        if (part->restored != NULL) BERTH_TRY(part->restored(part->user));
    }
    p.part = "";
    if (state) BERTH_TRY(checkpoint_state_pieces(t, &p));
    return checkpoint_parameter_pieces(t, &p);
}
