# What init runs: starts sshd and stays, so that the node outlives a restarted sshd. On TERM everything in the node is
# asked to end, and the node ends with it.
stop() {
    trap '' TERM
    kill -TERM -1
    tries=0
    while [ $tries -lt 40 ]; do
        set -- /proc/[0-9]*
        [ $# -le 2 ] && break
        sleep 0.1
        tries=$((tries + 1))
    done
    exit 0
}
trap stop TERM
/usr/sbin/sshd -E /var/log/sshd.log
# What the user data ask for, once in the life of the node; services that it starts outlive it.
first=/var/lib/imd/first-boot
[ -x $first ] && mv $first $first.done && setsid $first.done >>/var/log/cloud-init-output.log 2>&1 &
# There is no udev: the partitions that somebody makes on a data disk get their device files here.
partitions() {
    for entry in /sys/block/vd?/loop*p[0-9]*/dev; do
        [ -e "$entry" ] || return 0
        disk=${entry#/sys/block/}
        number=${entry%/dev}
        file=/dev/${disk%%/*}${number##*p}
        [ -e "$file" ] && continue
        IFS=: read -r major minor <"$entry"
        mknod -m 660 "$file" b "$major" "$minor"
    done
}
# A disk that is added later is announced by this signal, which harms nobody who does not expect it.
trap : WINCH
while :; do
    pause=86400
    for disk in /sys/block/vd?; do
        [ -e "$disk" ] && pause=0.2
    done
    partitions
    sleep $pause &
    wait $! || kill $!
done
