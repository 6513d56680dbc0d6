/* bench_tokenizer.c: how fast lines become ids, in this process: bench_tokenizer VOCABULARY FILE THREADS
 * SECONDS.
 *
 * Lines of FILE are read first; then all of them are encoded (with [CLS], [SEP], offsets; nothing is cut off),
 * once for nothing and then until SECONDS are over. Prints one JSON object. scripts/bench/tokenizer.py runs it
 * beside the reference. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "berth/text.h"

struct bench {
    struct berth_tokenizer *tokenizer;
    char *text;
    struct berth_text *lines;
    struct berth_text_input *inputs;
    size_t bytes, count;
    struct berth_encoded rows;
};

static berth_status read_lines(struct bench *b, const char *path) {
    size_t size = 0, capacity = 0;
    BERTH_TRY(berth_file_read(&b->text, &size, path));
    for (char *at = b->text; at < b->text + size;) {
        size_t n = strcspn(at, "\n");
        BERTH_TRY(berth_grow(&b->lines, &capacity, b->count + 1, sizeof *b->lines));
        b->lines[b->count++] = (struct berth_text){at, n};
        b->bytes += n;
        at += n + 1;
    }
    BERTH_TRY(berth_calloc(&b->inputs, b->count, sizeof *b->inputs));
    for (size_t i = 0; i < b->count; i++)
        b->inputs[i] = (struct berth_text_input){.first = &b->lines[i], .first_count = 1};
    return BERTH_OK;
}

static berth_status run(struct bench *b, char **arguments) {
    const struct berth_encode_options options = {.threads = atoi(arguments[3])};
    double limit = atof(arguments[4]), seconds = 0;
    int repeats = 0;
    BERTH_TRY(berth_tokenizer_load_vocab(&b->tokenizer, arguments[1], NULL));
    BERTH_TRY(read_lines(b, arguments[2]));
    BERTH_TRY(berth_tokenizer_encode_batch(b->tokenizer, &b->rows, b->inputs, b->count, &options));
    double begin = berth_time_seconds();
    while (seconds < limit) {
        BERTH_TRY(berth_tokenizer_encode_batch(b->tokenizer, &b->rows, b->inputs, b->count, &options));
        seconds = berth_time_seconds() - begin;
        repeats++;
    }
    printf("{\"lines\": %zu, \"bytes\": %zu, \"tokens\": %zu, \"seconds\": %.9f}\n", b->count, b->bytes,
           b->rows.count, seconds / repeats);
    return BERTH_OK;
}

int main(int count, char **arguments) {
    struct bench b = {0};
    if (count != 5) {
        fprintf(stderr, "usage: bench_tokenizer VOCABULARY FILE THREADS SECONDS\n");
        return 2;
    }
    berth_encoded_init(&b.rows);
    berth_status status = run(&b, arguments);
    if (status != BERTH_OK) fprintf(stderr, "%s\n", berth_error_text());
    berth_encoded_deinit(&b.rows);
    berth_tokenizer_free(b.tokenizer);
    free(b.inputs);
    free(b.lines);
    free(b.text);
    return berth_status_exit_code(status);
}
