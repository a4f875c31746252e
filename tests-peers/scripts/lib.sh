# Shared by the scripts of this folder: words for people, root, the package mirror, the cache folder.
# Sourced, not run.

set -eu

# Everything a peer needs lives here, outside the repository: chroots, stamps, download caches.
PEERS_DIR="${WEEBEE_PEERS_DIR:-/var/cache/weebee-peers}"
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

say() { printf 'peers: %s\n' "$*"; }

# The last words of a failed step: what failed, why, what to do.
die() {
    printf 'peers: FAILED: %s\n' "$*" >&2
    exit 1
}

# Runs a step with its output in a log; on failure shows the end of the log and what the step was for.
step() { # step LOGFILE "what for" COMMAND...
    step_log="$1"; step_what="$2"; shift 2
    mkdir -p "$(dirname "$step_log")"
    if ! "$@" >"$step_log" 2>&1; then
        printf 'peers: --- last lines of %s\n' "$step_log" >&2
        tail -n 25 "$step_log" >&2
        die "$step_what (command: $*; whole log: $step_log)"
    fi
}

need_root() {
    [ "$(id -u)" = 0 ] || die "this needs root (packages, chroots, network namespaces): run it with sudo"
}

need_debian() {
    command -v apt-get >/dev/null || die "no apt-get here: the peers come from Debian 12 packages"
}

# node and npm, from Debian where they are missing.
need_node() {
    if command -v npm >/dev/null && command -v node >/dev/null; then return; fi
    need_root
    need_debian
    step "$PEERS_DIR/log/node-update.log" "reading the package lists (is a mirror reachable?)" apt-get update -q
    step "$PEERS_DIR/log/node-apt.log" "installing nodejs and npm" \
        apt-get install -q -y --no-install-recommends nodejs npm
}

# One writer at a time: two `make test-peers` side by side must not unpack into one chroot.
with_lock() {
    mkdir -p "$PEERS_DIR"
    exec 9>"$PEERS_DIR/lock"
    flock -w 900 9 || die "another run has held $PEERS_DIR/lock for 15 minutes"
}

# The Debian mirror this host already uses for its own release, so that nothing here names one.
# WEEBEE_PEERS_MIRROR overrides it.
mirror() {
    if [ -n "${WEEBEE_PEERS_MIRROR:-}" ]; then
        printf '%s\n' "$WEEBEE_PEERS_MIRROR"
        return
    fi
    codename="$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")"
    found="$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' \
        'Identifier: Packages' 2>/dev/null | awk -v c="$codename" '$2 == c && $3 == "main" { print $1; exit }')"
    if [ -z "$found" ]; then
        found="$(sed -n 's/^URIs:[[:space:]]*\([^ ]*\).*/\1/p; s/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*/\2/p' \
            /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null \
            | grep -v security | head -n 1)"
    fi
    [ -n "$found" ] || die "no Debian mirror found in this host's apt sources; set WEEBEE_PEERS_MIRROR=URI"
    printf '%s\n' "${found%/}"
}
