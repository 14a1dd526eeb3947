# lab COMMAND...: bridges br0 (10.77.0.1/24, public) and br1, br2 (10.77.1.0/24 and 10.77.2.0/24, private: this side has no
# address there) without a way out, inside namespaces the caller has made.
set -e
mount --make-rprivate /
mkdir -p /run/netns
mount -t tmpfs netns /run/netns
ip link set lo up
touch /run/netns/lab
mount --bind /proc/self/ns/net /run/netns/lab
for net in 0 1 2; do
    ip link add "br$net" type bridge
    ip link set "br$net" up
done
ip addr add 10.77.0.1/24 dev br0
exec "$@"
