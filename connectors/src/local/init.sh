# Process 1 of a node, already in its own root: waits until it is on record, finishes /proc and becomes init.
read -r leave && [ "$leave" = go ] || exit 1
exec </dev/null
umask 022
mount -t proc -o nosuid,nodev,noexec proc /proc
mount --bind /run/imd/boot_id /proc/sys/kernel/random/boot_id
set -- /bin/sh /run/imd/main.sh
tini=$(command -v tini) && set -- "$tini" -- "$@"
# What would reach the host's kernel instead of the node: modules, raw devices, clock, reboot.
setpriv=$(command -v setpriv) && set -- "$setpriv" --bounding-set=-sys_module,-sys_rawio,-sys_time,-sys_boot -- "$@"
exec "$@"
