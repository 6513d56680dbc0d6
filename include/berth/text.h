/* text.h: from text to WordPiece token ids and back, exactly as the reference's fast BERT tokenizer.
 *
 *     struct berth_tokenizer *t;
 *     BERTH_TRY(berth_tokenizer_load(&t, "models/all-MiniLM-L6-v2"));      // vocab.txt (+ tokenizer_config.json)
 *     struct berth_encoding e;
 *     berth_encoding_init(&e);
 *     BERTH_TRY(berth_tokenizer_encode(t, &e, text, strlen(text)));        // no special tokens
 *     ... e.ids[i], e.start[i], e.end[i] (bytes of the text), e.word[i]
 *
 * Steps (Devlin et al., arXiv 1810.04805, and its reference code): clean (control characters away, white space
 * to a space), CJK characters apart, lower-case and strip accents (uncased), split at white space and
 * punctuation, then greedy longest-match pieces of each word, "##" in front of the later ones; a word of more
 * than 100 characters, or one that cannot be cut, is [UNK]. The Unicode tables are generated and versioned in
 * this repository (src/text/unicode_tables.c), so ids do not change with the operating system.
 * Invalid UTF-8 is read as U+FFFD a maximal bad part (as the reference's host language does).
 *
 * A loaded tokenizer is read-only and may be shared by threads; an encoding belongs to one thread.
 */
#ifndef BERTH_TEXT_H
#define BERTH_TEXT_H

#include "berth/base.h"

struct berth_tokenizer;
struct berth_text_scratch;

struct berth_encoding {
    size_t count;
    size_t capacity;
    int32_t *ids;   /* [count] */
    int32_t *start; /* [count] byte offsets into the text given (for words: into that word) */
    int32_t *end;   /* [count] */
    int32_t *word;  /* [count] index of the word: given words, or words split at white space and punctuation */
    struct berth_text_scratch *scratch; /* private: work memory kept between calls, owned */
};
void berth_encoding_init(struct berth_encoding *e);
void berth_encoding_deinit(struct berth_encoding *e);
void berth_encoding_reset(struct berth_encoding *e); /* keeps memory */

struct berth_special_tokens {
    int32_t pad, unk, cls, sep, mask; /* ids; -1 where the vocabulary has none */
};

struct berth_tokenizer_options {
    bool lowercase;     /* default true; tokenizer_config.json's do_lower_case */
    int strip_accents;  /* -1 (default): as lowercase; 0, 1 */
    bool split_cjk;     /* default true; tokenize_chinese_chars */
    int max_word_chars; /* default 100 */
};

/* A model folder: vocab.txt with one token a line (LF or CRLF, a byte order mark is skipped; a duplicate line or a
 * missing [UNK]/[CLS]/[SEP] is BERTH_E_FORMAT naming the line), tokenizer_config.json when it is there. */
berth_status berth_tokenizer_load(struct berth_tokenizer **out, const char *folder) BERTH_CHECKED;
/* A vocabulary file and options (NULL: defaults). */
berth_status berth_tokenizer_load_vocab(struct berth_tokenizer **out, const char *vocab_path,
                                        const struct berth_tokenizer_options *options) BERTH_CHECKED;
void berth_tokenizer_free(struct berth_tokenizer *t);

size_t berth_tokenizer_size(const struct berth_tokenizer *t); /* V */
const char *berth_tokenizer_token(const struct berth_tokenizer *t, int32_t id); /* NULL outside 0..V-1; borrowed */
int32_t berth_tokenizer_find(const struct berth_tokenizer *t, const char *token); /* -1: none */
struct berth_special_tokens berth_tokenizer_special(const struct berth_tokenizer *t);
struct berth_tokenizer_options berth_tokenizer_get_options(const struct berth_tokenizer *t);
/* Of vocabulary and options: part of a packed file's key. */
struct berth_hash128 berth_tokenizer_digest(const struct berth_tokenizer *t);

/* Appends the pieces of a text, no special tokens added ("[SEP]" written in the text becomes the special token, as
 * in the reference). */
berth_status berth_tokenizer_encode(const struct berth_tokenizer *t, struct berth_encoding *e, const char *text,
                                    size_t size) BERTH_CHECKED;
/* Appends the pieces of one given word (pre-split input); word_index goes into e->word. A word that has no
 * pieces (only control characters) appends nothing. */
berth_status berth_tokenizer_encode_word(const struct berth_tokenizer *t, struct berth_encoding *e,
                                         const char *word, size_t size, int32_t word_index) BERTH_CHECKED;
/* Adds the tokens' text to `out` as the reference's default decode: pieces joined, the space before . , ? ! removed,
 * special tokens left out when asked. An id outside 0..V-1 is BERTH_E_FORMAT. */
berth_status berth_tokenizer_decode(const struct berth_tokenizer *t, struct berth_str *out, const int32_t *ids,
                                    size_t count, bool skip_special) BERTH_CHECKED;
/* vocab.txt, tokenizer_config.json, special_tokens_map.json, tokenizer.json: loads in the reference. */
berth_status berth_tokenizer_save(const struct berth_tokenizer *t, const char *folder) BERTH_CHECKED;

/* Trains a WordPiece vocabulary: special tokens, the alphabet (its most frequent `alphabet_limit` characters), then
 * merges of the most frequent pair (byte-pair style, as the reference's trainer), ties by the pieces' text: the same
 * files give the same vocabulary. Word counts are held in memory, files are streamed. A size that cannot hold the
 * special tokens and the alphabet, and files without a word, are errors (BERTH_E_USAGE, BERTH_E_FORMAT). */
struct berth_vocab_options {
    int64_t size;          /* wanted entries, special tokens included */
    int64_t min_frequency;  /* of a pair; 0: 2 */
    int64_t alphabet_limit; /* 0: 1000 */
    bool lowercase;
};
berth_status berth_vocab_train(struct berth_tokenizer **out, const char *const *files, size_t file_count,
                               const struct berth_vocab_options *options) BERTH_CHECKED;

/* ---- UTF-8 */
/* Decodes one character: its code point and, in *length, the bytes consumed (at least 1 when size > 0). A bad
 * sequence gives U+FFFD and the length of its maximal bad part; *valid says which. */
uint32_t berth_utf8_decode(const char *text, size_t size, size_t *length, bool *valid);
/* Writes 1..4 bytes, returns how many. */
size_t berth_utf8_encode(char out[4], uint32_t code_point);
/* Adds the text to `out` in lower case, runs of white space (and of U+001F) as one space, none at the ends: texts that
 * are the same to a reader come out the same. Bad bytes become U+FFFD. */
void berth_text_fold(struct berth_str *out, const char *text, size_t size);
/* Offset of the first bad byte, or `size` when all is valid UTF-8. */
size_t berth_utf8_check(const char *text, size_t size);

#endif /* BERTH_TEXT_H */
