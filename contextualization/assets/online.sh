# online RUNTIME NAME PYTHON INDEX REQUIREMENT...: installs packages of a Python index beside the unpacked archives, once,
# whole or not at all. INDEX is empty for what pip is configured to use.
set -u
umask 022
target=$1/$2 runtime=$1 lock=$1/.lock-$2 python=$3 index=$4
shift 4
exec 9> "$lock" || exit 82
command -v flock >/dev/null 2>&1 && flock 9
if [ -e "$target/.complete" ]; then echo there; exit 0; fi
new=$(mktemp -d "$runtime/.new-XXXXXX") || exit 82
trap 'rm -rf "$new"' EXIT
trap 'exit 82' HUP INT TERM
export TMPDIR="$new"
if ! "$python" -m pip --version >/dev/null 2>&1; then
    "$python" -m venv "$new/venv" >/dev/null 2>&1 || exit 83
    python=$new/venv/bin/python3
fi
case $index in
    http://*) server=${index#http://}; server=${server%%/*}; set -- --trusted-host "${server##*@}" "$@" ;;
esac
[ -z "$index" ] || set -- --index-url "$index" "$@"
"$python" -m pip install --quiet --no-input --disable-pip-version-check --no-cache-dir --only-binary :all: \
    --target "$new/tree" "$@" >&2 || exit 84
: > "$new/tree/.complete" || exit 82
rm -rf "$target"
mv "$new/tree" "$target" || exit 82
chmod -R a-w,a+rX "$target"
echo unpacked
