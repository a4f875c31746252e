#!/bin/sh
# Makes one Debian chroot with an Asterisk in it, below $PEERS_DIR/NAME, in about a minute.
#
#   install-chroot.sh asterisk16     Debian bullseye: Asterisk 16.28 with chan_sip and codec_opus
#   install-chroot.sh asterisk22     Debian sid: Asterisk 22 with PJSIP and codec_opus
#
# Repeatable: a finished chroot has a stamp with the recipe's version and is left alone. A half-made one is
# made anew. No service is started, and no mount outlives this script (private mount namespace).
. "$(dirname "$0")/lib.sh"

RECIPE=1 # raise it to have every cached chroot made anew

case "${1:-}" in
asterisk16)
    suite=bullseye
    packages="asterisk asterisk-modules asterisk-opus asterisk-core-sounds-en-wav"
    ;;
asterisk22)
    suite=sid
    packages="asterisk asterisk-modules"
    ;;
*) die "usage: install-chroot.sh asterisk16|asterisk22" ;;
esac
name="$1"
root="$PEERS_DIR/$name"
stamp="$root/.weebee-peer"

if [ "$(sed -n 1p "$stamp" 2>/dev/null)" = "recipe $RECIPE" ]; then
    say "$name: there ($(sed -n 2p "$stamp"))"
    exit 0
fi

# A new mount namespace for everything below: /proc and /dev of the chroot vanish with this process.
if [ -z "${WEEBEE_PEERS_UNSHARED:-}" ]; then
    need_root
    need_debian
    command -v debootstrap >/dev/null || die "debootstrap is missing: run install-host.sh first"
    exec env WEEBEE_PEERS_UNSHARED=1 unshare --mount --propagation private sh "$0" "$@"
fi

uri="$(mirror)"
say "$name: Debian $suite into $root"
rm -rf --one-file-system "$root"
mkdir -p "$root"

step "$PEERS_DIR/log/$name-debootstrap.log" "unpacking Debian $suite (is it still on the mirror? WEEBEE_PEERS_MIRROR names another)" \
    debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "$uri"

# Nothing may be started by a package's install script.
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
# The host's own way to a mirror (proxy, retries) also holds inside.
cp /etc/resolv.conf "$root/etc/resolv.conf"
mkdir -p "$root/etc/apt/apt.conf.d"
apt-config dump --no-empty 2>/dev/null | grep -E '^Acquire::(http|https|Retries)' \
    >"$root/etc/apt/apt.conf.d/50host" || true

mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"

in_root() { chroot "$root" env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
step "$PEERS_DIR/log/$name-update.log" "reading the package lists of $suite" \
    in_root apt-get -o Acquire::Check-Valid-Until=false update -q
# shellcheck disable=SC2086  # a list of names, split on purpose
step "$PEERS_DIR/log/$name-install.log" "installing $packages in $suite" \
    in_root apt-get -o Acquire::Check-Valid-Until=false install -q -y --no-install-recommends $packages
in_root apt-get clean

# At run time there is no name server: answer every question from /etc/hosts, at once.
: >"$root/etc/resolv.conf"
sed -i 's/^hosts:.*/hosts: files/' "$root/etc/nsswitch.conf"
grep -q '^hosts:' "$root/etc/nsswitch.conf" || echo 'hosts: files' >>"$root/etc/nsswitch.conf"
printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"
mkdir -p "$root/mnt/peer"

version="$(in_root asterisk -V)" || die "asterisk does not start inside $root"
printf 'recipe %s\n%s\n' "$RECIPE" "$version" >"$stamp"
say "$name: done ($version)"
