#!/bin/sh
# Installs what berth is built on, on Debian 12/13 and Ubuntu 24.04. Asks nothing, repeats without harm.
#
#   scripts/setup.sh            what a build needs
#   scripts/setup.sh --tests    also what the tests need
set -eu

build="gcc g++ libc6-dev cmake ninja-build pkg-config libdnnl-dev libhdf5-dev libyaml-dev libjansson-dev libxxhash-dev zlib1g-dev libzstd-dev"
tests="libcmocka-dev libmicrohttpd-dev curl unzip clang libclang-rt-dev libomp-dev"

case "${1:-}" in
    "") wanted=$build ;;
    --tests) wanted="$build $tests" ;;
    *) echo "setup: unknown argument '$1'; usage: scripts/setup.sh [--tests]" >&2; exit 2 ;;
esac

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "setup: no dpkg here, so nothing is installed; berth needs: $wanted" >&2
    echo "setup: (the names are Debian's; the build says which of them it does not find)" >&2
    exit 0
fi

is_installed() {
    dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q '^install ok installed$'
}

missing=
for package in $wanted; do
    # pkgconf provides pkg-config on newer systems.
    if [ "$package" = pkg-config ] && command -v pkg-config >/dev/null 2>&1; then continue; fi
    if [ "$package" = cmake ] && command -v cmake >/dev/null 2>&1; then continue; fi
    is_installed "$package" || missing="$missing $package"
done
if [ -z "$missing" ]; then
    echo "setup: every package is there"
    exit 0
fi

echo "setup: installing$missing"
as_root=
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "setup: neither root nor sudo; let an administrator run: apt-get install --no-install-recommends$missing" >&2
        exit 1
    fi
    as_root=sudo
fi
export DEBIAN_FRONTEND=noninteractive
# A first try with the lists at hand saves the update on most machines.
# shellcheck disable=SC2086 # the list is words on purpose
if ! $as_root apt-get install -y -q --no-install-recommends $missing >/dev/null 2>&1; then
    if ! $as_root apt-get update -q; then
        echo "setup: apt-get update failed; is there a network, and are the package sources right?" >&2
        exit 1
    fi
    if ! $as_root apt-get install -y -q --no-install-recommends $missing; then
        echo "setup: apt-get install failed for:$missing" >&2
        exit 1
    fi
fi
echo "setup: done"
