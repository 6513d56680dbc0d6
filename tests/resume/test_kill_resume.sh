#!/usr/bin/env bash
# slow: runs killed (SIGKILL) fifty times at random instants and resumed until they are done end with the bits of one never killed.
set -eu
. "$(dirname "$0")/../cli/lib.sh"
make_world
write_talk "$tmp/world/talk/dev" 90 100 # evaluations that take long enough to be hit
killer=${BERTH_KILLER:?the program that kills}

common=(threads=1 train.epochs=12 evaluate.every="3 steps" checkpoint.every="2 steps" log.every="3 steps" evaluate.batch_size=6)
seed=${KILL_SEED:-$(date +%s)}
kills=0
starts=0
declare -A hits=([start]=0 [step]=0 [evaluation]=0 [checkpoint]=0 [export]=0)

# classify FOLDER: what the kill hit, told by what lies there
classify() {
    local last
    if [ ! -s "$1/metrics.jsonl" ]; then
        echo start
    elif compgen -G "$1/checkpoints/*.tmp.*" > /dev/null; then
        echo checkpoint
    elif compgen -G "$1/best.tmp.*" > /dev/null; then
        echo export
    else # a report is written before the evaluation of its step begins, the scores when it is over
        last=$(grep -o '"type":"[a-z]*"\(,"split":"[a-z]*"\)\?,"step":[0-9]*' "$1/metrics.jsonl" | tail -n 1)
        case $last in
        *'"step","step":'*) if [ $((${last##*:} % 3)) = 0 ]; then echo evaluation; else echo step; fi ;;
        *) echo step ;;
        esac
    fi
}
newest() { # FOLDER: its newest checkpoint
    find "$1/checkpoints" -name 'step-*.h5' | sort -t- -k2 -V | tail -n 1
}
same_end() { # CALM KILLED
    local file
    cmp "$1/best/model.safetensors" "$2/best/model.safetensors" || fail "the best models differ"
    file=$(basename "$(newest "$1")")
    [ "$(basename "$(newest "$2")")" = "$file" ] || fail "the last checkpoint is $(newest "$2"), expected $file"
    for folder in "$1" "$2"; do
        "$berth" inspect "$folder/checkpoints/$file" | awk -F '\t' '$1 == "dataset" && $2 != "state" && $2 != "digests"' > "$folder.digests"
        sed 's/"\(tokens_per_second\|utilisation\|input_wait\)":[0-9a-z.+-]*//g' "$folder/metrics.jsonl" > "$folder.metrics"
    done
    grep -q values "$1.digests" || fail "inspect does not show the dataset 'values'"
    cmp -s "$1.digests" "$2.digests" || fail "the last checkpoints differ: $(diff "$1.digests" "$2.digests" | head -n 4)"
    cmp "$1.metrics" "$2.metrics" || fail "the metrics differ: $(diff "$1.metrics" "$2.metrics" | head -n 4)"
    cmp "$1/finished.json" "$2/finished.json" || fail "the final scores differ"
    [ "$(wc -c < "$1/events.out.tfevents.berth")" = "$(wc -c < "$2/events.out.tfevents.berth")" ] || fail "the event files differ in size"
    ! find "$2" -name '*.tmp.*' | grep . || fail "something is left over"
}

# trial NAME KILLS SETTINGS...: one undisturbed run, then killed runs until KILLS kills hit
trial() {
    local name=$1 wanted=$2 calm=$tmp/$1-calm began took done_kills=0 round=0 result finished
    shift 2
    say "$name: a run that nobody disturbs"
    began=$(date +%s%N)
    run 0 "$berth" train "$config" "${common[@]}" "$@" output="$calm"
    took=$((($(date +%s%N) - began) / 1000000)) # milliseconds
    while [ "$done_kills" -lt "$wanted" ]; do
        round=$((round + 1))
        finished=no
        while [ "$finished" = no ]; do
            starts=$((starts + 1))
            say "$name, round $round, KILL_SEED=$seed, start $starts, $kills kills"
            [ "$starts" -le 400 ] || fail "the runs do not come to their ends"
            if [ "$done_kills" -ge "$wanted" ]; then # enough: let it finish
                run 0 "$berth" train "$config" "${common[@]}" "$@" output="$tmp/$name-$round" --resume
                break
            fi
            local from=("peak of this device")
            [ $((starts % 8)) != 0 ] || from=() # some in the start itself
            result=$("$killer" $((seed + starts)) $((took / 6 + 5)) "${from[@]}" -- "$berth" train "$config" "${common[@]}" "$@" \
                output="$tmp/$name-$round" --resume 2> "$err" < /dev/null | tail -n 1)
            case $result in
            killed)
                kills=$((kills + 1))
                done_kills=$((done_kills + 1))
                kind=$(classify "$tmp/$name-$round")
                hits[$kind]=$((hits[$kind] + 1))
                ;;
            'ended 0') finished=yes ;;
            *) fail "the program $result" ;;
            esac
        done
        say "$name, round $round, KILL_SEED=$seed: the same end"
        same_end "$calm" "$tmp/$name-$round"
    done
}

# The end of an epoch is at multiples of 8 steps (of 16 with one task a step), so most kills are within one.
altered=(data.talk.augment.entity=0.5 data.talk.augment.delete=0.2 data.talk.augment.swap=0.2 data.reviews.augment.mask=0.2)
trial plain 14 train.accumulate=2
trial frozen 10 "${altered[@]}" sampling.mix=step train.batch_size=6 freeze='[{select: embeddings}, {select: layers.0, until: 40 steps}]'
trial keep 8 weighting.method=uncertainty checkpoint.keep_every=5 checkpoint.keep=1 train.batch_size=5
trial altered 9 "${altered[@]}" sampling.units.reviews='{ratio: 2.5, more: augmentation}' train.accumulate=2
trial learnt 9 weighting.method=gradnorm train.ema=0.95 train.accumulate=2 freeze='[{select: heads.mood, from: 40 steps}]'
[ "$kills" -ge 50 ] || fail "only $kills kills"
while [ "$kills" -lt 100 ] && { [ "${hits[step]}" = 0 ] || [ "${hits[evaluation]}" = 0 ] || [ "${hits[checkpoint]}" = 0 ]; }; do
    trial "more$kills" 8 # chance left one kind out
done
for kind in step evaluation checkpoint; do
    [ "${hits[$kind]}" -gt 0 ] || fail "no kill hit a $kind: start ${hits[start]}, step ${hits[step]}, evaluation ${hits[evaluation]}, checkpoint ${hits[checkpoint]}, export ${hits[export]}"
done
echo "$test_name: $kills kills in $starts starts (start ${hits[start]}, step ${hits[step]}, evaluation ${hits[evaluation]}, checkpoint write ${hits[checkpoint]}, export ${hits[export]}), KILL_SEED=$seed" >&2
passed
