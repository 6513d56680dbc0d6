/* torch_zip.c: the members of a zip archive that are stored as they are: where each one's bytes lie in the
 * file.
 *
 *     member: local header | name | extra | bytes        ... for each member
 *     central directory: for each member: header (sizes, offset of its local header) | name | extra | comment
 *     [zip64 end record | zip64 locator] end record | comment
 *
 * Only the central directory is believed, and nothing of it before it was checked against the file's size.
 * Nothing is inflated: a member that is not stored plainly is an error when it is asked for. (PKWARE's
 * APPNOTE.TXT 6.3.) */
#include <stdlib.h>
#include <string.h>

#include "model/model_priv.h"

enum {
    END_SIZE = 22,
    LOCATOR_SIZE = 20,
    END64_SIZE = 56,
    CENTRAL_SIZE = 46,
    LOCAL_SIZE = 30,
    COMMENT_MOST = 65535
};

struct zip_reader {
    const char *file; /* for messages */
    const unsigned char *bytes;
    uint64_t size;
    uint64_t central, central_size, count;
};

static uint64_t little(const unsigned char *p, int bytes) {
    uint64_t value = 0;
    for (int i = bytes; i-- > 0;)
        value = value << 8 | p[i];
    return value;
}

/* Whether `length` bytes from `at` lie within the file. */
static bool within(const struct zip_reader *z, uint64_t at, uint64_t length) {
    return at <= z->size && length <= z->size - at;
}

static bool has_mark(const struct zip_reader *z, uint64_t at, uint64_t length, const char mark[4]) {
    return within(z, at, length) && memcmp(z->bytes + at, mark, 4) == 0;
}

/* Replaces values of the end record that do not fit there by those of the zip64 record. */
static berth_status read_end64(struct zip_reader *z, uint64_t end) {
    if (end < LOCATOR_SIZE || !has_mark(z, end - LOCATOR_SIZE, LOCATOR_SIZE, "PK\x06\x07")) return BERTH_OK;
    const uint64_t at = little(z->bytes + end - LOCATOR_SIZE + 8, 8);
    if (!has_mark(z, at, END64_SIZE, "PK\x06\x06"))
        BERTH_FAIL(BERTH_E_FORMAT, "%s: the zip64 record lies outside the file: the archive is damaged",
                   z->file);
    z->count = little(z->bytes + at + 32, 8);
    z->central_size = little(z->bytes + at + 40, 8);
    z->central = little(z->bytes + at + 48, 8);
    return BERTH_OK;
}

/* The end record is the last thing in the file but for a comment whose length it gives. */
static berth_status read_end(struct zip_reader *z) {
    for (uint64_t back = END_SIZE; back <= z->size && back <= END_SIZE + COMMENT_MOST; back++) {
        const uint64_t at = z->size - back;
        if (!has_mark(z, at, END_SIZE, "PK\x05\x06") || little(z->bytes + at + 20, 2) != back - END_SIZE)
            continue;
        z->count = little(z->bytes + at + 10, 2);
        z->central_size = little(z->bytes + at + 12, 4);
        z->central = little(z->bytes + at + 16, 4);
        BERTH_TRY(read_end64(z, at));
        if (z->central > at || z->central_size > at - z->central || z->count > z->central_size / CENTRAL_SIZE)
            BERTH_FAIL(BERTH_E_FORMAT, "%s: the archive's list of members lies outside the file: it is damaged",
                       z->file);
        return BERTH_OK;
    }
    BERTH_FAIL(BERTH_E_FORMAT, "%s: the archive's end is missing: the file was cut short, or is no zip archive",
               z->file);
}

/* Sizes and offset of a member that do not fit in 32 bits stand in its zip64 field, in this order. */
static bool read_wide(const unsigned char *extra, uint64_t length, uint64_t *values[3]) {
    for (uint64_t at = 0; at + 4 <= length;) {
        const uint64_t field = little(extra + at + 2, 2);
        if (field > length - at - 4) return false;
        if (little(extra + at, 2) == 1) {
            uint64_t used = 0;
            for (int i = 0; i < 3; i++) {
                if (*values[i] != 0xFFFFFFFFu) continue;
                if (used + 8 > field) return false;
                *values[i] = little(extra + at + 4 + used, 8);
                used += 8;
            }
            return true;
        }
        at += 4 + field;
    }
    return *values[0] != 0xFFFFFFFFu && *values[1] != 0xFFFFFFFFu && *values[2] != 0xFFFFFFFFu;
}

/* The member whose central header is at `at`; *next is where the following one begins. */
static berth_status read_member(struct zip_reader *z, struct zip_member *m, uint64_t at, uint64_t *next) {
    const uint64_t end = z->central + z->central_size;
    if (at + CENTRAL_SIZE > end || memcmp(z->bytes + at, "PK\x01\x02", 4) != 0)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: the archive's list of members is damaged at byte %llu", z->file,
                   (unsigned long long)at);
    const unsigned char *header = z->bytes + at;
    const uint64_t name = little(header + 28, 2), extra = little(header + 30, 2),
                   comment = little(header + 32, 2);
    uint64_t packed = little(header + 20, 4), size = little(header + 24, 4), local = little(header + 42, 4);
    if (name + extra + comment > end - at - CENTRAL_SIZE)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: the archive's list of members is damaged at byte %llu", z->file,
                   (unsigned long long)at);
    *next = at + CENTRAL_SIZE + name + extra + comment;
    m->name = (const char *)header + CENTRAL_SIZE;
    m->name_length = (size_t)name;
    uint64_t *values[3] = {&size, &packed, &local};
    if (!read_wide(header + CENTRAL_SIZE + name, extra, values))
        BERTH_FAIL(BERTH_E_FORMAT, "%s: member '%.*s': its zip64 sizes are missing", z->file, (int)name,
                   m->name);
    m->stored = little(header + 10, 2) == 0 && (little(header + 8, 2) & 1) == 0;
    if (m->stored && packed != size)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: member '%.*s': two sizes, %llu and %llu", z->file, (int)name, m->name,
                   (unsigned long long)packed, (unsigned long long)size);
    if (!has_mark(z, local, LOCAL_SIZE, "PK\x03\x04"))
        BERTH_FAIL(BERTH_E_FORMAT, "%s: member '%.*s': its header at byte %llu is not there", z->file,
                   (int)name, m->name, (unsigned long long)local);
    const uint64_t skip = LOCAL_SIZE + little(z->bytes + local + 26, 2) + little(z->bytes + local + 28, 2);
    if (!within(z, local, skip) || !within(z, local + skip, packed))
        BERTH_FAIL(BERTH_E_FORMAT, "%s: member '%.*s': %llu bytes from byte %llu, but the file has %llu",
                   z->file, (int)name, m->name, (unsigned long long)packed, (unsigned long long)(local + skip),
                   (unsigned long long)z->size);
    m->data = z->bytes + local + skip;
    m->size = (size_t)packed;
    return BERTH_OK;
}

static int compare_text(const char *a, size_t a_length, const char *b, size_t b_length) {
    const size_t common = a_length < b_length ? a_length : b_length;
    const int order = common == 0 ? 0 : memcmp(a, b, common);
    return order != 0 ? order : (a_length > b_length) - (a_length < b_length);
}

static int compare_members(const void *a, const void *b) {
    const struct zip_member *x = a, *y = b;
    return compare_text(x->name, x->name_length, y->name, y->name_length);
}

berth_status zip_members_read(struct zip_members *out, const char *file, const unsigned char *bytes,
                              size_t size) {
    berth_status status = BERTH_OK;
    struct zip_reader z = {.file = file, .bytes = bytes, .size = size};
    size_t capacity = 0;
    *out = (struct zip_members){0};
    BERTH_TRY(read_end(&z));
    uint64_t at = z.central;
    for (uint64_t i = 0; i < z.count; i++) {
        BERTH_TRY_OUT(berth_grow(&out->list, &capacity, out->count + 1, sizeof *out->list));
        BERTH_TRY_OUT(read_member(&z, &out->list[out->count], at, &at));
        out->count++;
    }
    if (out->count > 0) qsort(out->list, out->count, sizeof *out->list, compare_members);
    for (size_t i = 1; i < out->count; i++) {
        if (compare_members(&out->list[i - 1], &out->list[i]) == 0)
            BERTH_FAIL_OUT(BERTH_E_FORMAT, "%s: member '%.*s' twice", file, (int)out->list[i].name_length,
                           out->list[i].name);
    }
out:
    if (status != BERTH_OK) zip_members_deinit(out);
    return status;
}

void zip_members_deinit(struct zip_members *m) {
    free(m->list);
    *m = (struct zip_members){0};
}

const struct zip_member *zip_members_find(const struct zip_members *m, const char *name, size_t length) {
    const struct zip_member wanted = {.name = name, .name_length = length};
    return m->count == 0 ? NULL : bsearch(&wanted, m->list, m->count, sizeof *m->list, compare_members);
}
