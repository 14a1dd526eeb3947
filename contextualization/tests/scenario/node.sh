# node DIR NAME OCTET PUBLIC_KEY PASSWORD SUDO: one throw-away machine at 10.77.0.OCTET: the host's own file system seen
# through an overlay, with network, mount, process, host name and IPC namespaces of its own and an sshd.
set -e
dir=$1/$2 name=$2 octet=$3 key=$4 password=$5 sudo=$6
mkdir -p "$dir"
mount -t tmpfs -o size=1g,mode=755 "node-$name" "$dir"
mkdir "$dir/up" "$dir/work" "$dir/root"
root=$dir/root
mount -t overlay -o "lowerdir=/,upperdir=$dir/up,workdir=$dir/work" "node-$name" "$root"
ip netns add "$name"
ip link add "v$octet" netns lab type veth peer name eth0 netns "$name"
ip -n lab link set "v$octet" master br0 up
ip -n "$name" link set lo up
ip -n "$name" addr add "10.77.0.$octet/24" dev eth0
ip -n "$name" link set eth0 up
echo "$name" > "$root/etc/hostname"
printf '127.0.0.1 localhost\n10.77.0.%s %s\n' "$octet" "$name" > "$root/etc/hosts"
hash='*'
[ -z "$password" ] || hash=$(openssl passwd -6 "$password")
echo "cloud:x:1999:1999::/home/cloud:/bin/bash" >> "$root/etc/passwd"
echo "cloud:x:1999:" >> "$root/etc/group"
echo "cloud:$hash:19000:0:99999:7:::" >> "$root/etc/shadow"
mkdir -p "$root/home/cloud/.ssh"
[ -z "$key" ] || echo "$key" > "$root/home/cloud/.ssh/authorized_keys"
chown -R 1999:1999 "$root/home/cloud"
chmod 700 "$root/home/cloud/.ssh"
echo "$sudo" > "$root/etc/sudoers.d/cloud"
chmod 440 "$root/etc/sudoers.d/cloud"
rm -f "$root"/etc/ssh/ssh_host_*
ssh-keygen -q -t ed25519 -N '' -f "$root/etc/ssh/ssh_host_ed25519_key"
printf 'HostKey /etc/ssh/ssh_host_ed25519_key\nPasswordAuthentication yes\nKbdInteractiveAuthentication no\nUsePAM no\nUseDNS no\nMaxStartups 100:30:200\n' > "$root/etc/ssh/sshd_config"
cat > "$dir/init" <<'S'
set -e
root=$1; name=$2
mount --make-rprivate /
mount -t proc proc "$root/proc"
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
hostname "$name"
cd "$root"
mkdir -p .old
pivot_root . .old
umount -l /.old
cd /
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /usr/bin/tini -- /usr/sbin/sshd -D -e
S
ip netns exec "$name" setsid unshare --mount --uts --ipc --pid --fork --kill-child bash "$dir/init" "$root" "$name" \
    > "$dir/log" 2>&1 < /dev/null &
for _ in $(seq 200); do
    if (exec 3<> "/dev/tcp/10.77.0.$octet/22") 2> /dev/null; then exit 0; fi
    sleep 0.05
done
cat "$dir/log" >&2
exit 1
