/* support_torch.c: small zip archives for the tests of pytorch_model.bin. */
#include "model/support_torch.h"

#include "berth/file.h"

static void put(struct berth_str *s, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) {
        const char byte = (char)(i < 8 ? value >> (8 * i) & 0xFF : 0);
        berth_str_addn(s, &byte, 1);
    }
}

void zip_begin(struct zip_maker *z) {
    *z = (struct zip_maker){0};
    berth_str_init(&z->file);
    berth_str_init(&z->central);
    berth_str_add(&z->central, "");
}

/* Method, times, digest, sizes, length of the name: the same in both headers. */
static void put_common(struct berth_str *s, const struct zip_maker *z, const char *name, size_t size) {
    put(s, (uint64_t)z->method, 2);
    put(s, 0, 4 + 4);
    put(s, size + z->lie_size, 4);
    put(s, size + z->lie_size, 4);
    put(s, strlen(name), 2);
}

void zip_add(struct zip_maker *z, const char *name, const void *data, size_t size) {
    const uint64_t local = z->file.length;
    put(&z->file, 0x04034b50, 4);
    put(&z->file, 0, 4);
    put_common(&z->file, z, name, size);
    put(&z->file, 7, 2); /* an extra field, as PyTorch pads with */
    berth_str_add(&z->file, name);
    berth_str_addn(&z->file, "FB\x03\0ZZZ", 7);
    berth_str_addn(&z->file, data, size);
    put(&z->central, 0x02014b50, 4);
    put(&z->central, 0, 6);
    put_common(&z->central, z, name, size);
    put(&z->central, 0, 12);
    put(&z->central, local + z->lie_local, 4);
    berth_str_add(&z->central, name);
    z->count++;
}

void zip_end(struct zip_maker *z, const char *folder, const char *name) {
    const uint64_t at = z->file.length;
    char *path = model_path(folder, name);
    berth_str_addn(&z->file, z->central.data, z->central.length);
    put(&z->file, 0x06054b50, 4);
    put(&z->file, 0, 4);
    put(&z->file, (uint64_t)z->count, 2);
    put(&z->file, (uint64_t)z->count, 2);
    put(&z->file, z->central.length, 4);
    put(&z->file, at, 4);
    put(&z->file, 0, 2);
    assert_false(z->file.failed || z->central.failed);
    check_ok(berth_file_put(path, z->file.data, z->file.length));
    berth_str_deinit(&z->file);
    berth_str_deinit(&z->central);
    free(path);
}

void torch_put(const char *folder, const char *name, const void *pickle, size_t size) {
    static const float FLOATS[6] = {0, 1, 2, 3, 4, 5};
    static const unsigned char BYTES[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct zip_maker z;
    zip_begin(&z);
    zip_add(&z, "archive/data.pkl", pickle, size);
    zip_add(&z, "archive/data/0", FLOATS, sizeof FLOATS);
    zip_add(&z, "archive/data/1", BYTES, sizeof BYTES);
    zip_add(&z, "archive/version", "3\n", 2);
    zip_end(&z, folder, name);
}
