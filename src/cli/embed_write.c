/* embed_write.c: embeddings on their way out, in bounded memory.
 *
 *     tsv     [id TAB] numbers, tabs between          jsonl   {"id", "text", "embedding"}
 *     npy     one array [N, H] of 32-bit floats, as numpy.load reads it: the header has its room in front and
 * is written last, when N is known hdf5    dataset "embeddings" [N, H] of 32-bit floats; with ids "ids": their
 * bytes, a line each; "meta": JSON. A dataset needs its size before its first element, so rows wait in a
 * nameless file beside it */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "berth/h5.h"
#include "cli/embed_priv.h"

enum { NPY_HEADER = 128, PIECE = 1 << 20 };

static berth_status open_spool(int *fd, const char *beside) {
    char *name = NULL;
    BERTH_TRY(berth_file_open_tmp(&name, fd, beside, O_RDWR));
    unlink(name); /* the descriptor alone holds it: nothing is left behind by a crash */
    free(name);
    return BERTH_OK;
}

static berth_status write_all(const struct embed_sink *s, int fd, const void *data, size_t size) {
    const char *p = data;
    while (size > 0) {
        ssize_t n = write(fd, p, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            BERTH_FAIL(BERTH_E_IO, "%s: cannot be written: %s", s->path, strerror(n < 0 ? errno : ENOSPC));
        p += n;
        size -= (size_t)n;
    }
    return BERTH_OK;
}

berth_status embed_sink_open(struct embed_sink *s) {
    static const char room[NPY_HEADER];
    s->rows_fd = s->ids_fd = -1;
    if (s->format == EMBED_HDF5) {
        BERTH_TRY(open_spool(&s->rows_fd, s->path));
        if (s->with_ids) BERTH_TRY(open_spool(&s->ids_fd, s->path));
    } else if (s->format == EMBED_NPY) {
        BERTH_TRY(berth_file_begin(&s->file, s->path));
        s->file_open = true;
        BERTH_TRY(berth_file_write(&s->file, room, sizeof room));
    }
    return BERTH_OK;
}

void embed_sink_deinit(struct embed_sink *s) {
    if (s->file_open) berth_file_abort(&s->file);
    if (s->rows_fd > 0) close(s->rows_fd);
    if (s->ids_fd > 0) close(s->ids_fd);
    s->rows_fd = s->ids_fd = -1;
    s->file_open = false;
}

static const char *id_of(const struct cli_row *row) {
    return row->row.label_count > 0 && row->row.labels[0] ? row->row.labels[0] : "";
}

static berth_status print_rows(const struct embed_sink *s, const struct cli_rows *window, const float *rows) {
    const char *between = s->format == EMBED_JSONL ? ", " : "\t";
    struct berth_str out;
    berth_status status = BERTH_OK;
    berth_str_init(&out);
    for (size_t i = 0; i < window->count; i++) {
        const struct cli_row *row = &window->rows[i];
        if (s->format == EMBED_JSONL) {
            berth_str_add(&out, "{");
            if (s->with_ids) {
                berth_str_add(&out, "\"id\": ");
                cli_add_json_text(&out, id_of(row), strlen(id_of(row)));
                berth_str_add(&out, ", ");
            }
            berth_str_add(&out, "\"text\": ");
            cli_add_json_text(&out, row->text, strlen(row->text));
            berth_str_add(&out, ", \"embedding\": [");
        } else if (s->with_ids) {
            cli_add_cell(&out, id_of(row), strlen(id_of(row)));
            berth_str_add(&out, "\t");
        }
        for (int64_t k = 0; k < s->width; k++) {
            const double value = (double)rows[(int64_t)i * s->width + k];
            berth_str_add(&out, k ? between : "");
            if (s->format == EMBED_JSONL)
                cli_add_json_number(&out, value);
            else
                berth_str_addf(&out, "%.6g", value);
        }
        berth_str_add(&out, s->format == EMBED_JSONL ? "]}\n" : "\n");
        if (out.length > PIECE) BERTH_TRY_OUT(cli_out_str(&out));
    }
    BERTH_TRY_OUT(cli_out_str(&out));
    BERTH_TRY_OUT(cli_out_flush());
out:
    berth_str_deinit(&out);
    return status;
}

static berth_status spool_ids(struct embed_sink *s, const struct cli_rows *window) {
    struct berth_str out;
    berth_str_init(&out);
    for (size_t i = 0; i < window->count; i++) {
        const char *id = id_of(&window->rows[i]);
        cli_add_cell(&out, id, strlen(id));
        berth_str_add(&out, "\n");
    }
    berth_status status =
        out.failed ? berth_error_set(BERTH_E_MEMORY, __FILE__, __LINE__, "%s: out of memory", s->path)
                   : write_all(s, s->ids_fd, out.data, out.length);
    s->id_bytes += (int64_t)out.length;
    berth_str_deinit(&out);
    return status;
}

berth_status embed_sink_add(struct embed_sink *s, const struct cli_rows *window, const float *rows) {
    const size_t size = window->count * (size_t)s->width * sizeof *rows;
    if (s->format == EMBED_HDF5) {
        BERTH_TRY(write_all(s, s->rows_fd, rows, size));
        if (s->with_ids) BERTH_TRY(spool_ids(s, window));
    } else if (s->format == EMBED_NPY) {
        BERTH_TRY(berth_file_write(&s->file, rows, size));
    } else {
        BERTH_TRY(print_rows(s, window, rows));
    }
    s->count += (int64_t)window->count;
    return BERTH_OK;
}

/* numpy's format, version 1.0: magic, length of the header, a Python literal, padded to a multiple of 64. */
static berth_status finish_npy(struct embed_sink *s) {
    char header[NPY_HEADER + 1] = "\x93NUMPY\x01";
    const int room = NPY_HEADER - 10;
    header[8] = (char)room;
    int n =
        snprintf(header + 10, (size_t)room, "{'descr': '<f4', 'fortran_order': False, 'shape': (%lld, %lld), }",
                 (long long)s->count, (long long)s->width);
    BERTH_ASSERT_MSG(n > 0 && n < room, "a header of %d bytes", n);
    memset(header + 10 + n, ' ', (size_t)(room - n));
    header[NPY_HEADER - 1] = '\n';
    if (pwrite(s->file.fd, header, NPY_HEADER, 0) != NPY_HEADER)
        BERTH_FAIL(BERTH_E_IO, "%s: cannot be written: %s", s->path, strerror(errno));
    return berth_file_commit(&s->file);
}

/* From a spool to a dataset, piece by piece. */
static berth_status move_spool(struct embed_sink *s, struct berth_h5_writer *w, const char *name, int fd,
                               size_t size, int64_t count) {
    berth_status status = BERTH_OK;
    char *piece = NULL;
    BERTH_TRY(berth_calloc(&piece, PIECE, 1));
    if (lseek(fd, 0, SEEK_SET) != 0)
        BERTH_FAIL_OUT(BERTH_E_IO, "%s: cannot be read back: %s", s->path, strerror(errno));
    for (int64_t done = 0; done < count;) {
        const int64_t left = count - done, most = (int64_t)(PIECE / size), now = left < most ? left : most;
        for (size_t at = 0; at < (size_t)now * size;) {
            ssize_t n = read(fd, piece + at, (size_t)now * size - at);
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0)
                BERTH_FAIL_OUT(BERTH_E_IO, "%s: cannot be read back: %s", s->path,
                               n < 0 ? strerror(errno) : "cut");
            at += (size_t)n;
        }
        BERTH_TRY_OUT(berth_h5_part(w, name, done, now, piece));
        done += now;
    }
out:
    free(piece);
    return status;
}

static berth_status finish_h5(struct embed_sink *s) {
    struct berth_h5_writer *w = NULL;
    struct berth_str meta;
    berth_status status = BERTH_OK;
    const int64_t dims[2] = {s->count, s->width};
    berth_str_init(&meta);
    berth_str_add(&meta, "{\"model\": ");
    cli_add_json_text(&meta, s->model, strlen(s->model));
    berth_str_addf(&meta, ", \"pooling\": \"%s\", \"normalized\": %s}", berth_pooling_name(s->pooling),
                   s->normalized ? "true" : "false");
    if (meta.failed) BERTH_FAIL_OUT(BERTH_E_MEMORY, "%s: out of memory", s->path);
    BERTH_TRY_OUT(berth_h5_create(&w, s->path, "embeddings", 1));
    BERTH_TRY_OUT(berth_h5_begin(w, "embeddings", BERTH_H5_F32, 2, dims));
    BERTH_TRY_OUT(move_spool(s, w, "embeddings", s->rows_fd, sizeof(float), s->count * s->width));
    if (s->with_ids) {
        BERTH_TRY_OUT(berth_h5_begin(w, "ids", BERTH_H5_U8, 1, &s->id_bytes));
        BERTH_TRY_OUT(move_spool(s, w, "ids", s->ids_fd, 1, s->id_bytes));
    }
    BERTH_TRY_OUT(berth_h5_put_text(w, "meta", meta.data));
    BERTH_TRY_OUT(berth_h5_commit(&w));
out:
    berth_h5_abort(&w);
    berth_str_deinit(&meta);
    return status;
}

berth_status embed_sink_finish(struct embed_sink *s) {
    if (s->format == EMBED_HDF5) return finish_h5(s);
    if (s->format == EMBED_NPY) return finish_npy(s);
    return BERTH_OK;
}
