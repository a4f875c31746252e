#!/bin/sh
# Brings aiortc, the WebRTC stack of the web participants, into a Python environment of its own: $PEERS_DIR/webrtc.
# The interpreter is Debian's; Debian 12's own aiortc is too old (no AES-GCM), so it comes from the Python index, these versions.
. "$(dirname "$0")/lib.sh"

AIORTC="aiortc==1.16.0 websockets==17.4"
home="$PEERS_DIR/webrtc"
stamp="$home/.weebee-peer"

if [ "$(sed -n 2p "$stamp" 2>/dev/null || true)" = "$AIORTC" ]; then
    say "webrtc: all there"
    exit 0
fi
[ -x /usr/bin/python3 ] || die "no /usr/bin/python3: run $(dirname "$0")/install-host.sh as root first"
with_lock
rm -rf "$home"
step "$PEERS_DIR/log/webrtc-venv.log" "making a Python environment (is python3-venv installed?)" \
    /usr/bin/python3 -m venv "$home"
# shellcheck disable=SC2086  # a list of names, split on purpose
step "$PEERS_DIR/log/webrtc-pip.log" "installing $AIORTC (is the Python index reachable?)" \
    "$home/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: $AIORTC
step "$PEERS_DIR/log/webrtc-test.log" "loading aiortc" "$home/bin/python" -c "import aiortc, websockets"
printf 'aiortc in a Python environment\n%s\n' "$AIORTC" >"$stamp"
say "webrtc: done"
