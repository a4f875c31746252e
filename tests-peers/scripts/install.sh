#!/bin/sh
# Brings every real peer onto a Debian 12 machine: host packages, aiortc, the bridge's transport libraries, Rocket.Chat's
# validators and Apps-Engine, then both Asterisk chroots side by side.
# Repeatable and quick when everything is cached. WEEBEE_PEERS_DIR moves the cache (default /var/cache/weebee-peers).
here="$(dirname "$0")"
. "$here/lib.sh"

sh "$here/install-host.sh"
sh "$here/install-webrtc.sh"
# Where Maven Central or npm cannot be reached the tests that want them skip loudly.
sh "$here/install-java-transport.sh" || say "GOING ON WITHOUT the transport libraries of a bridge (reason above)"
sh "$here/install-rocketchat-oracles.sh" || say "GOING ON WITHOUT Rocket.Chat's validators (reason above)"
sh "$here/install-rocketchat-app.sh" || say "GOING ON WITHOUT Rocket.Chat's Apps-Engine (reason above)"
if [ ! -e "$PEERS_DIR/asterisk16/.weebee-peer" ] || [ ! -e "$PEERS_DIR/asterisk22/.weebee-peer" ]; then
    need_root
fi
with_lock
sh "$here/install-chroot.sh" asterisk16 &
first=$!
sh "$here/install-chroot.sh" asterisk22 &
second=$!
failed=""
wait "$first" || failed="asterisk16"
wait "$second" || failed="$failed asterisk22"
[ -z "$failed" ] || die "not installed: $failed (reasons above, logs in $PEERS_DIR/log)"
sh "$here/status.sh"
