/* embed_priv.h: the parts of `berth embed`: cmd_embed.c makes the embeddings, embed_write.c writes them. */
#ifndef BERTH_EMBED_PRIV_H
#define BERTH_EMBED_PRIV_H

#include "berth/file.h"
#include "cli/cli_priv.h"

enum embed_format { EMBED_TSV, EMBED_JSONL, EMBED_HDF5, EMBED_NPY };

/* Where embeddings go. Nothing stands under the file's name before all of them are written. */
struct embed_sink {
    enum embed_format format;
    const char *path, *model; /* borrowed; path NULL: standard output (tsv, jsonl) */
    enum berth_pooling pooling;
    bool normalized, with_ids;
    int64_t width; /* H */
    int64_t count; /* rows so far */
    int64_t id_bytes;
    struct berth_file_writer file; /* npy */
    int rows_fd, ids_fd;           /* hdf5: nameless temporary files beside the path */
    bool file_open;
};
/* Deinit after a failure, too. */
berth_status embed_sink_open(struct embed_sink *s) BERTH_CHECKED;
/* rows [window, H], in the order of the window; an id is the row's first label. */
berth_status embed_sink_add(struct embed_sink *s, const struct cli_rows *window,
                            const float *rows) BERTH_CHECKED;
berth_status embed_sink_finish(struct embed_sink *s) BERTH_CHECKED;
void embed_sink_deinit(struct embed_sink *s);

#endif /* BERTH_EMBED_PRIV_H */
