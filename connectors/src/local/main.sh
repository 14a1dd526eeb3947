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
while :; do
    sleep 86400 &
    wait $!
done
