/* test_events.c: the event file, read by a small reader of its own: records, checksums, numbers, cutting back.
 */
#include "support_train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "train/train_priv.h"

/* The check values of RFC 3720, B.4, and of the CRC catalogue. */
static void test_crc32c(void **state) {
    (void)state;
    unsigned char bytes[32];
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(event_crc32c(bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(event_crc32c(bytes, 32), 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        bytes[i] = (unsigned char)i;
    assert_int_equal(event_crc32c(bytes, 32), 0x46dd794e);
    assert_int_equal(event_crc32c("123456789", 9), 0xe3069283);
}

static uint32_t masked_crc(const void *data, size_t size) {
    uint32_t crc = event_crc32c(data, size);
    return (uint32_t)((crc >> 15 | crc << 17) + 0xa282ead8u);
}

static uint64_t read_varint(const unsigned char **p) {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
        value |= (uint64_t)(**p & 0x7f) << shift;
        if ((*(*p)++ & 0x80) == 0) return value;
    }
}

struct reading {
    int records, scalars;
    int64_t last_step;
    double loss_sum; /* of train/loss */
};

static void read_value(struct reading *r, const unsigned char *p, size_t size) {
    const unsigned char *end = p + size;
    char tag[256] = "";
    float value = 0;
    while (p < end) {
        uint64_t key = read_varint(&p);
        if (key == (1 << 3 | 2)) {
            size_t n = (size_t)read_varint(&p);
            assert_true(n < sizeof tag);
            memcpy(tag, p, n);
            tag[n] = '\0';
            p += n;
        } else {
            assert_int_equal(key, 2 << 3 | 5);
            memcpy(&value, p, 4);
            p += 4;
        }
    }
    assert_true(tag[0] != '\0');
    r->scalars++;
    if (strcmp(tag, "train/loss") == 0) r->loss_sum += value;
}

static void read_event(struct reading *r, const unsigned char *p, size_t size) {
    const unsigned char *end = p + size;
    bool timed = false;
    while (p < end) {
        uint64_t key = read_varint(&p);
        if (key == (1 << 3 | 1)) {
            double time = 0;
            memcpy(&time, p, 8);
            assert_true(time > 1.5e9);
            timed = true;
            p += 8;
        } else if (key == (2 << 3 | 0)) {
            r->last_step = (int64_t)read_varint(&p);
        } else if (key == (3 << 3 | 2)) {
            size_t n = (size_t)read_varint(&p);
            assert_int_equal(r->records, 0);
            assert_memory_equal(p, "brain.Event:2", n);
            p += n;
        } else {
            assert_int_equal(key, 5 << 3 | 2);
            size_t n = (size_t)read_varint(&p);
            for (const unsigned char *q = p; q < p + n;) {
                assert_int_equal(read_varint(&q), 1 << 3 | 2);
                size_t length = (size_t)read_varint(&q);
                read_value(r, q, length);
                q += length;
            }
            p += n;
        }
    }
    assert_ptr_equal(p, end);
    assert_true(timed);
}

static struct reading read_events(const char *path) {
    struct reading r = {0};
    char *data = NULL;
    size_t size = 0;
    assert_done(berth_file_read(&data, &size, path));
    for (size_t at = 0; at < size;) {
        uint64_t length = 0;
        uint32_t crc = 0;
        assert_true(size - at >= 16);
        memcpy(&length, data + at, 8);
        memcpy(&crc, data + at + 8, 4);
        assert_int_equal(crc, masked_crc(data + at, 8));
        assert_true(length <= size - at - 16);
        memcpy(&crc, data + at + 12 + length, 4);
        assert_int_equal(crc, masked_crc(data + at + 12, (size_t)length));
        read_event(&r, (const unsigned char *)data + at + 12, (size_t)length);
        r.records++;
        at += 16 + (size_t)length;
    }
    free(data);
    return r;
}

#define EVENTS "/events.out.tfevents.berth"

static void test_a_run(void **state) {
    struct world *w = *state;
    assert_int_equal(run_whole(w, "whole", false, 0, "checkpoint.every=4 steps", NULL), BERTH_OK);
    struct reading whole = read_events(world_path(w, "whole" EVENTS));
    assert_int_equal(whole.records,
                     1 + 6 + 3 + 1); /* version; reports and evaluations as test_train_run counts them */
    assert_true(whole.scalars > 100 && whole.loss_sum > 0);
    /* stopped, more written behind the checkpoint and half a record, resumed: the same numbers once */
    assert_int_equal(run_whole(w, "cut", false, 7, "checkpoint.every=4 steps", NULL), BERTH_E_STOPPED);
    struct berth_str s;
    berth_str_init(&s);
    event_add(&s, 1e9, "train/loss");
    event_add(&s, (double)NAN, "never/there");
    assert_done(event_write(world_path(w, "cut" EVENTS), 8, &s));
    berth_str_deinit(&s);
    assert_int_equal(read_events(world_path(w, "cut" EVENTS)).last_step, 8);
    assert_done(berth_file_append(world_path(w, "cut" EVENTS), "\x20\0\0\0\0", 5));
    assert_int_equal(run_whole(w, "cut", true, 0, "checkpoint.every=4 steps", NULL), BERTH_OK);
    struct reading cut = read_events(world_path(w, "cut" EVENTS));
    assert_int_equal(cut.records, whole.records);
    assert_int_equal(cut.scalars, whole.scalars);
    assert_true(cut.loss_sum == whole.loss_sum);
    assert_int_equal(run_whole(w, "off", false, 0, "log.tensorboard=false", NULL), BERTH_OK);
    assert_false(berth_file_exists(world_path(w, "off" EVENTS)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc32c),
        cmocka_unit_test(test_a_run),
    };
    return cmocka_run_group_tests_name("events", tests, world_setup, world_teardown);
}
