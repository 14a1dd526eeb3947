# lab COMMAND...: a bridge 10.77.0.1/24 without a way out, inside namespaces the caller has made.
set -e
mount --make-rprivate /
mkdir -p /run/netns
mount -t tmpfs netns /run/netns
ip link set lo up
touch /run/netns/lab
mount --bind /proc/self/ns/net /run/netns/lab
ip link add br0 type bridge
ip link set br0 up
ip addr add 10.77.0.1/24 dev br0
exec "$@"
