/* support_golden.h: rows of the golden files that the reference's scripts write. */
#ifndef SUPPORT_GOLDEN_H
#define SUPPORT_GOLDEN_H

#include "text/support_text.h"

enum { GOLDEN_FIELDS = 8 };

struct golden_row {
    const char *file;
    int line;
    char *fields[GOLDEN_FIELDS]; /* NULL behind the last */
};

/* Calls visit for each line of tests/golden/FILE that is no comment. */
void golden_each_row(const char *file, void (*visit)(struct golden_row *, void *), void *user);

/* The tokenizer that a row's second field names. */
typedef const struct berth_tokenizer *golden_lookup(void *user, const char *name);
struct golden_counts {
    int texts, decoded;
};
/* Checks rows of kinds text, word, decode and skip (scripts/make_tokenizer_golden.py has the columns); others are
 * passed over. Fails with file and line. */
struct golden_counts golden_check_rows(const char *file, golden_lookup *lookup, void *user);

#endif /* SUPPORT_GOLDEN_H */
