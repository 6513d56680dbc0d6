#!/usr/bin/env bash
# scripts/check_layers.sh finds what it is there to find.
set -eu
. "$(dirname "$0")/lib.sh"
check="$BERTH_SOURCE_DIR/scripts/check_layers.sh"

say "the tree itself"
run 0 sh "$check"

tree=$tmp/tree
forbidden() { # FILE INCLUDE EXPECTED_TEXT
    say "$1 with $2"
    rm -rf "$tree"
    mkdir -p "$tree/include/berth" "$tree/kernels" "$tree/data" "$tree/src/base" "$tree/src/device" "$tree/src/tape" \
        "$tree/src/data" "$tree/src/model"
    printf '#include "berth/base.h"\n' > "$tree/src/base/good.c"
    run 0 sh "$check" "$tree"
    mkdir -p "$(dirname "$tree/$1")"
    printf '/* x */\n#  include %s\n' "$2" > "$tree/$1"
    run 1 sh "$check" "$tree"
    grep -qF -- "$1:2: " "$out" || fail "file and line are not named: $(cat "$out")"
    grep -qF -- "$3" "$out" || fail "expected '$3', found: $(cat "$out")"
}
forbidden src/base/x.c '"berth/device.h"' "part base may not include berth/device.h"
forbidden src/data/x.c '"berth/model.h"' "part data may not include berth/model.h"
forbidden src/model/x.c '"berth/data.h"' "part model may not include berth/data.h"
forbidden include/berth/tape.h '"berth/model.h"' "part tape may not include"
forbidden src/tape/x.c '"device/device_priv.h"' "private header"
forbidden src/tape/x.c '<dnnl.h>' "belongs to"
forbidden src/base/config.c '<hdf5.h>' "belongs to"
forbidden kernels/x.c '"berth/base.h"' "kernels/ may not include"
forbidden kernels/x.c '<yaml.h>' "belongs to"
forbidden kernels/x.c '<unistd.h>' "the C library alone"
passed
