#!/usr/bin/env python3
"""Writes tests/golden/tokenizer_vocab.txt and tests/golden/tokenizer.tsv: what the reference's fast tokenizer says.

Developer tool (the tests need its output only). The strings are ours, or random ones from a generator that
tests/text/support_random_text.c repeats bit for bit; the vocabulary is made here too. Needs the Python package
`tokenizers`, and libxxhash for the digests over many random lines.

    python3 scripts/make_tokenizer_golden.py tests/golden [LINES ...]     # digests after 1000, 100000, 1000000 lines

A row of the .tsv: kind, setting (0..3), text, ids, starts, ends, words; offsets are bytes of the text. Kinds: text,
word (pre-split input), decode and skip (ids to text, special tokens kept or left out), digest (lines, hash).
"""
import codecs
import ctypes
import struct
import sys

import tokenizers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

# lowercase, strip_accents (-1: as lowercase), split_cjk
SETTINGS = [(1, -1, 1), (0, -1, 1), (1, 0, 1), (0, 1, 0)]
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SEED = 20240229

# ---------------------------------------------------------------- the generator, as in support_random_text.c

RANGES = [(0x20, 95), (0x61, 26), (0x61, 26), (0x80, 0x4B0), (0x300, 0x70), (0x530, 0xAD0), (0x1E00, 0x1300),
          (0x4E00, 0x100), (0xAC00, 11172), (0xF900, 0x700), (0, 0x10000), (0, 0x110000)]
HARD = [0x00, 0x09, 0x0A, 0x0B, 0x0D, 0x1C, 0x7F, 0x85, 0xA0, 0xAD, 0x130, 0x131, 0x149, 0x1C5, 0x1F0, 0x344, 0x345,
        0x3A3, 0x3C2, 0x587, 0x61C, 0x93C, 0xE33, 0xF71, 0xF72, 0xF73, 0xF81, 0x1100, 0x1161, 0x11A8, 0x1680,
        0x180E, 0x1E9E, 0x2000, 0x200B, 0x200D, 0x2028, 0x202E, 0x2060, 0x2126, 0x212B, 0x3000, 0x302E, 0x3099,
        0x9FFF, 0xA953, 0xAC00, 0xD7A3, 0xE000, 0xFB01, 0xFE0F, 0xFEFF, 0xFFFD, 0xFFFF, 0x10400, 0x1D15E, 0x1D165,
        0x1D16D, 0x1F600, 0x1F1E9, 0x20000, 0x2A6DE, 0x2F800, 0xE0001, 0x10FFFF, 0x327, 0x301, 0x5B0, 0x16FF0]
WORDS = ["[CLS]", "[SEP]", "[MASK]", "[PAD]", "[UNK]", "[cls]", "[SEP", "##ing", "the", "playing", "unaffable",
         "don't", " ", ".", "...", "Straße", "naïve", "ÀÉÎ", "ΣΊΣΥΦΟΣ", "İstanbul", "中文", "한국어", "e\u0301\u0327"]
MASK64 = (1 << 64) - 1


class Random:
    """splitmix64."""

    def __init__(self, seed, line):
        self.state = (seed + line * 0xD1B54A32D192ED03) & MASK64

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK64
        z = self.state
        z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK64
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK64
        return z ^ z >> 31


def random_line(seed, line):
    random, out = Random(seed, line), []
    for _ in range(random.next() % 20):
        kind, r = random.next() % 16, random.next()
        if kind < 12:
            out.append(chr(RANGES[kind][0] + r % RANGES[kind][1]).encode("utf-8", "surrogatepass"))
        elif kind == 12:
            out.append(chr(HARD[r % len(HARD)]).encode())
        elif kind == 13:
            out.append(WORDS[r % len(WORDS)].encode())
        elif kind == 14:  # a raw byte now and then, else a space
            out.append(bytes([0x80 + (r >> 8) % 128]) if r % 16 == 0 else b" ")
        else:  # one letter many times: words near and above the limit of 100 characters
            out.append(bytes([0x61 + r % 26]) * (1 + (r >> 8) % (110 if (r >> 20) % 8 == 0 else 6)))
    return b"".join(out)


# ---------------------------------------------------------------- the vocabulary

def vocabulary():
    """Letters of several scripts, alone and behind '##', and pieces that make greedy matching go wrong."""
    ranges = [(0x21, 0x7F), (0xA1, 0x250), (0x391, 0x3CA), (0x400, 0x460), (0x5D0, 0x5EB), (0x621, 0x64B),
              (0x905, 0x93A), (0x93E, 0x94D), (0xE01, 0xE3A), (0x1100, 0x1113), (0x1161, 0x1176), (0x11A8, 0x11C3),
              (0x1E00, 0x1E20), (0x3041, 0x3097), (0x4E00, 0x4E80)]
    letters = [chr(c) for low, high in ranges for c in range(low, high) if chr(c).isprintable()]
    letters += ["中", "文", "한", "국", "\u0307", "\u0301", "\U0001F600", "€", "ß"]
    pieces = ["the", "play", "##ing", "##ed", "un", "##aff", "##able", "##affab", "unaffabl", "##e", "don", "istanbul",
              "naive", "stra", "##ße", "##sse", "abcdef", "abc", "##def", "##cde", "cls", "mask", "test", "##s", "##a",
              "...", "##..", "'", "''", "##'", "n't", "'s", "'m", "do not", "hello", "world", "Hello", "World",
              "aaaa", "##aaaa", "##aaaaaaaa", "12", "123", "##345"]
    seen, out = set(), []
    for token in SPECIALS + letters + ["##" + c for c in letters] + pieces:
        if token not in seen:
            seen.add(token)
            out.append(token)
    return out


# ---------------------------------------------------------------- the reference

def reference(tokens, setting):
    lowercase, strip, cjk = setting
    vocab = {token: i for i, token in enumerate(tokens)}
    t = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    t.normalizer = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=bool(cjk), lowercase=bool(lowercase),
                                              strip_accents=None if strip < 0 else bool(strip))
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    t.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in SPECIALS])
    return t


spans = []


def note_span(error):
    spans.append((error.start, error.end))
    return "\ufffd", error.end


codecs.register_error("note-span", note_span)


def decode(raw):
    """Text, and the byte offset of each of its characters (and of the end)."""
    spans.clear()
    text = raw.decode("utf-8", "note-span")
    bad = dict(spans)
    offsets, at = [0], 0
    for c in text:
        at = bad[at] if at in bad else at + len(c.encode())
        offsets.append(at)
    assert at == len(raw)
    return text, offsets


def columns(encoding, offsets, words=True):
    return ([*encoding.ids], [offsets[s] for s, _ in encoding.offsets], [offsets[e] for _, e in encoding.offsets],
            [*encoding.word_ids] if words else [0] * len(encoding.ids))


def escape(raw):
    return "".join(chr(b) if 0x20 <= b < 0x7F and b != 0x5C else "\\x%02x" % b for b in raw)


class Digest:
    """XXH3-128 of many lines."""

    def __init__(self):
        self.x = ctypes.CDLL("libxxhash.so.0")
        self.x.XXH3_createState.restype = ctypes.c_void_p

        class Hash(ctypes.Structure):
            _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]

        self.x.XXH3_128bits_digest.restype = Hash
        self.x.XXH3_128bits_digest.argtypes = [ctypes.c_void_p]
        self.x.XXH3_128bits_update.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
        self.x.XXH3_128bits_reset.argtypes = [ctypes.c_void_p]
        self.state = self.x.XXH3_createState()
        self.x.XXH3_128bits_reset(self.state)

    def add(self, columns_of_line):
        values = [len(columns_of_line[0])] + [v for column in columns_of_line for v in column]
        data = struct.pack("<%di" % len(values), *values)
        self.x.XXH3_128bits_update(self.state, data, len(data))

    def text(self):
        h = self.x.XXH3_128bits_digest(self.state)
        return "%016x%016x" % (h.high, h.low)


# ---------------------------------------------------------------- the strings

STRINGS = [
    "", " ", "\t\n\r ", "hello", "Hello, world!", "Hello World", "unaffable", "unaffablest", "playing", "played the play",
    "abcde", "abcdef", "abcdefg", "abcd", "##ing", "## ing", "a##b", "do not", "don't do n't", "it's I'm we've they're",
    "[CLS] hello [SEP]", "[CLS][SEP][MASK][PAD][UNK]", "x[MASK]y", "[cls] [Mask]", "[ MASK ]", "[[MASK]]", "[MASK",
    "MASK]", "[MASK]ing", "un[SEP]affable", "e[SEP]\u0301", "naïve café", "Straße", "STRASSE", "İstanbul", "ıI", "ǅ",
    "ΑΣ ΣΑ Σ ς", "ΌΣΟΣ", "ﬁ", "Å Å Å", "e\u0301\u0327", "e\u0327\u0301", "\u0301e", "\u0344\u0327", "q\u0307\u0323",
    "q\u0323\u0307", "\u0f73\u0f71", "1\u0301.\u0301 a", "!\u0301", "\u302ea\u0301\u302e", "a\U0001d165\u0323\U0001d16d",
    "中文", "a中b", "中\u0301文", "x 中文 y.", "한국어", "한\u11a8", "각", "日本語テスト", "が\u3099", "\uf900\ufa0e",
    "\U00020000\U0002f800", "กำ เก็บ", "हिन्दी", "العربية", "עברית שָׁלוֹם", "русский ёж", "ЁЖ", "a\u200db\u200cc\u200b",
    "a\u00adb", "a\u00a0b\u2003c\u3000d\u1680e", "a\u2028b\u2029c", "a\x00b", "a\x07b\x0bc\x0cd\x1ce\x85f", "\x7f",
    "a\ufffdb", "\ufeffhello", "\ue000\uf8ff", "\U000e0001x", "\U0010ffff", "😀", "😀😀 👨\u200d👩\u200d👧", "🇩🇪", "a️b",
    "a" * 99, "a" * 100, "a" * 101, "é" * 100, "é" * 101, "한" * 33, "한" * 34, "a" * 100 + "." + "b" * 101, "中" * 101,
    "a\u0301" * 100, "İ" * 50, "İ" * 51, "x" * 50 + "\u200b" * 60 + "x" * 50, "!" * 5, "a.b,c;d", "$5.00", "C++ & C#",
    "a_b-c", "¿qué? ¡sí!", "«a» „b“ “c” ‘d’ — – …", "a‿b⁀c", "＃ ［ＭＡＳＫ］ ａ", "`^~|+<>=$", "€5 £3 ¥4 ¢", "12345 123", "①②½",
    "ªº", "a⃝", "ꓸ꛳", "𝐇𝐞𝐥𝐥𝐨", "\u1e9e", "\u212a\u2126", "Ⅷ ⅷ", "Ⓐ", "\ua7ae\ua64a", "ᏸꮿ", "\U00010400\U0001e900",
]
BYTES = [b"\x80", b"a\xffb", b"\xc3", b"\xc3\x28", b"a\xe2\x82", b"\xe2\x82[SEP]", b"\xf0\x9f\x98", b"\xf0\x9f\x98a",
         b"\xed\xa0\x80x", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"caf\xe9 na\xefve", b"\xe0\x80\x80", b"the\xfe\xffplay"]
DECODE = ["hello world", "hello, world! don't", "playing [MASK] the play", "[CLS] a [SEP] b [SEP]", "it's n't 's 'm do not",
          "unaffable ... '' '", "x ' y", "? ! . ,", "中文 한국어", "a [UNK] b"]


def golden_rows(tokens):
    vocab = {token: i for i, token in enumerate(tokens)}
    references = [reference(tokens, s) for s in SETTINGS]
    raws = [s.encode() for s in STRINGS] + BYTES
    for setting, t in enumerate(references):
        picked = raws if setting < 2 else [r for r in raws if any(b >= 0x80 for b in r) or b"[" in r]
        for raw in picked + [random_line(SEED + 1 + setting, line) for line in range(60)]:
            text, offsets = decode(raw)
            yield "text", setting, escape(raw), columns(t.encode(text, add_special_tokens=False), offsets)
        for raw in picked[::3]:
            text, offsets = decode(raw)
            encoding = t.encode([text], is_pretokenized=True, add_special_tokens=False)
            yield "word", setting, escape(raw), columns(encoding, offsets)
    t = references[0]
    lists = [t.encode(s, add_special_tokens=False).ids for s in DECODE]
    lists += [[vocab[x] for x in names] for names in (
        ["##ing", "##ing"], ["[CLS]", "##ing"], ["n't", "n't"], ["hello", "do not"], ["a", "'m", "'s", "'", "s"], [],
        ["[PAD]", "[PAD]"], ["hello", ".", "...", "##.."])]
    for ids in lists:
        for kind in ("decode", "skip"):
            yield kind, 0, escape(t.decode(ids, skip_special_tokens=kind == "skip").encode()), (ids, [], [], [])


def digests(tokens, marks):
    """Line n is tokenized with setting n mod 4."""
    references, digest, line, chunk = [reference(tokens, s) for s in SETTINGS], Digest(), 0, 4000
    while line < max(marks):
        raws = [decode(random_line(SEED, n)) for n in range(line, min(line + chunk, max(marks)))]
        raws = [(text, list(offsets)) for text, offsets in raws]
        columns_of = [None] * len(raws)
        for setting, t in enumerate(references):
            some = list(range(setting, len(raws), 4))
            encodings = t.encode_batch([raws[k][0] for k in some], add_special_tokens=False)
            for k, encoding in zip(some, encodings):
                columns_of[k] = columns(encoding, raws[k][1])
        for c in columns_of:
            digest.add(c)
            line += 1
            if line in marks:
                yield line, digest.text()


def main():
    folder, marks = sys.argv[1], [int(a) for a in sys.argv[2:]] or [1000, 100000, 1000000]
    tokens = vocabulary()
    with open(folder + "/tokenizer_vocab.txt", "w", encoding="utf-8", newline="\n") as f:
        f.write("".join(token + "\n" for token in tokens))
    with open(folder + "/tokenizer.tsv", "w", encoding="ascii", newline="\n") as f:
        f.write("# GENERATED by scripts/make_tokenizer_golden.py from tokenizers %s; vocabulary: tokenizer_vocab.txt\n"
                % tokenizers.__version__)
        f.write("# kind, setting, text (\\xNN: a byte), ids, starts, ends, words; digest: lines, XXH3-128\n")
        for kind, setting, text, lists in golden_rows(tokens):
            f.write("\t".join([kind, str(setting), text] + [" ".join(map(str, x)) for x in lists]) + "\n")
        for lines, text in digests(tokens, marks):
            f.write("digest\t%d\t%s\n" % (lines, text))
            f.flush()


if __name__ == "__main__":
    main()
