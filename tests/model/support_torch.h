/* support_torch.h: small zip archives and pickles for the tests of pytorch_model.bin. */
#ifndef SUPPORT_TORCH_H
#define SUPPORT_TORCH_H

#include "model/support_model.h"

struct zip_maker {
    struct berth_str file, central;
    int count;
    int method;         /* of the next members: 0 stored */
    uint64_t lie_size;  /* added to the sizes that the next members claim */
    uint64_t lie_local; /* added to the offsets that the next members claim */
};
void zip_begin(struct zip_maker *z);
void zip_add(struct zip_maker *z, const char *name, const void *data, size_t size);
/* Writes folder/name. */
void zip_end(struct zip_maker *z, const char *folder, const char *name);

/* An archive with this pickle and two storages, "0" of 6 floats 0 .. 5 and "1" of 8 bytes. */
void torch_put(const char *folder, const char *name, const void *pickle, size_t size);

#endif /* SUPPORT_TORCH_H */
