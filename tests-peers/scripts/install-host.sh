#!/bin/sh
# Installs the peers and tools that are packages of the host itself: SIPp, baresip, Chromium, Prosody, sox, espeak-ng, debootstrap,
# libsrtp, Python, Java, PostgreSQL, fail2ban, nginx, Apache, Kamailio. Repeatable: does nothing when everything is there.
. "$(dirname "$0")/lib.sh"

PACKAGES="sip-tester baresip-core chromium prosody openssl sox libsox-fmt-base espeak-ng debootstrap iproute2 util-linux procps \
gcc libc6-dev libsrtp2-dev python3 python3-venv default-jdk-headless maven postgresql fail2ban nginx apache2-bin kamailio"

missing() {
    for package in $PACKAGES; do
        dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q 'ok installed' || printf '%s ' "$package"
    done
}

need_debian
wanted="$(missing)"
if [ -z "$wanted" ]; then
    say "host packages: all there"
    exit 0
fi
need_root
with_lock
say "host packages: installing $wanted"
step "$PEERS_DIR/log/host-update.log" "reading the package lists (is a mirror reachable?)" apt-get update -q
# Prosody, PostgreSQL, fail2ban, nginx and Kamailio would start as services of this host: the tests start their own, in a network namespace.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi
# shellcheck disable=SC2086  # a list of names, split on purpose
step "$PEERS_DIR/log/host-install.log" "installing $wanted" \
    apt-get install -q -y --no-install-recommends $wanted
still="$(missing)"
[ -z "$still" ] || die "apt-get said yes, yet these are not installed: $still"
say "host packages: done"
