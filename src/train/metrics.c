/* metrics.c: counting entities, and a class with its probability from a row of logits.
 *
 * Entities by the rule of conlleval (CoNLL-2000 shared task), which seqeval's default mode follows. With the
 * kind (the first letter) and the type of a tag and of the tag before it: an entity ends before a tag when the
 * one before is E or S, or is B or I and this one is B, S or O, or the types differ (and the one before is not
 * O) an entity begins at a tag when       it is B or S, or is E or I and the one before is E, S or O, or the
 * types differ (and this one is not O) An entity is right when both sides have one of the same type at the same
 * words. */
#include <math.h>
#include <string.h>

#include "train/train_priv.h"

struct tag {
    char kind;        /* B I E S O, or another first letter */
    const char *type; /* behind the first '-' after the kind; "_" when there is none */
};

static struct tag tag_read(const char *text) {
    struct tag tag = {.kind = 'O', .type = "_"};
    if (text == NULL || text[0] == '\0') return tag;
    tag.kind = text[0];
    const char *dash = strchr(text + 1, '-');
    const char *type = dash != NULL ? dash + 1 : text + 1;
    if (type[0] != '\0') tag.type = type;
    return tag;
}

static bool is_one_of(char kind, const char *kinds) {
    return kind != '\0' && strchr(kinds, kind) != NULL;
}

static bool entity_ends(struct tag before, struct tag now) {
    if (before.kind == 'O') return false;
    if (is_one_of(before.kind, "ES")) return true;
    if (is_one_of(before.kind, "BI") && is_one_of(now.kind, "BSO")) return true;
    return strcmp(before.type, now.type) != 0;
}

static bool entity_begins(struct tag before, struct tag now) {
    if (now.kind == 'O') return false;
    if (is_one_of(now.kind, "BS")) return true;
    if (is_one_of(now.kind, "EI") && is_one_of(before.kind, "ESO")) return true;
    return strcmp(before.type, now.type) != 0;
}

void berth_span_count(struct berth_span_counts *counts, const char *const *gold, const char *const *predicted,
                      size_t words) {
    struct tag before[2] = {tag_read(NULL), tag_read(NULL)}; /* gold, predicted */
    size_t begin[2] = {0, 0};
    for (size_t i = 0; i <= words; i++) {
        struct tag now[2] = {tag_read(i < words ? gold[i] : NULL), tag_read(i < words ? predicted[i] : NULL)};
        bool ends[2] = {entity_ends(before[0], now[0]), entity_ends(before[1], now[1])};
        counts->gold += ends[0];
        counts->predicted += ends[1];
        if (ends[0] && ends[1] && begin[0] == begin[1] && strcmp(before[0].type, before[1].type) == 0)
            counts->correct++;
        for (int side = 0; side < 2; side++) {
            if (entity_begins(before[side], now[side])) begin[side] = i;
            before[side] = now[side];
        }
    }
}

double berth_span_f1(const struct berth_span_counts *counts) {
    int64_t both = counts->gold + counts->predicted;
    return both > 0 ? 2.0 * (double)counts->correct / (double)both : 0.0;
}

void berth_argmax_softmax(const float *logits, int64_t classes, int32_t *best, float *probability) {
    int64_t at = 0;
    double sum = 0;
    for (int64_t k = 1; k < classes; k++) {
        if (logits[k] > logits[at]) at = k;
    }
    for (int64_t k = 0; k < classes; k++)
        sum += exp((double)logits[k] - (double)logits[at]);
    *best = (int32_t)at;
    if (probability != NULL) *probability = (float)(1.0 / sum);
}
