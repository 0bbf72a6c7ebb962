# shellcheck shell=sh disable=SC2034,SC2154
# What the scripts of this folder share; sourced, not run. Needs $root, the top of the checkout.

# Pinned: another linker or another std is another program.
ZIG_VERSION=0.15.2
ZIGBUILD_VERSION=0.22.3
CARGO_DEB_VERSION=3.8.0
OELINT_VERSION=9.11.2

# size_max TRIPLE: the largest program that is published, in bytes.
size_max() { sed -n "s/^$1 = //p" "$root/benches/budgets.toml"; }

# Kept between builds and checkouts, and may be removed at any time.
cache=${CHAINBOT_CROSS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/chainbot-cross}

say() { printf '%s\n' "$*" >&2; }

die() {
    say "${0##*/}: $*"
    exit 1
}

version() { sed -n '/^\[package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$root/Cargo.toml"; }

# Seconds since 1970 that everything built here carries: the commit's, or in a source archive that of its files.
source_date() {
    if [ -n "${SOURCE_DATE_EPOCH:-}" ]; then
        echo "$SOURCE_DATE_EPOCH"
    elif [ -e "$root/.git" ]; then
        git -C "$root" log -1 --format=%ct
    else
        stat -c %Y "$root/Cargo.toml"
    fi
}

bytes_of() { stat -c %s "$1"; }

mib() { awk -v bytes="$1" 'BEGIN { printf "%.2f MiB", bytes / 1048576 }'; }
