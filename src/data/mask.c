/* mask.c: masked language modelling (Devlin et al., "BERT", 2019, 3.1): of the tokens that are not special each
 * is to be told with probability `share`; of these 8 in 10 become [MASK], 1 in 10 another token, 1 in 10 stay
 * as they are.
 *
 * A token's draw is one Philox block: purpose MASK, stream of source and epoch, position = row | place in the
 * row. So a token's fate depends on neither batch nor thread nor rank. */
#include "data/data_priv.h"

static bool is_special(const struct berth_special_tokens *s, int32_t token) {
    return token == s->pad || token == s->unk || token == s->cls || token == s->sep || token == s->mask;
}

/* Uniform over the vocabulary without its special tokens, but for a bias below 2^-32 V. */
static int32_t other_token(uint32_t bits, const struct berth_special_tokens *special, int32_t vocabulary) {
    int32_t token = (int32_t)(((uint64_t)bits * (uint64_t)vocabulary) >> 32);
    for (int32_t tries = 0; is_special(special, token) && tries < vocabulary; tries++)
        token = token + 1 < vocabulary ? token + 1 : 0;
    return token;
}

void mask_tokens(int32_t *out, int32_t *labels, const int32_t *tokens, int64_t count,
                 const struct mask_key *key, double share, const struct berth_special_tokens *special,
                 int32_t vocabulary) {
    for (int64_t i = 0; i < count; i++) {
        out[i] = tokens[i];
        labels[i] = -1;
        if (is_special(special, tokens[i])) continue;
        uint64_t position = key->row << 16 | (uint64_t)i;
        double u = berth_random_unit(key->seed, BERTH_PURPOSE_MASK, key->stream, position);
        if (u >= share) continue;
        labels[i] = tokens[i];
        double v = u / share; /* uniform again: which way it goes */
        if (v < 0.8)
            out[i] = special->mask;
        else if (v < 0.9)
            out[i] = other_token(berth_random_u32(key->seed, BERTH_PURPOSE_MASK, ~key->stream, position),
                                 special, vocabulary);
    }
}
