/* augment_priv.h: training rows altered on their way into a batch, tags with them.
 *
 *     packed row ─load─▶ words with their tags ─operations, in the order of the registry─▶ tags mended ─store─▶
 * row
 *
 * An operation is one file and one row of the registry in augment.c. What it does is a pure function of the
 * feeder's seed, source, epoch, row and occurrence: neither threads nor ranks nor what was drawn before matter.
 *
 * A word is what the pack calls one; where a text has no words there, a piece with the pieces ("##...") that
 * continue it. Words that are fixed stay where and what they are: in a window of a longer row what belongs to
 * another window, and the last word, whose end the row does not tell. */
#ifndef BERTH_AUGMENT_PRIV_H
#define BERTH_AUGMENT_PRIV_H

#include "data/data_priv.h"

enum { TAG_B, TAG_I, TAG_E, TAG_S, TAG_KINDS };

struct augment_donor { /* an entity of a training row, whole */
    int64_t row;
    int32_t word, count; /* of the row's words */
};

struct augment_donors {         /* of one type */
    struct augment_donor *list; /* [kept] owned */
    size_t kept, capacity;
    uint64_t seen;
};

struct augment_tagging { /* a tagging task that reads the source */
    size_t task;
    enum berth_tag_scheme scheme;
    const struct berth_labels *labels;
    struct berth_labels types;
    int32_t (*of_type)[TAG_KINDS];   /* [types] the label of each kind; -1: the task has none */
    struct augment_donors *entities; /* [types]; NULL: nobody asks for them */
    struct augment_donors *words;    /* [labels]; NULL: nobody asks for them */
};

struct augment_source {
    bool on;
    struct augment_tagging *taggings; /* [tagging_count] owned */
    size_t tagging_count;
};

struct augmenter {
    const struct berth_data *data; /* borrowed */
    uint64_t seed;
    struct augment_source *sources; /* [sources of the data] */
};

/* ---- a row as words */

struct augment_tag {
    int32_t label;  /* BERTH_LABEL_MISSING: none */
    int32_t entity; /* of the row; -1: outside */
};
struct augment_word {
    int32_t first, count; /* tokens of the pool */
    int32_t tags;         /* first of its tagging_count tags; -1: it has none */
    int8_t part;          /* 0 text, 1 pair, 2 negative */
    bool fixed;
};
struct augment_entity {
    int32_t words; /* when it was whole */
    int32_t type;
    bool open; /* it goes on in a neighbouring window: it stays as it is, and is no donor */
};

struct augment_row {
    const struct augmenter *augmenter;
    const struct augment_source *source;
    const struct berth_dataset *set;
    const struct row_draw *draw;
    uint64_t key;
    struct augment_word *words; /* [word_count] part after part */
    size_t word_count, word_capacity;
    struct augment_word *other; /* work space */
    size_t other_capacity;
    int32_t *tokens; /* the pool */
    size_t token_count, token_capacity;
    struct augment_tag *tags;
    size_t tag_count, tag_capacity;
    struct augment_entity *entities;
    size_t entity_count, entity_capacity;
    const char **names; /* tags of a row, for reading entities off them */
    size_t name_capacity;
    int32_t *entity_of; /* the entity of each of a row's words; -1 */
    size_t entity_of_capacity;
    int64_t *labelled; /* [taggings] labelled words when it was loaded */
    size_t labelled_capacity;
    uint32_t *blocks; /* work space */
    size_t block_capacity;
    /* the row as it is fed */
    struct fed_row fed;
    int32_t *out_tokens, *out_words, *out_labels;
    uint8_t *out_segments;
    size_t out_token_capacity, out_segment_capacity, out_word_capacity, out_label_capacity;
    const int32_t **label_of; /* [tasks] */
    size_t label_of_capacity;
};
/* The row's words into r; forgets the row before. */
berth_status augment_load(struct augment_row *r) BERTH_CHECKED;
/* The words as r->fed, cut to max_length. */
berth_status augment_store(struct augment_row *r) BERTH_CHECKED;
/* Puts the donor's words, with their tags, behind the first `at` words of r->other. */
berth_status augment_copy_words(struct augment_row *r, size_t at,
                                const struct augment_donor *from) BERTH_CHECKED;
/* Gives a word the tokens of a word of another row. */
berth_status augment_copy_tokens(struct augment_row *r, struct augment_word *word, int64_t row,
                                 int64_t from) BERTH_CHECKED;
/* Whether a row's last word may be a part of one: the end of it was cut off or lies in the next window. */
bool augment_is_open(const struct berth_dataset *set, int64_t row);
static inline struct augment_tag *augment_tags_of(const struct augment_row *r, size_t word) {
    return r->words[word].tags < 0 ? NULL : r->tags + r->words[word].tags;
}

/* ---- augment_tags.c */
berth_status augment_tagging_init(struct augment_tagging *t, const struct berth_data *d,
                                  size_t task) BERTH_CHECKED;
void augment_tagging_deinit(struct augment_tagging *t);
/* Entities of a set's row by a tagging task: r->entity_of [words of the row], the entities behind those that r
 * has. */
berth_status augment_find_entities(struct augment_row *r, size_t tagging, int64_t row) BERTH_CHECKED;
/* Gives new tags to entities that lost words or came apart. *good is false where a tag is needed that the task
 * does not have. */
void augment_mend_tags(struct augment_row *r, bool *good);
/* Labelled words of a tagging task. */
int64_t augment_labelled(const struct augment_row *r, size_t tagging);

/* ---- operations */
struct augment_op {
    const char *name; /* the key data.*.augment.NAME: with which probability */
    uint32_t stream;  /* of its draws; never that of another */
    bool needs_mask;  /* the token [MASK] */
    /* Gathers what it takes from the training rows of a tagging task; NULL: it works without tags. */
    berth_status (*prepare)(struct augment_row *r, struct augment_tagging *t, size_t tagging);
    berth_status (*apply)(struct augment_row *r, const struct augment_op *self, double probability);
};
extern const struct augment_op augment_entity, augment_replace, augment_delete, augment_swap, augment_mask;
/* Draws of the row: the position is the operation's own to choose. */
double augment_unit(const struct augment_row *r, const struct augment_op *op, uint64_t position);
uint64_t augment_below(const struct augment_row *r, const struct augment_op *op, uint64_t position,
                       uint64_t bound);
/* r->words = the first `count` of r->other. */
void augment_take_other(struct augment_row *r, size_t count);
/* Keeps `most` of all donors offered to d, each with the same chance (reservoir sampling, Vitter's algorithm
 * R), so that memory does not grow with the rows. key: of d alone. */
berth_status augment_keep_donor(const struct augment_row *r, struct augment_donors *d,
                                const struct augment_donor *donor, size_t most, uint64_t key) BERTH_CHECKED;

#endif /* BERTH_AUGMENT_PRIV_H */
