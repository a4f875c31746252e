#!/bin/sh
# Prints one line a peer: name, version, or what is missing and the command that brings it. Exit 1 if one is missing.
here="$(dirname "$0")"
. "$here/lib.sh"

missing=0
tell() { # tell NAME VERSION REMEDY
    if [ -n "$2" ]; then
        printf 'peers: %-12s %s\n' "$1" "$2"
    else
        printf 'peers: %-12s MISSING: run %s as root\n' "$1" "$3"
        missing=1
    fi
}
tell_optional() { # as tell; a registry that cannot be reached is no failure: the tests say loudly that they skip
    before="$missing"
    tell "$@"
    missing="$before"
}
package() { dpkg-query -W -f '${Version}' "$1" 2>/dev/null || true; }

for pair in sipp:sip-tester prosody:prosody baresip:baresip-core chromium:chromium espeak-ng:espeak-ng sox:sox ip:iproute2 psql:postgresql \
    fail2ban-regex:fail2ban nginx:nginx apache2:apache2-bin kamailio:kamailio; do
    command="${pair%%:*}"
    version=""
    if command -v "$command" >/dev/null; then version="$(package "${pair#*:}")"; fi
    tell "$command" "$version" "$here/install-host.sh"
done
tell libsrtp2 "$(package libsrtp2-dev)" "$here/install-host.sh"
tell aiortc "$(sed -n 2p "$PEERS_DIR/webrtc/.weebee-peer" 2>/dev/null || true)" "$here/install-webrtc.sh"
tell_optional java "$(sed -n 2p "$PEERS_DIR/java-transport/.weebee-peer" 2>/dev/null || true)" "$here/install-java-transport.sh"
tell_optional rocketchat "$(sed -n 2p "$PEERS_DIR/rocketchat/.weebee-peer" 2>/dev/null || true)" "$here/install-rocketchat-oracles.sh"
tell_optional apps-engine "$(sed -n 2p "$PEERS_DIR/rocketchat-app/.weebee-peer" 2>/dev/null || true)" "$here/install-rocketchat-app.sh"
for name in asterisk16 asterisk22; do
    tell "$name" "$(sed -n 2p "$PEERS_DIR/$name/.weebee-peer" 2>/dev/null || true)" "$here/install-chroot.sh $name"
done
exit "$missing"
