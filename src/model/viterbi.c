/* viterbi.c: the best path of tags through a sentence (Viterbi 1967).
 *
 *     d_0(j) = start(j) + z(0, j)        d_t(j) = z(t, j) + max_i (d_{t-1}(i) + T(i, j))        best: d_last(j)
 * + end(j)
 *
 * In double. Of equal ones the lower tag is taken. A sentence has K tags a word; each step looks at K²
 * transitions. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/model_priv.h"

/* d [K] of word t from that of the word before; from [K]: where each came from. */
static void advance(double *d, int32_t *from, const double *before, const float *z, const double *transitions,
                    int64_t classes) {
    for (int64_t j = 0; j < classes; j++) {
        int64_t best = 0;
        double most = before[0] + transitions[j];
        for (int64_t i = 1; i < classes; i++) {
            const double score = before[i] + transitions[i * classes + j];
            if (score > most) {
                most = score;
                best = i;
            }
        }
        d[j] = most + (double)z[j];
        from[j] = (int32_t)best;
    }
}

berth_status viterbi_decode(int32_t *path, const float *z, const double *transitions, const double *start,
                            const double *end, int64_t words, int64_t classes) {
    berth_status status = BERTH_OK;
    double *d = NULL;
    int32_t *from = NULL;
    if (words == 0) return BERTH_OK;
    BERTH_TRY_OUT(berth_calloc(&d, 2 * (size_t)classes, sizeof *d));
    BERTH_TRY_OUT(berth_calloc(&from, (size_t)(words * classes), sizeof *from));
    double *before = d, *now = d + classes;
    for (int64_t j = 0; j < classes; j++)
        now[j] = start[j] + (double)z[j];
    for (int64_t t = 1; t < words; t++) {
        double *swap = before;
        before = now;
        now = swap;
        advance(now, from + t * classes, before, z + t * classes, transitions, classes);
    }
    int64_t best = 0;
    for (int64_t j = 0; j < classes; j++) {
        now[j] += end[j];
        if (now[j] > now[best]) best = j;
    }
    if (!(now[best] > -(double)INFINITY)) goto out; /* no path at all: the tags that stand in path stay */
    for (int64_t t = words - 1; t >= 0; t--) {
        path[t] = (int32_t)best;
        best = from[t * classes + best];
    }
out:
    free(d);
    free(from);
    return status;
}
