#!/bin/sh
# Reads every #include of the parts and compares it with the table of allowed edges. One line a mistake, exit code 1.
#
# A part includes its own headers, those of the parts below it, and private headers ("part/part_priv.h") of its own
# alone. kernels/ knows nothing of the framework. The header of a library that is wrapped stands in one file.
set -eu
cd "${1:-$(dirname "$0")/..}"

files=$(find include/berth src kernels data \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' -o -name '*.cpp' \) | sort)
# shellcheck disable=SC2086 # one word a file, none holds a space
exec awk '
    BEGIN {
        # part: the parts whose headers it may include
        allowed["kernels"] = " kernels "
        allowed["base"]    = " base philox "
        allowed["device"]  = " device base kernels philox "
        allowed["tape"]    = " tape device base kernels philox "
        allowed["batch"]   = " batch base philox "
        allowed["text"]    = " text base philox "
        allowed["model"]   = " model tape batch text device base kernels philox "
        allowed["data"]    = " data text batch base philox "
        allowed["dist"]    = " dist device base kernels philox "
        allowed["train"]   = " train dist model data tape batch text device base kernels philox "
        allowed["cli"]     = " cli train dist model data tape batch text device base kernels philox "
        allowed["demo"]    = " demo base philox "
        # header: its part, where the two names differ
        part_of["kernels.h"] = part_of["kernels_cuda.h"] = "kernels"; part_of["philox.h"] = part_of["bf16.h"] = "philox"
        part_of["tags.h"] = "batch"; part_of["metrics.h"] = "train"; part_of["task_gradients.h"] = "model"
        part_of["census.h"] = "data"
        part_of["base.h"] = part_of["file.h"] = part_of["h5.h"] = part_of["json.h"] = part_of["config.h"] = "base"
        # wrapped libraries: header: the files that may include it
        wrapped["dnnl.h"] = "^src/device/onednn_[a-z_]*\\.[ch]$"
        wrapped["dnnl"] = wrapped["dnnl.h"]
        wrapped["hdf5.h"] = "^src/base/h5"
        wrapped["yaml.h"] = "^src/base/yaml_tree\\.c$"
        wrapped["jansson.h"] = "^src/base/json"
        wrapped["xxhash.h"] = "^src/base/hash"
        wrapped["zlib.h"] = wrapped["zstd.h"] = "^src/data/text_stream\\.c$"
        # kernels/: the C library, OpenMP and the compiler alone
        kernel_system = " assert.h float.h immintrin.h limits.h math.h omp.h stdbool.h stddef.h stdint.h stdio.h stdlib.h string.h "
        # CUDA kernels, and the layer that executes them
        cuda_system = " cuda_bf16.h cuda_runtime.h "
        host_system = " stdarg.h sys/mman.h ucontext.h sanitizer/asan_interface.h sanitizer/common_interface_defs.h "
    }
    function fail(text) {
        printf "%s:%d: %s\n", FILENAME, FNR, text
        bad = 1
    }
    function header_part(header) {
        if (header in part_of) return part_of[header]
        sub(/\.h$/, "", header)
        return header
    }
    FNR == 1 {
        n = split(FILENAME, path, "/")
        if (path[1] == "include") part = header_part(path[3])
        else if (path[1] == "src") part = path[2]
        else if (path[1] == "kernels") part = "kernels"
        else part = "demo"
        if (part != "philox" && !(part in allowed)) fail("part \"" part "\" is not in the table of scripts/check_layers.sh")
    }
    /^[ \t]*#[ \t]*include/ {
        edges++
        header = $0
        sub(/^[ \t]*#[ \t]*include[ \t]*/, "", header)
        own = substr(header, 1, 1) == "\""
        header = substr(header, 2)
        sub(/[">].*/, "", header)
        base = header
        sub(/.*\//, "", base)
        if (base in wrapped) {
            if (FILENAME !~ wrapped[base]) fail("<" header "> belongs to " wrapped[base] " alone")
            else if (base ~ /^dnnl/) dnnl[FILENAME] = 1
            next
        }
        if (!own) {
            known = kernel_system
            if (FILENAME ~ /\.cuh$/) known = known cuda_system
            if (path[2] == "host") known = known host_system
            if (part == "kernels" && path[1] == "kernels" && index(known, " " header " ") == 0)
                fail("<" header "> in kernels/, which knows the C library alone")
            next
        }
        if (header ~ /^berth\//) {
            target = header_part(base)
            if (part == "kernels" && target != "kernels" && target != "philox")
                fail("kernels/ may not include " header)
            else if (part == "philox" && target != "philox") fail(FILENAME " may include none of berth")
            else if (part in allowed && target != "philox" && index(allowed[part], " " target " ") == 0)
                fail("part " part " may not include " header " (allowed:" allowed[part] ")")
            next
        }
        # Private headers: of the same folder, with or without its name in front.
        if (path[1] == "include") { fail("an interface header may not include private " header); next }
        if (header ~ /\//) {
            if (path[1] == "kernels" && header ~ /^host\//) next
            owner = header
            sub(/\/.*/, "", owner)
            if (owner != part) fail("private header " header " of part " owner " in part " part)
        }
    }
    END {
        for (f in dnnl) { users = users " " f; count++ }
        if (count > 1) { print "oneDNN is included by more than one file:" users; bad = 1 }
        if (edges == 0) { print "check_layers: no #include found at all"; bad = 1 }
        if (!bad) printf "check_layers: %d includes, all along the allowed edges\n", edges
        exit bad
    }' $files
