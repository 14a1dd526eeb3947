# One throw-away machine: the host's own file system seen through an overlay, with network, mount, process, host name and
# IPC namespaces of its own and an sshd. What it is comes in the environment:
#   DIR NAME      where its files lie; its name
#   LINKS         its addresses, "NET.OCTET ..." for 10.77.NET.OCTET on bridge brNET
#   LOGIN KEY PASSWORD SUDOERS   its user, public key, password (either may be empty), line of sudoers
#   PORT SSHD     port of sshd, further lines of sshd_config
#   SETUP         shell commands run before it starts, with its files below $root
#   AGAIN         not empty: it was made before and only boots again
set -e
dir=$DIR/$NAME name=$NAME
root=$dir/root
if [ -z "$AGAIN" ]; then
mkdir -p "$dir"
mount -t tmpfs -o size=1g,mode=755 "node-$name" "$dir"
mkdir "$dir/up" "$dir/work" "$dir/root"
mount -t overlay -o "lowerdir=/,upperdir=$dir/up,workdir=$dir/work" "node-$name" "$root"
ip netns add "$name"
ip -n "$name" link set lo up
number=0
printf '127.0.0.1 localhost\n' > "$root/etc/hosts"
for link in $LINKS; do
    net=${link%.*}
    ip link add "v$link" netns lab type veth peer name "eth$number" netns "$name"
    ip -n lab link set "v$link" master "br$net" up
    ip -n "$name" addr add "10.77.$link/24" dev "eth$number"
    ip -n "$name" link set "eth$number" up
    printf '10.77.%s %s\n' "$link" "$name" >> "$root/etc/hosts"
    number=$((number + 1))
done
echo "$name" > "$root/etc/hostname"
hash='*'
[ -z "$PASSWORD" ] || hash=$(openssl passwd -6 "$PASSWORD")
if [ "$LOGIN" = root ]; then
    # The key comes into /root when that is mounted.
    sed -i "s|^root:[^:]*:|root:$hash:|" "$root/etc/shadow"
else
    home=/home/$LOGIN
    echo "$LOGIN:x:1999:1999::$home:/bin/bash" >> "$root/etc/passwd"
    echo "$LOGIN:x:1999:" >> "$root/etc/group"
    echo "$LOGIN:$hash:19000:0:99999:7:::" >> "$root/etc/shadow"
    mkdir -p "$root$home/.ssh"
    [ -z "$KEY" ] || echo "$KEY" > "$root$home/.ssh/authorized_keys"
    chown -R 1999:1999 "$root$home"
    chmod 700 "$root$home/.ssh"
    echo "$SUDOERS" > "$root/etc/sudoers.d/$LOGIN"
    chmod 440 "$root/etc/sudoers.d/$LOGIN"
fi
rm -f "$root"/etc/ssh/ssh_host_*
ssh-keygen -q -t ed25519 -N '' -f "$root/etc/ssh/ssh_host_ed25519_key"
# The first value of an option counts.
printf '%s\nPort %s\nHostKey /etc/ssh/ssh_host_ed25519_key\nPasswordAuthentication yes\nPermitRootLogin yes\nKbdInteractiveAuthentication no\nUsePAM no\nUseDNS no\nMaxStartups 100:30:200\n' "$SSHD" "$PORT" > "$root/etc/ssh/sshd_config"
eval "$SETUP"
fi
cat /proc/sys/kernel/random/uuid > "$dir/boot_id"
cat > "$dir/init" <<'S'
set -e
root=$1; name=$2; key=$3
mount --make-rprivate /
mount -t proc proc "$root/proc"
mount --bind "$4" "$root/proc/sys/kernel/random/boot_id"
mount -t tmpfs -o mode=755,size=16m dev "$root/dev"
for d in null zero full random urandom tty; do touch "$root/dev/$d"; mount --bind "/dev/$d" "$root/dev/$d"; done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
mount -t tmpfs -o mode=1777 tmp "$root/var/tmp"
mount -t tmpfs -o mode=755 run "$root/run"
mount -t tmpfs -o mode=700 root "$root/root"
mkdir -p "$root/run/sshd" "$root/run/lock"
mkdir -m 700 "$root/root/.ssh"
[ -z "$key" ] || echo "$key" > "$root/root/.ssh/authorized_keys"
hostname "$name"
cd "$root"
mkdir -p .old
pivot_root . .old
umount -l /.old
cd /
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /usr/bin/tini -- /usr/sbin/sshd -D -e
S
ip netns exec "$name" setsid unshare --mount --uts --ipc --pid --fork --kill-child bash "$dir/init" "$root" "$name" \
    "$([ "$LOGIN" != root ] || echo "$KEY")" "$dir/boot_id" > "$dir/log" 2>&1 < /dev/null &
for _ in $(seq 200); do
    if ip netns exec "$name" bash -c "exec 3<> /dev/tcp/127.0.0.1/$PORT" 2> /dev/null; then exit 0; fi
    sleep 0.05
done
cat "$dir/log" >&2
exit 1
