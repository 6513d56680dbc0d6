/* events.c: the numbers of a run for TensorBoard: RUN/events.out.tfevents.berth.
 *
 *   file     record ...                the first is Event{file_version: "brain.Event:2"}
 *   record   uint64 length | uint32 crc(length) | bytes of one Event | uint32 crc(bytes)        little-endian
 * (TFRecord) crc      CRC-32C, masked: rotated right by 15 bits, plus 0xa282ead8 Event    1: double wall_time
 * 2: int64 step   3: string file_version   5: Summary     (protobuf: event.proto) Summary  1: repeated Value {
 * 1: string tag   2: float simple_value }
 *
 * A record is appended whole; one that a killed process left cut off lies behind the size that the checkpoint
 * knew, so resuming cuts it away with the records of steps that are taken again. */
#include <math.h>
#include <string.h>
#include <time.h>

#include "berth/file.h"
#include "train/train_priv.h"

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

uint32_t event_crc32c(const void *data, size_t size) {
    const unsigned char *p = data;
    uint32_t crc = ~0u;
    for (size_t i = 0; i < size; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82f63b78u & -(crc & 1u));
    }
    return ~crc;
}

static uint32_t masked(const void *data, size_t size) {
    uint32_t crc = event_crc32c(data, size);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

/* ---- protobuf */

static void add_varint(struct berth_str *s, uint64_t value) {
    char bytes[10];
    size_t n = 0;
    do {
        bytes[n++] = (char)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        value >>= 7;
    } while (value > 0);
    berth_str_addn(s, bytes, n);
}

static void add_key(struct berth_str *s, int field, enum wire_type type) {
    add_varint(s, (uint64_t)field << 3 | type);
}

/* Numbers lie in memory as in the file: base/h5_priv.h refuses other machines. */
static void add_fixed(struct berth_str *s, int field, enum wire_type type, const void *value) {
    add_key(s, field, type);
    berth_str_addn(s, value, type == WIRE_FIXED64 ? 8 : 4);
}

static void add_bytes(struct berth_str *s, int field, const char *data, size_t size) {
    add_key(s, field, WIRE_BYTES);
    add_varint(s, size);
    berth_str_addn(s, data, size);
}

void event_add(struct berth_str *summary, double value, const char *fmt, ...) {
    struct berth_str v;
    char tag[256];
    float number = (float)value;
    va_list args;
    va_start(args, fmt);
    int length = vsnprintf(tag, sizeof tag, fmt, args);
    va_end(args);
    if (length < 0 || !isfinite(value)) return;
    berth_str_init(&v);
    add_bytes(&v, 1, tag, strlen(tag));
    add_fixed(&v, 2, WIRE_FIXED32, &number);
    summary->failed |= v.failed;
    add_bytes(summary, 1, v.data, v.length);
    berth_str_deinit(&v);
}

/* ---- records */

static void add_record(struct berth_str *out, const struct berth_str *event) {
    uint64_t length = event->length;
    uint32_t crc = masked(&length, sizeof length);
    berth_str_addn(out, (const char *)&length, sizeof length);
    berth_str_addn(out, (const char *)&crc, sizeof crc);
    berth_str_addn(out, event->data, event->length);
    crc = masked(event->data, event->length);
    berth_str_addn(out, (const char *)&crc, sizeof crc);
    out->failed |= event->failed;
}

static double wall_time(void) {
    struct timespec t;
    return clock_gettime(CLOCK_REALTIME, &t) == 0 ? (double)t.tv_sec + 1e-9 * (double)t.tv_nsec : 0.0;
}

berth_status event_write(const char *path, int64_t step, struct berth_str *summary) {
    static const char version[] = "brain.Event:2";
    berth_status status = BERTH_OK;
    int64_t size = 0;
    double now = wall_time();
    struct berth_str out, event;
    berth_str_init(&out);
    berth_str_init(&event);
    if (summary->failed) BERTH_FAIL_OUT(BERTH_E_MEMORY, "%s: out of memory", path);
    if (summary->length == 0) goto out;
    BERTH_TRY_OUT(run_file_size(&size, path));
    if (size == 0) {
        add_fixed(&event, 1, WIRE_FIXED64, &now);
        add_bytes(&event, 3, version, strlen(version));
        add_record(&out, &event);
        berth_str_reset(&event);
    }
    add_fixed(&event, 1, WIRE_FIXED64, &now);
    add_key(&event, 2, WIRE_VARINT);
    add_varint(&event, (uint64_t)step);
    add_bytes(&event, 5, summary->data, summary->length);
    add_record(&out, &event);
    if (out.failed) BERTH_FAIL_OUT(BERTH_E_MEMORY, "%s: out of memory", path);
    BERTH_TRY_OUT(berth_file_append(path, out.data, out.length));
out:
    berth_str_deinit(&event);
    berth_str_deinit(&out);
    return status;
}
