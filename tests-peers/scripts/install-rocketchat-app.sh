#!/bin/sh
# Brings what checks rocketchat-app/: Rocket.Chat's Apps-Engine, the TypeScript compiler and esbuild, from npm, as node_modules in
# $PEERS_DIR/rocketchat-app. Test only: nothing of it is shipped. node and npm are Debian's.
. "$(dirname "$0")/lib.sh"

here="$(cd "$(dirname "$0")/../../rocketchat-app" && pwd)"
home="$PEERS_DIR/rocketchat-app"
stamp="$home/.weebee-peer"
wanted="$(sha256sum <"$here/package.json" | cut -d' ' -f1)"

if [ "$(sed -n 3p "$stamp" 2>/dev/null || true)" = "$wanted" ]; then
    say "rocketchat app: all there"
    exit 0
fi
need_node
with_lock
rm -rf "$home"
mkdir -p "$home"
cp "$here/package.json" "$home/"
step "$PEERS_DIR/log/rocketchat-app-npm.log" "installing the Apps-Engine and TypeScript (is the npm registry reachable?)" \
    npm --prefix "$home" install --no-audit --no-fund --ignore-scripts --loglevel=error
step "$PEERS_DIR/log/rocketchat-app-test.log" "loading them" \
    sh -c "cd '$home' && node_modules/.bin/tsc --version && node_modules/.bin/esbuild --version"
printf 'Rocket.Chat Apps-Engine 1.62.0, TypeScript\napps-engine 1.62.0, typescript 5.9.3\n%s\n' "$wanted" >"$stamp"
say "rocketchat app: done"
