#!/usr/bin/env bash
# The generated pages are what the program's tables say, and lack nothing that the help tells; the completion completes.
set -eu
. "$(dirname "$0")/lib.sh"
man=$BERTH_SOURCE_DIR/docs/man/berth.1
completion=$BERTH_SOURCE_DIR/docs/completion/berth.bash

say "committed as generated"
generated() { # FILE ARGUMENTS...
    local file=$1
    shift
    run 0 "$berth" "$@"
    diff -u "$BERTH_SOURCE_DIR/$file" "$out" >&2 || fail "$file differs; run scripts/gen_docs.sh"
}
generated docs/configuration.md config --reference
generated docs/man/berth.1 help --man
generated docs/completion/berth.bash help --completion

say "every command and option of the help is in both pages"
"$berth" help | awk '/^usage/ { on = 1; next } on && /^  [a-z]+ / { print $1 }' | grep -v '^help$' > "$tmp/commands"
[ "$(wc -l < "$tmp/commands")" -ge 12 ] || fail "berth help lists $(wc -l < "$tmp/commands") commands"
options=0
while read -r command; do
    grep -qxF "## berth $command" "$BERTH_SOURCE_DIR/docs/commands.md" || fail "docs/commands.md lacks berth $command"
    grep -qE "^\\$ (.* )?berth $command( |\$)" "$BERTH_SOURCE_DIR/docs/commands.md" ||
        fail "docs/commands.md has no example of berth $command"
    grep -qxF ".SS berth $command" "$man" || fail "the manual page lacks berth $command"
    grep -qE "^_berth_commands=\"(.* )?$command( .*)?\"\$" "$completion" || fail "the completion lacks $command"
    sed -n "/^.SS berth $command\$/,/^.S[SH]/p" "$man" > "$tmp/section"
    listed=$(bash -c '. "$1"; _berth_options "$2"' - "$completion" "$command")
    for option in $("$berth" "$command" --help | sed -n 's/^  --\([a-z-]*\).*/\1/p'); do
        options=$((options + 1))
        [[ " $listed " == *" --$option "* ]] || fail "the completion lacks berth $command --$option"
        case $option in help | verbose) continue ;; esac
        grep -qF "\\fB\\-\\-${option//-/\\-}\\fR" "$tmp/section" || fail "the manual page lacks berth $command --$option"
    done
done < "$tmp/commands"
[ "$options" -ge 60 ] || fail "only $options options were found in the help"
if command -v groff > /dev/null; then
    groff -man -Tutf8 -P-cbou -ww "$man" > "$tmp/page" 2> "$err" || fail "groff"
    [ ! -s "$err" ] || fail "groff has something to say"
    grep -q 'berth help' "$tmp/page" || fail "the page is empty"
fi

say "completion"
bash -n "$completion" || fail "bash does not read it"
completes() { # EXPECTED (words, sorted) WORDS...: the last word is completed
    local expected=$1
    shift
    found=$(cd "$tmp" && bash -c '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _berth; printf "%s\n" "${COMPREPLY[@]}"' \
        - "$completion" "$@" | sort | paste -sd ' ')
    [ "$found" = "$expected" ] || fail "'$*' gives '$found', expected '$expected'"
}
touch "$tmp/a.yaml"
completes "embed eval" berth e
completes "predict" berth help pre
completes "--dry-run" berth train a.yaml --d
completes "conll json tsv" berth predict run --format ""
completes "json" berth predict run --format j
completes "json" berth predict run --format = j
completes "a.yaml" berth train a.y
completes "train.lr=" berth train a.yaml train.lr
completes "tasks.ner.metric=" berth train a.yaml tasks.ner.met
completes "cosine" berth train a.yaml train.schedule = cos
completes "false true" berth train a.yaml log.tensorboard = ""
completes "a.yaml" berth inspect a.

say "installed: the program, its pages"
if command -v cmake > /dev/null && [ -f "$(dirname "$berth")/cmake_install.cmake" ]; then
    run 0 cmake --install "$(dirname "$berth")" --prefix "$tmp/usr"
    run 0 "$tmp/usr/bin/berth" --version
    grep -q '^berth [0-9]' "$out" || fail "the installed program says: $(cat "$out")"
    run 0 "$tmp/usr/bin/berth" doctor
    cmp "$man" "$tmp/usr/share/man/man1/berth.1" || fail "the manual page"
    cmp "$completion" "$tmp/usr/share/bash-completion/completions/berth" || fail "the completion"
    [ -f "$tmp/usr/share/doc/berth/configuration.md" ] || fail "the pages: $(find "$tmp/usr" -name '*.md')"
    [ -z "$(find "$tmp/usr" -name '*.tmp' -o -name 'CMake*')" ] || fail "too much was installed"
fi
passed
