/* decode.c: token ids back to text.
 *
 * As the reference library's WordPiece decoder with its default clean-up: a piece that begins with "##" joins
 * the text before it, any other gets a space in front, but for the first; then each piece alone loses the space
 * before . ? ! , and before English contractions written as one token. Clean-up looks at one piece at a time,
 * so "don ' t" stays as it is. */
#include <string.h>

#include "text/text_priv.h"

static const char *const clean_up_rules[][2] = {
    {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
    {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};

/* Replaces every occurrence, from left to right, without looking at what was put in. */
static void replace_all(struct berth_str *text, struct berth_str *work, const char *what, const char *by) {
    const char *found = text->length == 0 ? NULL : strstr(text->data, what);
    if (found == NULL) return;
    berth_str_reset(work);
    const char *from = text->data;
    for (; found != NULL; found = strstr(from, what)) {
        berth_str_addn(work, from, (size_t)(found - from));
        berth_str_add(work, by);
        from = found + strlen(what);
    }
    berth_str_add(work, from);
    struct berth_str swap = *text;
    *text = *work;
    *work = swap;
}

/* The reference gives back of an added token the text that it looks for, and knows a special one by that: a special
 * token whose normalised form is another text is not left out. */
static bool is_left_out(const struct added_token *added) {
    return added != NULL && added->special && strcmp(added->pattern, added->content) == 0;
}

/* One token as it is added to what stands before it. */
static void write_piece(const struct berth_tokenizer *t, struct berth_str *piece, struct berth_str *work,
                        const char *token, bool first) {
    size_t prefix = strlen(t->prefix);
    bool suffix = !t->plain_decoding && !first && strncmp(token, t->prefix, prefix) == 0;
    berth_str_reset(piece);
    if (!first && !suffix) berth_str_add(piece, " ");
    berth_str_add(piece, suffix ? token + prefix : token);
    if (t->plain_decoding || t->keep_spaces) return;
    for (size_t r = 0; r < sizeof clean_up_rules / sizeof *clean_up_rules && !piece->failed; r++)
        replace_all(piece, work, clean_up_rules[r][0], clean_up_rules[r][1]);
}

berth_status berth_tokenizer_decode(const struct berth_tokenizer *t, struct berth_str *out, const int32_t *ids,
                                    size_t count, bool skip_special) {
    berth_status status = BERTH_OK;
    struct berth_str piece, work;
    berth_str_init(&piece);
    berth_str_init(&work);
    bool first = true;
    for (size_t i = 0; i < count; i++) {
        const char *token = berth_tokenizer_token(t, ids[i]);
        if (token == NULL)
            BERTH_FAIL_OUT(BERTH_E_FORMAT, "token id %d at place %zu, expected 0 to %zu", ids[i], i,
                           t->count - 1);
        const struct added_token *added = tokenizer_added_of(t, ids[i]);
        if (skip_special && is_left_out(added)) continue;
        write_piece(t, &piece, &work, added != NULL ? added->pattern : token, first);
        if (piece.failed || work.failed) BERTH_FAIL_OUT(BERTH_E_MEMORY, "out of memory while decoding tokens");
        if (piece.length > 0) berth_str_addn(out, piece.data, piece.length);
        first = false;
    }
    if (out->failed) BERTH_FAIL_OUT(BERTH_E_MEMORY, "out of memory while decoding tokens");
out:
    berth_str_deinit(&piece);
    berth_str_deinit(&work);
    return status;
}
