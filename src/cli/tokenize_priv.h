/* tokenize_priv.h: what the two files of `berth tokenize` share. */
#ifndef BERTH_CLI_TOKENIZE_PRIV_H
#define BERTH_CLI_TOKENIZE_PRIV_H

#include "cli/cli_priv.h"

struct tokenize_style {
    bool tokens, offsets; /* of plain lines */
    bool json;
};

/* A line for each row; `line` is the number of input 0. Rows are written by several threads and come out in order. */
berth_status tokenize_print(const struct berth_tokenizer *t, const struct tokenize_style *style,
                            const struct berth_encoded *rows, int64_t line, int threads) BERTH_CHECKED;

#endif /* BERTH_CLI_TOKENIZE_PRIV_H */
