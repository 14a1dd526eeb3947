# Starts a node again: DIR NAME PORT as node.sh has them.
set -e
dir=$DIR/$NAME
while ip netns pids "$NAME" | grep -q .; do sleep 0.05; done
ip netns exec "$NAME" setsid unshare --mount --uts --ipc --pid --fork --kill-child bash "$dir/init" "$dir/root" "$NAME" \
    "" >> "$dir/log" 2>&1 < /dev/null &
for _ in $(seq 400); do
    if ip netns exec "$NAME" bash -c "exec 3<> /dev/tcp/127.0.0.1/$PORT" 2> /dev/null; then exit 0; fi
    sleep 0.05
done
cat "$dir/log" >&2
exit 1
