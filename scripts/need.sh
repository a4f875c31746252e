#!/bin/sh
# What the build needs from the system beside Rust: a C compiler (libopus, SQLite, the voice detector) and CMake (libopus).
# Says the apt-get line for what is missing; as root on Debian installs it. WEEBEE_NEED=say never installs.
set -eu

missing=""
need() { # COMMAND PACKAGES
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
need cc "gcc libc6-dev"
need ar binutils
need cmake cmake
need make make
# Tests run the commands of the docs.
need curl curl
need openssl openssl
# A compiler without the C library's headers builds nothing.
if command -v cc >/dev/null 2>&1 && ! printf '#include <stdio.h>\nint main(void){return 0;}\n' |
    cc -x c -o /dev/null - >/dev/null 2>&1; then
    missing="$missing libc6-dev"
fi

if ! command -v cargo >/dev/null 2>&1; then
    echo "Rust is missing: there is no 'cargo' in PATH. Install the toolchain (see README.md), then try again." >&2
    exit 1
fi
[ -n "$missing" ] || exit 0

line="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 && [ "${WEEBEE_NEED:-install}" = install ]; then
    echo "Missing:$missing. Installing: $line"
    # An old package list names files that are gone: refresh it first.
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive $line
    exit 0
fi
echo "Missing:$missing" >&2
echo "On Debian and Ubuntu:  sudo $line" >&2
exit 1
