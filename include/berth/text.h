/* text.h: from text to WordPiece token ids and back, exactly as the reference's fast BERT tokenizer.
 *
 *     struct berth_tokenizer *t;
 *     BERTH_TRY(berth_tokenizer_load(&t, "models/all-MiniLM-L6-v2"));      // tokenizer.json or vocab.txt
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

/* A model folder: tokenizer.json where it is there, else vocab.txt with one token a line (LF or CRLF, a byte
 * order mark is skipped; a duplicate line or a missing [UNK]/[CLS]/[SEP] is BERTH_E_FORMAT naming the line);
 * tokenizer_config.json over it where it is there (what it gives holds); of older folders
 * special_tokens_map.json and added_tokens.json. Added tokens with their flags (special, normalized,
 * single_word, lstrip, rstrip) are found as the reference finds them. A vocab.txt that contradicts the
 * tokenizer.json beside it is BERTH_E_FORMAT; a tokenizer.json that asks for what berth does not do is
 * BERTH_E_UNSUPPORTED in one line (src/text/tokenizer_json.c lists what it takes). */
berth_status berth_tokenizer_load(struct berth_tokenizer **out, const char *folder) BERTH_CHECKED;
/* A vocabulary file and options (NULL: defaults). */
berth_status berth_tokenizer_load_vocab(struct berth_tokenizer **out, const char *vocab_path,
                                        const struct berth_tokenizer_options *options) BERTH_CHECKED;
void berth_tokenizer_free(struct berth_tokenizer *t);

size_t berth_tokenizer_size(const struct berth_tokenizer *t); /* V, tokens added to the vocabulary included */
const char *berth_tokenizer_token(const struct berth_tokenizer *t,
                                  int32_t id); /* NULL outside 0..V-1; borrowed */
int32_t berth_tokenizer_find(const struct berth_tokenizer *t, const char *token); /* -1: none */
struct berth_special_tokens berth_tokenizer_special(const struct berth_tokenizer *t);
struct berth_tokenizer_options berth_tokenizer_get_options(const struct berth_tokenizer *t);
/* Of vocabulary, options and added tokens: part of a packed file's key. */
struct berth_hash128 berth_tokenizer_digest(const struct berth_tokenizer *t);

/* Appends the pieces of a text, no special tokens added ("[SEP]" written in the text becomes the special token,
 * as in the reference, and so do other added tokens). */
berth_status berth_tokenizer_encode(const struct berth_tokenizer *t, struct berth_encoding *e, const char *text,
                                    size_t size) BERTH_CHECKED;
/* Appends the pieces of one given word (pre-split input); word_index goes into e->word. A word that has no
 * pieces (only control characters) appends nothing. */
berth_status berth_tokenizer_encode_word(const struct berth_tokenizer *t, struct berth_encoding *e,
                                         const char *word, size_t size, int32_t word_index) BERTH_CHECKED;
/* The encoding's offsets of these bytes in characters (code points; a bad part of UTF-8 is one) instead of
 * bytes. The pieces are those of this one text, from place `first` of the encoding on. */
void berth_encoding_to_characters(struct berth_encoding *e, size_t first, const char *text, size_t size);
/* Adds the tokens' text to `out` as the reference's decode: pieces joined, the space before . , ? ! removed
 * (unless the folder's tokenizer.json says cleanup: false), special tokens left out when asked. An id outside
 * 0..V-1 is BERTH_E_FORMAT. */
berth_status berth_tokenizer_decode(const struct berth_tokenizer *t, struct berth_str *out, const int32_t *ids,
                                    size_t count, bool skip_special) BERTH_CHECKED;
/* ---- many inputs at once, whole as a model reads them: [CLS] first [SEP], [CLS] first [SEP] second [SEP] */

struct berth_text {
    const char *text; /* borrowed; UTF-8, bad parts are read as U+FFFD */
    size_t size;
};
struct berth_text_input {
    const struct berth_text *first;  /* [first_count] one text, or with `words` the words of one */
    const struct berth_text *second; /* [second_count] NULL: no second text */
    size_t first_count, second_count;
    bool words; /* split before (as the reference's is_split_into_words) */
};

enum berth_truncation { BERTH_TRUNCATE_NEVER, BERTH_LONGEST_FIRST, BERTH_ONLY_FIRST, BERTH_ONLY_SECOND };
struct berth_encode_options {
    bool no_special; /* leave [CLS] and [SEP] out */
    enum berth_truncation truncation;
    int64_t max_length; /* tokens of a row, special tokens included; of no matter to BERTH_TRUNCATE_NEVER */
    bool from_left;     /* cut at the beginning instead of the end */
    bool windows;       /* what is cut off follows in rows of its own... */
    int64_t stride;     /* ...each of which repeats this many tokens of the row before */
    bool characters;    /* offsets in characters instead of bytes */
    int threads;        /* 0: as many as parallel loops take */
    const char
        *unit; /* what an input is called in messages, and the number of the first; NULL: "input", from 0 */
    int64_t first_number;
};
/* Rows back to back. Windows of one input follow one another, in the reference's order: for two texts that are
 * both too long, every window of the first with every one of the second. */
struct berth_encoded {
    size_t rows, count;
    int64_t *offset;   /* [rows+1] first token of a row */
    int32_t *input;    /* [rows] index of the input it came from */
    int32_t *ids;      /* [count] */
    int32_t *start;    /* [count] offsets into the text (with `words`: into the word); 0 for special tokens */
    int32_t *end;      /* [count] */
    int32_t *word;     /* [count] index of the word within its text; -1 for special tokens */
    uint8_t *segment;  /* [count] 0; 1 from the second text on */
    uint8_t *sequence; /* [count] 0 or 1: which text; 2: a special token */
    size_t row_capacity, capacity;
};
void berth_encoded_init(struct berth_encoded *e);
void berth_encoded_deinit(struct berth_encoded *e);
/* Replaces what `out` held; keeps its memory. Runs in parallel; rows come in the order of the inputs and are
 * the same for any number of threads. BERTH_E_USAGE when the options leave no room or the stride is not smaller
 * than a window, BERTH_E_FORMAT "input N: ..." for one that the strategy cannot make fit (its one text
 * is too short, or it has no second one); of several the first is told. */
berth_status berth_tokenizer_encode_batch(const struct berth_tokenizer *t, struct berth_encoded *out,
                                          const struct berth_text_input *inputs, size_t count,
                                          const struct berth_encode_options *options) BERTH_CHECKED;

/* vocab.txt, tokenizer_config.json, special_tokens_map.json, tokenizer.json: loads in the reference. */
berth_status berth_tokenizer_save(const struct berth_tokenizer *t, const char *folder) BERTH_CHECKED;

/* ---- training a vocabulary: special tokens, the alphabet (its most frequent `alphabet_limit` characters),
 * then merges of the most frequent pair (byte-pair style, as the reference's trainer), ties by the pieces'
 * text: the same texts give the same vocabulary, in whatever order and under whatever budget of memory.
 *
 *     BERTH_TRY(berth_vocab_create(&v, &options));
 *     ... BERTH_TRY_OUT(berth_vocab_add(v, line, size));      // any number of texts, in any order
 *     BERTH_TRY_OUT(berth_vocab_finish(v, &tokenizer));       // once
 *   out:
 *     berth_vocab_free(v);
 *
 * Texts may be larger than memory, and so may their distinct words: what is beyond the budget lies in temporary
 * files without names, which are gone when the trainer is freed or the process ends, however it ends. */
struct berth_vocab;
struct berth_vocab_options {
    int64_t size;           /* wanted entries, special tokens included */
    int64_t min_frequency;  /* of a pair; 0: 2 */
    int64_t alphabet_limit; /* 0: 1000 */
    bool lowercase;
    int64_t memory; /* bytes for words, their counts and the training on them; 0: no limit. On top of it come a
                       few MiB of buffers and the vocabulary itself */
    const char *temp; /* temporary files are "TEMP.tmp.PID-RANDOM" while they are made; NULL: "berth-vocab" */
};
berth_status berth_vocab_create(struct berth_vocab **out,
                                const struct berth_vocab_options *options) BERTH_CHECKED;
/* Counts the words of one text. */
berth_status berth_vocab_add(struct berth_vocab *v, const char *text, size_t size) BERTH_CHECKED;
/* Trains; to be called once. A size that cannot hold the special tokens and the alphabet is BERTH_E_USAGE,
 * texts without a word BERTH_E_FORMAT, a full disk under the temporary files BERTH_E_IO. */
berth_status berth_vocab_finish(struct berth_vocab *v, struct berth_tokenizer **out) BERTH_CHECKED;
void berth_vocab_free(struct berth_vocab *v);
/* What the budget has put into files so far. */
struct berth_vocab_spilled {
    int64_t files;  /* made */
    int64_t runs;   /* sorted runs of words that are there now */
    int64_t passes; /* merges over all runs */
    int64_t bytes;  /* of the runs that are there now */
};
struct berth_vocab_spilled berth_vocab_spilled(const struct berth_vocab *v);

/* ---- UTF-8 */
/* Decodes one character: its code point and, in *length, the bytes consumed (at least 1 when size > 0). A bad
 * sequence gives U+FFFD and the length of its maximal bad part; *valid says which. */
uint32_t berth_utf8_decode(const char *text, size_t size, size_t *length, bool *valid);
/* Writes 1..4 bytes, returns how many. */
size_t berth_utf8_encode(char out[4], uint32_t code_point);
/* Adds the text to `out` in lower case, runs of white space (and of U+001F) as one space, none at the ends:
 * texts that are the same to a reader come out the same. Bad bytes become U+FFFD. */
void berth_text_fold(struct berth_str *out, const char *text, size_t size);
/* The same with punctuation (as the tokenizer knows it) taken for white space. */
void berth_text_fold_words(struct berth_str *out, const char *text, size_t size);
/* Offset of the first bad byte, or `size` when all is valid UTF-8. */
size_t berth_utf8_check(const char *text, size_t size);

#endif /* BERTH_TEXT_H */
