#!/usr/bin/env bash
# What a person sees of a run: a bar that fits a terminal's width, plain lines elsewhere, speed and time left in both.
set -eu
. "$(dirname "$0")/lib.sh"
make_world
command -v script > /dev/null || fail "the program 'script' (bsdutils) is missing"

say "a log file: plain lines"
run 0 "$berth" train "$config" train.epochs=2 log.every='2 steps'
! grep -q "$(printf '[\r\033]')" "$err" || fail "control characters in a log file"
grep -E '^step [0-9]+/' "$err" > "$tmp/steps"
line='^step [0-9]+/16  epoch [12]  loss [0-9]+\.[0-9]{4}  intent ([0-9.]+|-) slots ([0-9.]+|-) mood ([0-9.]+|-)  lr [0-9.e+-]+  [0-9]+ tokens/s [0-9.]+% of peak  ([0-9]+:[0-5][0-9]|-) left$'
[ "$(grep -cE "$line" "$tmp/steps")" = "$(wc -l < "$tmp/steps")" ] && [ "$(wc -l < "$tmp/steps")" -ge 8 ] ||
    fail "lines: $(cat "$tmp/steps")"
tail -n 1 "$tmp/steps" | grep -q ' 0:00 left$' || fail "the last line has time left: $(tail -n 1 "$tmp/steps")"
grep -q '^peak of this device: [0-9.]* GFLOP/s' "$err" || fail "the peak that utilisation counts against is not told"

say "the same numbers in metrics.jsonl and log.txt"
awk 'index($0, "\"type\":\"step\"") { n++
        if (!match($0, /"tokens_per_second":[0-9]+,"utilisation":[0-9.e-]+,/)) exit 1
        split(substr($0, RSTART, RLENGTH), part, /[:,]/); if (part[2] <= 0 || part[4] <= 0 || part[4] > 2) exit 1 }
    END { exit n < 8 }' "$run/metrics.jsonl" || fail "metrics: $(grep -m 2 step "$run/metrics.jsonl")"
grep -qE 'step 16/16  epoch 2.00  loss [0-9.]+ .* tokens/s  [0-9.]+ % of peak$' "$run/log.txt" || fail "log.txt: $(tail "$run/log.txt")"

on_terminal() { # COLUMNS COMMAND...: what a terminal of that width was sent, in $tmp/screen
    local columns=$1
    shift
    # a column more or less than 80 must not come from the environment
    env -u COLUMNS TERM=xterm script -qec "stty cols $columns rows 24; exec $*" "$tmp/screen" > /dev/null 2>&1 < /dev/null ||
        fail "script: $(cat "$tmp/screen")"
}
bars() { # the bars of the screen, one a line, without their control characters
    tr '\r' '\n' < "$tmp/screen" | grep -aE 'left.\[K|\[K' | sed 's/\x1b\[K//g' | grep -a '/16' || true
}
tasks=
for i in 1 2 3 4 5 6; do tasks="$tasks 'tasks.another-task-$i={type: classification, source: talk, label: label}'"; done

for width in 200 80 60 40 24; do
    say "a terminal of $width columns"
    rm -rf "$run"
    on_terminal "$width" "'$berth' train '$config' train.epochs=2 log.every='1 steps' $tasks"
    bars > "$tmp/bars"
    [ "$(wc -l < "$tmp/bars")" -ge 10 ] || fail "found $(wc -l < "$tmp/bars") bars"
    awk -v most=$((width - 1)) 'length($0) > most { print "too wide:", $0; exit 1 }' "$tmp/bars" || fail "a bar does not fit"
    grep -q '16/16' "$tmp/bars" || fail "no bar of the last step"
    [ "$width" -lt 40 ] || grep -qE ' [0-9]+:[0-5][0-9] left$' "$tmp/bars" || fail "no time left: $(tail -n 2 "$tmp/bars")"
    [ "$width" -lt 60 ] || grep -qE '[0-9] tokens/s' "$tmp/bars" || fail "no speed: $(tail -n 2 "$tmp/bars")"
    [ "$width" -lt 200 ] || grep -qF '[####################] 16/16' "$tmp/bars" || fail "no full bar at the end"
    ! grep -qa "$(printf '\033')\[[0-9;]*m" "$tmp/screen" || fail "colours"
done

say "TERM=dumb: plain lines on a terminal, too"
rm -rf "$run"
env -u COLUMNS TERM=dumb script -qec "'$berth' train '$config' train.epochs=1" "$tmp/screen" > /dev/null 2>&1 < /dev/null || fail "script"
! grep -qa "$(printf '\033')" "$tmp/screen" || fail "control characters on a dumb terminal"
grep -qa '^step 4/8 ' "$tmp/screen" || fail "no plain lines"
passed
