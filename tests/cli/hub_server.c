/* hub_server.c: a small model hub on 127.0.0.1 for tests of scripts/fetch_model.sh.
 *
 *     hub_server FOLDER PORT_FILE [break=BYTES] [lie=FILE] [nodigest=FILE]
 *
 * Serves FOLDER/NAME for /OWNER/MODEL/resolve/main/NAME, writes its port into PORT_FILE once it listens, and
 * ends when its standard input ends. Answers as the hub does: files of more than 1000 bytes behind a
 * redirection that states X-Linked-Size and X-Linked-ETag (SHA-256), small ones with an ETag (git's blob
 * SHA-1). FOLDER/NAME.digest holds the digest to state. Ranges are served. break=N: the first body of a large
 * file stops after N bytes and the connection is closed. lie=NAME: states a wrong digest for NAME;
 * nodigest=NAME: none. Each request is a line on standard output: method, path, first byte. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LARGE = 1000 };

struct hub {
    const char *folder, *lie, *nodigest;
    uint64_t break_after; /* 0: never */
    bool broken;          /* it has happened */
};

struct body {
    int fd;
    uint64_t first, stop; /* stop: bytes of the file after which the connection breaks; 0: none */
};

static ssize_t read_body(void *user, uint64_t at, char *to, size_t most) {
    struct body *b = user;
    uint64_t place = b->first + at;
    if (b->stop && place >= b->stop) return MHD_CONTENT_READER_END_WITH_ERROR;
    if (b->stop && place + most > b->stop) most = (size_t)(b->stop - place);
    ssize_t n = pread(b->fd, to, most, (off_t)place);
    return n > 0 ? n : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void free_body(void *user) {
    struct body *b = user;
    close(b->fd);
    free(b);
}

static enum MHD_Result send_text(struct MHD_Connection *c, unsigned code, const char *field,
                                 const char *value) {
    struct MHD_Response *r = MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT);
    if (field) MHD_add_response_header(r, field, value);
    enum MHD_Result result = MHD_queue_response(c, code, r);
    MHD_destroy_response(r);
    return result;
}

/* The digest to state for a file, quoted; "" when none. */
static void read_digest(const struct hub *h, const char *name, char out[80]) {
    char path[4096], text[70] = "";
    snprintf(path, sizeof path, "%s/%s.digest", h->folder, name);
    out[0] = '\0';
    FILE *f = fopen(path, "r");
    if (!f) return;
    if (fscanf(f, "%64s", text) == 1) {
        if (h->lie && strcmp(h->lie, name) == 0) text[0] = text[0] == '0' ? '1' : '0';
        if (!h->nodigest || strcmp(h->nodigest, name) != 0) snprintf(out, 80, "\"%s\"", text);
    }
    fclose(f);
}

/* The large file's head on the hub: where it really lies, its size and digest. */
static enum MHD_Result redirect(struct hub *h, struct MHD_Connection *c, const char *name, uint64_t size) {
    char place[300], digest[80], length[32];
    read_digest(h, name, digest);
    snprintf(place, sizeof place, "/large/%s", name);
    snprintf(length, sizeof length, "%llu", (unsigned long long)size);
    struct MHD_Response *r = MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT);
    MHD_add_response_header(r, "Location", place);
    MHD_add_response_header(r, "X-Linked-Size", length);
    if (digest[0]) MHD_add_response_header(r, "X-Linked-ETag", digest);
    enum MHD_Result result = MHD_queue_response(c, MHD_HTTP_FOUND, r);
    MHD_destroy_response(r);
    return result;
}

static enum MHD_Result send_file(struct hub *h, struct MHD_Connection *c, const char *name, int fd,
                                 uint64_t size, uint64_t first, bool large) {
    if (first >= size && size > 0) {
        close(fd);
        return send_text(c, MHD_HTTP_RANGE_NOT_SATISFIABLE, NULL, NULL);
    }
    struct body *b = calloc(1, sizeof *b);
    if (!b) abort();
    b->fd = fd;
    b->first = first;
    if (large && h->break_after && !h->broken) {
        b->stop = h->break_after;
        h->broken = true;
    }
    struct MHD_Response *r = MHD_create_response_from_callback(size - first, 4096, read_body, b, free_body);
    char digest[80], range[80];
    read_digest(h, name, digest);
    if (large) snprintf(digest, sizeof digest, "\"another-kind-of-tag\"");
    if (digest[0]) MHD_add_response_header(r, "ETag", digest);
    MHD_add_response_header(r, "Accept-Ranges", "bytes");
    if (first > 0) {
        snprintf(range, sizeof range, "bytes %llu-%llu/%llu", (unsigned long long)first,
                 (unsigned long long)size - 1, (unsigned long long)size);
        MHD_add_response_header(r, "Content-Range", range);
    }
    enum MHD_Result result = MHD_queue_response(c, first > 0 ? MHD_HTTP_PARTIAL_CONTENT : MHD_HTTP_OK, r);
    MHD_destroy_response(r);
    return result;
}

static enum MHD_Result answer(void *user, struct MHD_Connection *c, const char *url, const char *method,
                              const char *version, const char *data, size_t *size, void **state) {
    (void)version;
    (void)data;
    (void)size;
    (void)state;
    struct hub *h = user;
    bool large_place = strncmp(url, "/large/", 7) == 0;
    const char *resolve = strstr(url, "/resolve/main/");
    const char *name = large_place ? url + 7 : resolve ? resolve + 14 : NULL;
    const char *range = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Range");
    unsigned long long first = 0;
    if (range) sscanf(range, "bytes=%llu-", &first);
    printf("%s %s %llu\n", method, url, first);
    fflush(stdout);
    if (!name || strchr(name, '/')) return send_text(c, MHD_HTTP_NOT_FOUND, NULL, NULL);
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", h->folder, name);
    int fd = open(path, O_RDONLY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        if (fd >= 0) close(fd);
        return send_text(c, MHD_HTTP_NOT_FOUND, NULL, NULL);
    }
    if (!large_place && st.st_size > LARGE) {
        close(fd);
        return redirect(h, c, name, (uint64_t)st.st_size);
    }
    /* A head's body is never read, so it must not use up the one break. */
    bool head = strcmp(method, "HEAD") == 0;
    return send_file(h, c, name, fd, (uint64_t)st.st_size, first, large_place && !head);
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: hub_server FOLDER PORT_FILE [break=BYTES] [lie=FILE] [nodigest=FILE]\n");
        return 2;
    }
    struct hub h = {.folder = argv[1]};
    for (int i = 3; i < argc; i++) {
        if (strncmp(argv[i], "break=", 6) == 0) h.break_after = strtoull(argv[i] + 6, NULL, 10);
        if (strncmp(argv[i], "lie=", 4) == 0) h.lie = argv[i] + 4;
        if (strncmp(argv[i], "nodigest=", 9) == 0) h.nodigest = argv[i] + 9;
    }
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct MHD_Daemon *d = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, answer, &h,
                                            MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_END);
    const union MHD_DaemonInfo *info = d ? MHD_get_daemon_info(d, MHD_DAEMON_INFO_BIND_PORT) : NULL;
    FILE *f = info ? fopen(argv[2], "w") : NULL;
    if (!f) {
        fprintf(stderr, "hub_server: could not start\n");
        return 1;
    }
    fprintf(f, "%u\n", (unsigned)info->port);
    fclose(f);
    while (getchar() != EOF)
        continue;
    MHD_stop_daemon(d);
    return 0;
}
