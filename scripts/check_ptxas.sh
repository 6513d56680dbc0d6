#!/usr/bin/env bash
# Reads what ptxas said of the kernels and fails where one spills registers or has a stack frame, naming it.
#
#     scripts/check_ptxas.sh LOG...               LOG: NAME.ptxas.txt of a build (BUILD/cuda)
#     scripts/check_ptxas.sh --whole LOG...       these are all of a build: an exception that none needs is a mistake
#     scripts/check_ptxas.sh --allow LIST LOG...  LIST in place of scripts/cmake/ptxas_allowed.txt
#
# LIST: a line for each exception, `KERNEL ARCHITECTURE BYTES reason`: at most BYTES of stack; `*`: any architecture.
# A line without a reason is a mistake too.
# Ends with one line: how many kernels on which architectures, and the most registers.
set -eu
list=$(dirname "$0")/cmake/ptxas_allowed.txt
whole=0
while :; do
    case ${1:-} in
    --whole) whole=1 && shift ;;
    --allow) list=${2:?a file} && shift 2 ;;
    *) break ;;
    esac
done
[ $# -gt 0 ] || { echo "check_ptxas: no log was named" >&2; exit 2; }
[ -r "$list" ] || { echo "check_ptxas: $list: cannot be read" >&2; exit 2; }
for log in "$@"; do
    [ -r "$log" ] || { echo "check_ptxas: $log: cannot be read; was the kernel built?" >&2; exit 2; }
done

awk -v list="$list" -v whole="$whole" '
function plain(name,    parts, length_) { # the name within a mangled one: _Z<length><name>...
    if (match(name, /^_ZN?[0-9_A-Z]*[0-9]+/) == 0) return name
    if (match(name, /[0-9]+[a-z]/) == 0) return name
    length_ = substr(name, RSTART, RLENGTH - 1) + 0
    return substr(name, RSTART + RLENGTH - 1, length_) template(substr(name, RSTART + RLENGTH - 1 + length_))
}
function template(rest,    text) { # its numbers: ILi128EE -> <128>
    if (rest !~ /^I/) return ""
    text = ""
    rest = substr(rest, 2)
    for (;;) {
        if (match(rest, /^L[a-z]-?[0-9]+E/)) text = text "," substr(rest, 3, RLENGTH - 3)
        else if (match(rest, /^f/)) text = text ",float"
        else if (match(rest, /^13__nv_bfloat16/)) text = text ",bf16"
        else break
        rest = substr(rest, RLENGTH + 1)
    }
    return text == "" ? "" : "<" substr(text, 2) ">"
}
function wrong(text) { print "check_ptxas: " text; failed = 1 }
BEGIN {
    while ((getline line < list) > 0) {
        number++
        if (line ~ /^[ \t]*(#|$)/) continue
        n = split(line, part, /[ \t]+/)
        if (n < 4 || part[3] !~ /^[0-9]+$/) wrong(list " line " number ": expected KERNEL ARCHITECTURE BYTES reason")
        allowed[part[1] " " part[2]] = part[3]
        line_of[part[1] " " part[2]] = number
    }
}
/Compiling entry function/ {
    split($0, part, "\047")
    kernel = plain(part[2]); arch = part[4]
    kernels[kernel] = 1; if (!(arch in archs)) names = names " " arch; archs[arch] = 1; entries[FILENAME]++; open_entry = 1
    next
}
/Compiling .* for / { open_entry = 0 }
/bytes stack frame/ && open_entry {
    stack = $1 + 0; stores = $5 + 0; loads = $9 + 0
    seen++
    if (stack == 0 && stores == 0 && loads == 0) next
    key = (kernel " " arch) in allowed ? kernel " " arch : kernel " *"
    if (key in allowed) {
        used[key] = 1
        if (stack <= allowed[key] && stores + loads <= 2 * allowed[key]) next
    }
    wrong(kernel " on " arch ": " stack " bytes of stack, " stores " bytes stored and " loads " loaded by spills (" FILENAME ")")
}
/^ptxas.*Used [0-9]+ registers/ && open_entry {
    match($0, /Used [0-9]+/)
    registers = substr($0, RSTART + 5, RLENGTH - 5) + 0
    if (registers > most) { most = registers; most_of = kernel " on " arch }
    open_entry = 0
}
END {
    for (i = 1; i < ARGC; i++)
        if (!(ARGV[i] in entries)) wrong(ARGV[i] ": no kernel in it")
    if (whole + 0)
        for (key in allowed)
            if (!(key in used)) wrong(list " line " line_of[key] ": no kernel needs this exception any more")
    count = 0
    for (k in kernels) count++
    if (failed) exit 1
    printf "check_ptxas: %d kernels, %d compilations for%s; no spill, no stack frame; at most %d registers (%s)\n", \
        count, seen, names, most, most_of
}' "$@"
