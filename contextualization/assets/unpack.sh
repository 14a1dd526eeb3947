# unpack RUNTIME HASH < bundle: puts a bundle in its place, once, whole or not at all.
set -u
umask 022
target=$1/$2
exec 9> "$1/.lock-$2" || exit 82
command -v flock >/dev/null 2>&1 && flock 9
if [ -e "$target/.complete" ]; then cat > /dev/null; exit 0; fi
new=$(mktemp -d "$1/.new-XXXXXX") || exit 82
trap 'rm -rf "$new"' EXIT
cat > "$new/bundle" || exit 82
[ "$(sha256sum < "$new/bundle" | cut -d ' ' -f 1)" = "$2" ] || exit 81
mkdir "$new/tree" && tar -xzf "$new/bundle" -C "$new/tree" || exit 82
: > "$new/tree/.complete" || exit 82
chmod 755 "$new/tree"
rm -rf "$target"
mv "$new/tree" "$target" || exit 82
