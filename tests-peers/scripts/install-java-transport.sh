#!/bin/sh
# Brings the transport libraries of a Jitsi bridge (ice4j, BouncyCastle, jitsi-srtp) from Maven Central into $PEERS_DIR/java-transport:
# the versions of java/pom.xml, taken only if each file is the one that java/jars.sha256 names.
. "$(dirname "$0")/lib.sh"

java="$(cd "$(dirname "$0")/../java" && pwd)"
home="$PEERS_DIR/java-transport"
stamp="$home/.weebee-peer"
version="ice4j, jitsi-srtp and BouncyCastle $(sha256sum "$java/jars.sha256" | cut -c 1-12)"

if [ "$(sed -n 2p "$stamp" 2>/dev/null || true)" = "$version" ]; then
    say "java-transport: all there"
    exit 0
fi
command -v mvn >/dev/null || die "no mvn: run $(dirname "$0")/install-host.sh as root first"
with_lock
rm -rf "$home"
# What Maven needs for itself is not kept.
step "$PEERS_DIR/log/java-transport.log" "fetching jars (is Maven Central reachable?)" \
    mvn --batch-mode --no-transfer-progress --file "$java/pom.xml" "-Dmaven.repo.local=$home/maven" \
    org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies "-DoutputDirectory=$home/lib"
rm -rf "$home/maven"
(cd "$home/lib" && sha256sum --check --quiet "$java/jars.sha256") \
    || die "a jar in $home/lib is not the one that $java/jars.sha256 names; nothing of it will be used"
there="$(find "$home/lib" -name '*.jar' | wc -l)"
[ "$there" = "$(wc -l <"$java/jars.sha256")" ] || die "$there jars came, which is not what $java/jars.sha256 lists"
printf 'the transport libraries of a Jitsi bridge\n%s\n' "$version" >"$stamp"
say "java-transport: done"
