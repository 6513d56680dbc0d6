#!/usr/bin/env bash
# scripts/fetch_model.sh against a hub on this machine: whole, broken and resumed, lying, silent, gone.
set -eu
. "$(dirname "$0")/lib.sh"
[ -n "${BERTH_HUB_SERVER:-}" ] || skip "the test hub was not built (libmicrohttpd is not installed)"
command -v curl >/dev/null || skip "curl is not installed"

files="config.json vocab.txt tokenizer_config.json tokenizer.json model.safetensors"
mkdir "$tmp/hub"
for file in $files; do
    case $file in
        config.json | tokenizer_config.json) printf '{"file": "%s"}\n' "$file" > "$tmp/hub/$file"
            { printf 'blob %d\0' "$(stat -c %s "$tmp/hub/$file")"; cat "$tmp/hub/$file"; } | sha1sum > "$tmp/hub/$file.digest" ;;
        *) seq 1 30000 | sed "s/^/$file /" > "$tmp/hub/$file"
            sha256sum < "$tmp/hub/$file" > "$tmp/hub/$file.digest" ;;
    esac
done

server=
start_hub() { # ARGUMENTS...
    rm -f "$tmp/port" "$tmp/stop"
    mkfifo "$tmp/stop"
    "$BERTH_HUB_SERVER" "$tmp/hub" "$tmp/port" "$@" < "$tmp/stop" > "$tmp/requests" &
    server=$!
    exec 9> "$tmp/stop"
    for _ in $(seq 100); do [ -s "$tmp/port" ] && break; sleep 0.05; done
    [ -s "$tmp/port" ] || fail "the test hub did not start"
    BERTH_HUB_URL="http://127.0.0.1:$(cat "$tmp/port")"
    export BERTH_HUB_URL BERTH_FETCH_PAUSE=0
}
stop_hub() {
    exec 9>&-
    wait "$server" || fail "the test hub failed"
}
fetch="$BERTH_SOURCE_DIR/scripts/fetch_model.sh"
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy || true

say "whole"
start_hub
run 0 "$fetch" bert-base-uncased "$tmp/whole"
for file in $files; do cmp "$tmp/hub/$file" "$tmp/whole/$file" || fail "$file differs"; done
(cd "$tmp/whole" && sha256sum --quiet -c SHA256SUMS) || fail "SHA256SUMS does not hold"
[ "$(wc -l < "$tmp/whole/SHA256SUMS")" = 5 ] || fail "SHA256SUMS: expected 5 lines"
grep -q 'GET /google-bert/bert-base-uncased/resolve/main/vocab.txt' "$tmp/requests" || fail "another path was asked"

say "again: nothing is asked for twice"
: > "$tmp/requests.before"; cp "$tmp/requests" "$tmp/requests.before"
run 0 "$fetch" bert-base-uncased "$tmp/whole"
cmp "$tmp/requests" "$tmp/requests.before" || fail "the second call asked the hub"

say "a changed file is fetched again"
echo more >> "$tmp/whole/vocab.txt"
run 0 "$fetch" bert-base-uncased "$tmp/whole"
cmp "$tmp/hub/vocab.txt" "$tmp/whole/vocab.txt" || fail "vocab.txt was not repaired"
stop_hub

say "a connection that breaks: goes on where it stopped"
start_hub break=100000
run 0 "$fetch" distilbert-base-uncased "$tmp/broken"
for file in $files; do cmp "$tmp/hub/$file" "$tmp/broken/$file" || fail "$file differs after a break"; done
grep -Eq '^GET /large/[a-z.]+ [1-9][0-9]*$' "$tmp/requests" || fail "no request went on from a later byte"
stop_hub

say "a broken download is resumed by a later call"
start_hub break=100000
BERTH_FETCH_TRIES=1 run 1 "$fetch" bert-base-uncased "$tmp/later"
one_line "the same command goes on"
[ -s "$tmp/later/vocab.txt.part" ] || fail "the part was not kept"
run 0 "$fetch" bert-base-uncased "$tmp/later"
grep -q "going on at byte" "$out" || fail "the second call began anew"
cmp "$tmp/hub/vocab.txt" "$tmp/later/vocab.txt" || fail "vocab.txt differs"
stop_hub

for wrong in model.safetensors config.json; do
    say "a digest that differs: $wrong"
    start_hub "lie=$wrong"
    run 1 "$fetch" bert-base-uncased "$tmp/lie-$wrong"
    one_line "the hub states"
    [ ! -e "$tmp/lie-$wrong/$wrong" ] && [ ! -e "$tmp/lie-$wrong/$wrong.part" ] || fail "a wrong file was kept"
    stop_hub
done

say "no digest stated"
start_hub nodigest=config.json
run 1 "$fetch" bert-base-uncased "$tmp/none"
one_line "no usable digest"
stop_hub

say "a hub that cannot be reached"
BERTH_HUB_URL=http://127.0.0.1:1 run 1 "$fetch" bert-base-uncased "$tmp/gone"
grep -q "could not be reached" "$err" || fail "the reason is not named: $(cat "$err")"

say "usage"
run 2 "$fetch" bert-large "$tmp/x"
run 2 "$fetch" bert-base-uncased "$tmp/x" --from-wheel
run 2 "$fetch"
passed
