/* census.h: what lies in the files of a configuration, before anything is trained on it: `berth data`.
 *
 *     struct berth_census *census;
 *     BERTH_TRY(berth_census_take(&census, data, config, tokenizer));
 *     census->sources[s][BERTH_TRAIN].rows ...
 *     berth_census_free(census);
 *
 * Rows are those of the files; a window of one is not counted again. Texts are compared by 64-bit digests, 16
 * bytes a row in memory; everything else is read off the packs.
 */
#ifndef BERTH_CENSUS_H
#define BERTH_CENSUS_H

#include "berth/data.h"

/* How texts are compared: byte by byte, or without case, with white space and punctuation as one space. */
enum berth_census_compare { BERTH_CENSUS_EXACT, BERTH_CENSUS_FOLDED, BERTH_CENSUS_COMPARES };

struct berth_census_labels {    /* of one task in one split of a source */
    bool there;                 /* the source carries the task */
    int64_t rows;               /* that are labelled */
    int64_t missing;            /* that are not; tagging: not one word is */
    int64_t words;              /* tagging: with a tag */
    int64_t words_missing;      /* tagging: without one */
    int64_t *counts;            /* [labels of the task] rows that have it, tagging: words; NULL: no labels */
    struct berth_labels unseen; /* names that are not among the task's labels, */
    int64_t *unseen_counts;     /* and how often each came */
    struct berth_labels types;  /* tagging: types of entities, */
    int64_t *type_counts;       /* and how many entities */
    int64_t odd;                /* tagging: tags out of place by the scheme of the files, */
    char *odd_first;            /* and where the first stands; NULL: none */
    double mean, deviation, least, most; /* regression, similarity */
};

struct berth_census_split {
    bool there;
    int64_t rows, tokens; /* tokens: special ones included, nothing cut */
    int64_t rows_cut;     /* longer than model.max_length */
    int64_t longest;      /* tokens of a row; of separate sequences the longest one counts */
    int64_t *lengths;     /* [longest + 1] rows of each length */
    int64_t replaced;     /* bad characters, with encoding: replace */
    /* rows whose text stood before in the split; rows whose text stands in another split of the source */
    int64_t repeats[BERTH_CENSUS_COMPARES];
    int64_t shared[BERTH_CENSUS_COMPARES][BERTH_SPLIT_COUNT];
    struct berth_census_labels *tasks; /* [tasks of the data] */
};

struct berth_census_leak { /* dev or test rows of one source that are training rows of another */
    size_t source, training;
    enum berth_split split;
    int64_t rows[BERTH_CENSUS_COMPARES]; /* not all 0 */
};

struct berth_census {
    struct berth_census_split (*sources)[BERTH_SPLIT_COUNT]; /* [sources of the data] */
    size_t source_count, task_count;
    struct berth_census_leak *leaks; /* [leak_count] */
    size_t leak_count;
};

/* Of the splits that the data has open, which must come from this configuration and tokenizer. Reads the files
 * again (for their texts). */
berth_status berth_census_take(struct berth_census **out, const struct berth_data *d,
                               const struct berth_config *c, const struct berth_tokenizer *t) BERTH_CHECKED;
void berth_census_free(struct berth_census *census);
/* The length that `share` of the rows do not exceed: 0.5 is the median. 0 where there are no rows. */
int64_t berth_census_percentile(const struct berth_census_split *split, double share);

#endif /* BERTH_CENSUS_H */
