#!/bin/sh
# Proves the README's promise: in a fresh Debian 12 root with only Rust and make, `make run` and `make test` work.
#
#   sudo scripts/fresh-debian.sh [ROOT]        default ROOT: /var/cache/weebee-fresh
#
# Builds the root with debootstrap (kept for the next time, without its packages of the time before), puts a clean clone of
# HEAD and this machine's Rust toolchain into it, and runs both commands there. Mounts and processes are its own and are
# taken down again.
set -eu

root=${1:-/var/cache/weebee-fresh}
here=$(cd "$(dirname "$0")/.." && pwd)
[ "$(id -u)" = 0 ] || { echo "needs root: chroot and mounts" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "apt-get install -y debootstrap" >&2; exit 1; }
toolchain=$(rustc --print sysroot)
cargo_home=${CARGO_HOME:-$HOME/.cargo}
mirror=$(sed -n 's/^URIs: *//p; s/^deb [^h]*\(http[^ ]*\).*/\1/p' /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
    grep -v security | head -n 1)

base="$root.base"
[ -e "$base/etc/debian_version" ] ||
    debootstrap --variant=minbase --include=ca-certificates,make bookworm "$base" "${mirror:-http://deb.debian.org/debian}"
rm -rf --one-file-system "$root"
cp -a "$base" "$root"

cleanup() {
    # The whole session of `make run`: make, its shell and the gateway itself.
    [ -z "${gateway:-}" ] || kill -- "-$gateway" 2>/dev/null || true
    for place in proc dev rust cargo/registry; do umount -l "$root/$place" 2>/dev/null || true; done
}
trap cleanup EXIT INT TERM
mkdir -p "$root/rust" "$root/cargo/registry" "$root/weebee"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount --bind "$toolchain" "$root/rust"
mount -o remount,bind,ro "$root/rust"
mkdir -p "$cargo_home/registry"
mount --bind "$cargo_home/registry" "$root/cargo/registry"
# The network is this machine's: its resolver, its roots of trust, its way to packages.
cp /etc/resolv.conf "$root/etc/resolv.conf"
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
cp /etc/hosts "$root/etc/hosts"
if [ -e "$cargo_home/config.toml" ]; then cp "$cargo_home/config.toml" "$root/cargo/config.toml"; fi
git -C "$here" archive HEAD | tar -x -C "$root/weebee"

in_root="chroot $root env -i HOME=/root TERM=dumb CARGO_HOME=/cargo PATH=/rust/bin:/usr/sbin:/usr/bin:/sbin:/bin sh -c"
inside() {
    $in_root "cd /weebee && $1"
}

echo "== make test"
inside "make test"

echo "== make run (until it answers, then a call)"
setsid $in_root "cd /weebee && make run SIP_PORT=15060 HTTP_PORT=18788" > "$root/weebee/run.log" 2>&1 &
gateway=$!
tries=0
until grep -q 'weebee call' "$root/weebee/run.log"; do
    tries=$((tries + 1))
    [ "$tries" -lt 900 ] || { echo "make run did not come up:"; cat "$root/weebee/run.log"; exit 1; }
    kill -0 "$gateway" 2>/dev/null || { echo "make run ended:"; cat "$root/weebee/run.log"; exit 1; }
    sleep 1
done
cat "$root/weebee/run.log" | tail -n 30
call=$(grep -o 'weebee call .*' "$root/weebee/run.log" | head -n 1 | sed 's/^weebee/target\/release\/weebee/')
echo "== $call"
inside "$(echo "$call" | sed 's,--duration [0-9]*,--duration 8,')"
echo "fresh Debian $(cat "$root/etc/debian_version"): make test and make run work as written"
