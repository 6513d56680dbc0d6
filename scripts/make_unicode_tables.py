#!/usr/bin/env python3
"""Writes src/text/unicode_tables.c: what the reference's BERT normaliser does with every code point.

Developer tool (the build does not need it): it asks the Rust tokenizers library, through its Python package,
for each of the 1,112,064 scalar values, each step of BertNormalizer alone and BertPreTokenizer, and stores the
answers as two-stage tables. The combining classes are found by probing pairs against characters of known class,
so they are those of the library's own (older) Unicode version, not those of the operating system.

    python3 scripts/make_unicode_tables.py > src/text/unicode_tables.c
"""
import sys
import unicodedata

import tokenizers
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

REMOVE, WHITE, CJK, MARK, PUNCT, WORD = 1, 2, 4, 8, 16, 32
BLOCK = 64
HANGUL = range(0xAC00, 0xD7A4)


def bert(**on):
    flags = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    flags.update(on)
    return normalizers.BertNormalizer(**flags).normalize_str


def scalars():
    for cp in range(0x110000):
        if not 0xD800 <= cp < 0xE000:
            yield cp


def combining_classes(nfd, decomposed):
    """Class of every code point that is its own decomposition: marks sort stably by class, starters stay."""
    top = "\u0345"  # class 240, the highest

    def moves(c):
        """c has a class: it goes in front of U+0345, or U+0301 (230) goes in front of it."""
        return nfd("a" + top + c) == "a" + c + top or nfd("a" + c + "\u0301") == "a\u0301" + c

    rulers = {}  # class -> a character that this library's Unicode version knows
    for cp in scalars():
        value = unicodedata.combining(chr(cp))
        if value and value not in rulers and cp not in decomposed and moves(chr(cp)):
            rulers[value] = chr(cp)
    order = sorted(rulers)
    classes = {}
    for cp in scalars():
        c = chr(cp)
        if cp in decomposed or not (moves(c) or c == top):
            continue
        low, high = 0, len(order) - 1
        while low < high:  # the smallest class whose ruler stays behind c
            mid = (low + high) // 2
            if nfd("a" + c + rulers[order[mid]]) == "a" + c + rulers[order[mid]]:
                high = mid
            else:
                low = mid + 1
        r = rulers[order[low]]
        assert nfd("a" + c + r) == "a" + c + r and nfd("a" + r + c) == "a" + r + c, hex(cp)
        classes[cp] = order[low]
    return classes


def word_characters():
    """Those beside which an added token with single_word does not stand: the library's \\w."""
    t = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    t.add_tokens([AddedToken("Q", single_word=True, normalized=False)])
    found, points = set(), list(scalars())
    for at in range(0, len(points), 65536):
        some = points[at:at + 65536]
        for cp, row in zip(some, t.encode_batch([chr(c) + "Q" for c in some], add_special_tokens=False)):
            if "Q" not in row.tokens:
                found.add(cp)
        for cp, row in zip(some, t.encode_batch(["Q" + chr(c) for c in some], add_special_tokens=False)):
            assert ("Q" not in row.tokens) == (cp in found) or chr(cp) == "Q", hex(cp)
    return found


def hangul(cp):
    index = cp - 0xAC00
    parts = [0x1100 + index // 588, 0x1161 + index % 588 // 28]
    return parts + ([0x11A7 + index % 28] if index % 28 else [])


def probe():
    clean, chinese = bert(clean_text=True), bert(handle_chinese_chars=True)
    strip, lower = bert(strip_accents=True), bert(lowercase=True)
    nfd, split = normalizers.NFD().normalize_str, pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    decompositions, lowers, flags = {}, {}, {}
    for cp in scalars():
        c = chr(cp)
        parts = nfd(c)
        if cp in HANGUL:
            assert [ord(p) for p in parts] == hangul(cp)
        elif parts != c:
            decompositions[cp] = [ord(p) for p in parts]
        if lower(c) != c:
            lowers[cp] = [ord(p) for p in lower(c)]
        cleaned, spaced, pieces = clean(c), chinese(c), len(split("a" + c + "a"))
        value = 0
        value |= {"": REMOVE, " ": WHITE}.get(cleaned, 0)
        assert value or cleaned == c
        value |= CJK if spaced == " " + c + " " else 0
        assert spaced in (c, " " + c + " ") and pieces in (1, 2, 3)
        value |= {1: 0, 2: WHITE, 3: PUNCT}[pieces] if not value & REMOVE else 0
        if parts == c:
            value |= MARK if strip(c) == "" else 0
        flags[cp] = value
    for cp in scalars():
        kept = "".join(p for p in nfd(chr(cp)) if not flags[ord(p)] & MARK)
        assert strip(chr(cp)) == kept, hex(cp)
    for cp, points in lowers.items():  # so lower-casing may follow splitting
        assert not (flags[cp] | max(flags[p] for p in points)) & (WHITE | PUNCT | CJK), hex(cp)
        assert len(points) <= 2
    for cp in word_characters():
        flags[cp] |= WORD
    classes = combining_classes(nfd, set(decompositions) | set(HANGUL))
    return flags, classes, decompositions, lowers


def two_stages(values):
    """values: 0x110000 numbers. Returns the index of each block and the distinct blocks, flat."""
    index, flat, seen = [], [], {}
    for at in range(0, len(values), BLOCK):
        block = tuple(values[at:at + BLOCK])
        if block not in seen:
            seen[block] = len(seen)
            flat.extend(block)
        index.append(seen[block])
    return index, flat


def c_array(ctype, name, values):
    out = ["const %s %s[%d] = {" % (ctype, name, len(values))]
    line = "   "
    for value in values:
        text = " %d," % value
        if len(line) + len(text) > 108:
            out.append(line)
            line = "   "
        line += text
    out += [line, "};", ""]
    return "\n".join(out)


def main():
    flags, classes, decompositions, lowers = probe()
    kinds, kind_of = [(0, 0)], []
    for cp in range(0x110000):
        kind = (flags.get(cp, REMOVE), classes.get(cp, 0))
        if kind not in kinds:
            kinds.append(kind)
        kind_of.append(kinds.index(kind))
    pool, where = [0], {}

    def place(points):
        key = tuple(points)
        if key not in where:
            where[key] = len(pool)
            pool.append(len(key))
            pool.extend(key)
        return where[key]

    nfd_of = [place(decompositions[cp]) if cp in decompositions else 0 for cp in range(0x110000)]
    lower_of = [place(lowers[cp]) if cp in lowers else 0 for cp in range(0x110000)]
    assert len(kinds) < 256 and len(pool) < 65536 and max(len(d) for d in decompositions.values()) <= 4

    print("/* unicode_tables.c: GENERATED by scripts/make_unicode_tables.py from tokenizers %s. Do not edit."
          % tokenizers.__version__)
    print(" * Two-stage tables over all code points: block of a code point, then its entry; see unicode_tables.h.")
    print(" * %d decompositions, %d lower-case mappings, %d characters with a combining class, %d kinds. */"
          % (len(decompositions), len(lowers), len(classes), len(kinds)))
    print('#include "text/unicode_tables.h"\n')
    print('const char unicode_tables_source[] = "tokenizers %s";\n' % tokenizers.__version__)
    print("const struct unicode_kind unicode_kinds[%d] = {" % len(kinds))
    for value, ccc in kinds:
        print("    {%d, %d}," % (value, ccc))
    print("};\n")
    for name, ctype, values in (("kind", "uint8_t", kind_of), ("nfd", "uint16_t", nfd_of),
                                ("lower", "uint16_t", lower_of)):
        index, flat = two_stages(values)
        assert len(flat) // BLOCK < 65536
        print(c_array("uint16_t", "unicode_%s_block" % name, index))
        print(c_array(ctype, "unicode_%s_entry" % name, flat))
    print(c_array("uint32_t", "unicode_pool", pool).rstrip())
    sys.stderr.write("kinds %d, pool %d, classes %s\n" % (len(kinds), len(pool), sorted(set(classes.values()))))


if __name__ == "__main__":
    main()
