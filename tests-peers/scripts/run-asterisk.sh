#!/bin/sh
# Runs one Asterisk of a chroot in the foreground, in the caller's network namespace, until it is told to end.
#
#   run-asterisk.sh asterisk16|asterisk22 FOLDER
#
# FOLDER holds everything of this one instance: etc/ (its whole configuration), and run/ log/ spool/ db/, which are made
# here. Inside, it is /mnt/peer. Mounts live in a namespace of their own and vanish with the process, which this
# script becomes (exec all the way): ending its pid ends Asterisk.
. "$(dirname "$0")/lib.sh"

name="${1:?asterisk16 or asterisk22}"
folder="$(cd "${2:?the folder of the instance}" && pwd)"
root="$PEERS_DIR/$name"
[ -e "$root/.weebee-peer" ] || die "$name is not installed: run $(dirname "$0")/install.sh as root"
need_root

mkdir -p "$folder/etc" "$folder/run" "$folder/log" "$folder/spool/outgoing" "$folder/spool/tmp" "$folder/db" \
    "$root/mnt/peer"
modules="$(cd "$root" && for d in usr/lib/*/asterisk/modules usr/lib/asterisk/modules; do
    [ -e "$d/pbx_config.so" ] && printf '/%s' "$d" && break
done)"
cat >"$folder/etc/asterisk.conf" <<CONF
[directories]
astetcdir => /mnt/peer/etc
astmoddir => $modules
astvarlibdir => /var/lib/asterisk
astdbdir => /mnt/peer/db
astkeydir => /var/lib/asterisk
astdatadir => /usr/share/asterisk
astagidir => /usr/share/asterisk/agi-bin
astspooldir => /mnt/peer/spool
astrundir => /mnt/peer/run
astlogdir => /mnt/peer/log
[options]
documentation_language = en_US
transmit_silence = yes
hideconnect = yes
CONF

export root folder
exec unshare --mount --propagation private sh -c '
    set -e
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount --bind "$folder" "$root/mnt/peer"
    cd /
    exec chroot "$root" /usr/sbin/asterisk -f -n -C /mnt/peer/etc/asterisk.conf
'
