#!/bin/sh
# The size of each part: files, lines, tokens (words and signs) a line, its longest file.
#
#   scripts/size.sh             the table
#   scripts/size.sh REVISION    also how many lines each part grew since that revision
#   scripts/size.sh --check     fails when a source file is longer than 800 lines
set -eu
cd "$(dirname "$0")/.."
limit=800
since=
[ "${1:-}" = --check ] || since=${1:-}

parts="include/berth kernels data scripts"
for folder in src/* tests/*; do
    [ -d "$folder" ] && parts="$parts $folder"
done

sources() { # FOLDER: its own source files, one a line; generated tables left out
    find "$1" -maxdepth 2 -type f \( -name '*.c' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' -o -name '*.cpp' -o -name '*.sh' -o -name '*.py' \) \
        -not -name 'unicode_tables*' | sort
}

lines_at() { # FOLDER REVISION: lines of its source files then
    git ls-tree -r --name-only "$2" -- "$1" | grep -E '\.(c|h|cu|cuh|cpp|sh|py)$' | grep -v unicode_tables |
        while read -r file; do git show "$2:$file"; done | wc -l
}

too_long=0
printf '%-18s %6s %7s %12s   %s\n' part files lines tokens/line longest
for part in $parts; do
    files=$(sources "$part")
    [ -n "$files" ] || continue
    # shellcheck disable=SC2086 # one word a file, none holds a space
    row=$(awk -v limit="$limit" '
        { lines++; n[FILENAME]++; text = $0
          while (match(text, /[A-Za-z_0-9]+|[^A-Za-z_0-9 \t]/)) { tokens++; text = substr(text, RSTART + RLENGTH) } }
        END { for (f in n) { files++; if (n[f] > most) { most = n[f]; name = f }
                             if (n[f] > limit) long = long " " f }
              printf "%6d %7d %12.1f   %s (%d)|%s", files, lines, lines ? tokens / lines : 0, name, most, long }' $files)
    growth=
    if [ -n "$since" ]; then
        now=$(echo "$row" | awk '{ print $2 }')
        growth=$(printf '  %+d since %s' "$((now - $(lines_at "$part" "$since")))" "$since")
    fi
    printf '%-18s %s%s\n' "$part" "${row%%|*}" "$growth"
    if [ -n "${row#*|}" ]; then
        echo "size: longer than $limit lines:${row#*|}" >&2
        too_long=1
    fi
done
[ "${1:-}" != --check ] || exit "$too_long"
