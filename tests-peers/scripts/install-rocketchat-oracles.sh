#!/bin/sh
# Brings the parts of Rocket.Chat that are published on npm and judge us: validators, schemas, DDP client, message parser.
# Bundled into one file, $PEERS_DIR/rocketchat/oracles.cjs. Test only: nothing of it is shipped. node and npm are Debian's.
. "$(dirname "$0")/lib.sh"

here="$(cd "$(dirname "$0")/../rocketchat" && pwd)"
home="$PEERS_DIR/rocketchat"
stamp="$home/.weebee-peer"
wanted="$(cat "$here/package.json" "$here/oracles.mjs" | sha256sum | cut -d' ' -f1)"

if [ "$(sed -n 3p "$stamp" 2>/dev/null || true)" = "$wanted" ]; then
    say "rocketchat oracles: all there"
    exit 0
fi
need_node
with_lock
rm -rf "$home"
mkdir -p "$home"
cp "$here/package.json" "$here/oracles.mjs" "$home/"
# esbuild's own script only fetches what npm has put there already.
step "$PEERS_DIR/log/rocketchat-npm.log" "installing Rocket.Chat's typings and client (is the npm registry reachable?)" \
    npm --prefix "$home" install --no-audit --no-fund --ignore-scripts --loglevel=error
# core-typings is published with a reference that no registry resolves; package.json overrides it.
step "$PEERS_DIR/log/rocketchat-bundle.log" "bundling them" \
    sh -c "cd '$home' && node_modules/.bin/esbuild oracles.mjs --bundle --platform=node --format=cjs --outfile=oracles.cjs"
step "$PEERS_DIR/log/rocketchat-test.log" "loading them" node -e "
    const { rest, schemas } = require('$home/oracles.cjs');
    if (!rest.isChatSendMessageProps || !schemas.components.schemas.IMessage) process.exit(1);"
rm -rf "$home/node_modules"
printf 'Rocket.Chat typings 8.8.1, ddp-client 1.1.2\nrest-typings 8.8.1, core-typings 8.8.1, ddp-client 1.1.2\n%s\n' \
    "$wanted" >"$stamp"
say "rocketchat oracles: done"
