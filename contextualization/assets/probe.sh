# probe BASE CONF_DIR: makes the conf dir and says what the master has, one fact per line.
base=$1 conf=$2
umask 077
PATH=$PATH:/usr/local/bin:/usr/libexec:$HOME/.local/bin
mkdir -p "$base" 2>/dev/null; [ -O "$base" ] && chmod 711 "$base"
# Who may rename in it could put another directory in the place of ours.
[ -L "$base" ] && { echo "error $base is a link; set REMOTE_CONF_DIR to a directory of your own"; exit 0; }
[ -O "$base" ] || [ "$(stat -c %u "$base" 2>/dev/null)" = 0 ] ||
    { echo "error $base belongs to another user of the master; set REMOTE_CONF_DIR to another directory"; exit 0; }
[ -z "$(find "$base" -prune ! -user "$(id -u)" -perm -002 ! -perm -1000)" ] ||
    { echo "error others may rename in $base; set REMOTE_CONF_DIR to another directory"; exit 0; }
[ -L "$conf" ] && { echo "error $conf is a link"; exit 0; }
mkdir -p "$conf/runs" && chmod 700 "$conf" || { echo "error cannot make $conf"; exit 0; }
[ -O "$conf" ] || { echo "error $conf belongs to somebody else"; exit 0; }
runtime=$base/.runtime
(umask 022; mkdir -p "$runtime" 2>/dev/null)
[ -O "$runtime" ] && [ ! -L "$runtime" ] || { runtime=$base/.runtime-$(id -u); (umask 022; mkdir -p "$runtime"); }
[ -O "$runtime" ] && [ ! -L "$runtime" ] || { echo "error $runtime belongs to somebody else"; exit 0; }
echo "runtime $runtime"
for have in "$runtime"/*; do [ -e "$have/.complete" ] && echo "have ${have##*/}"; done
for python in python3 python3.16 python3.15 python3.14 python3.13 python3.12 python3.11 python3.10 python3.9 python3.8 platform-python; do
    path=$(command -v "$python" 2>/dev/null) || continue
    "$path" -c 'import platform,sys
print("python %d.%d %s %s %s" % (sys.version_info[0], sys.version_info[1], platform.machine(), platform.libc_ver()[0] or "musl", sys.argv[1]))' "$path" 2>/dev/null
done
# What is installed, and environments made by earlier managers.
for ansible in ansible-playbook /var/tmp/.ansible/bin/ansible-playbook /var/tmp/.mamba/envs/ansible/bin/ansible-playbook; do
    path=$(command -v "$ansible" 2>/dev/null) || continue
    # The version is in the first line: `ansible-playbook [core 2.16.3]`.
    version=$("$path" --version 2>/dev/null | sed -n '1s/[^0-9]*\([0-9][0-9.]*\).*/\1/p')
    [ -n "$version" ] || continue
    # The interpreter it runs on, and whether that knows the usual collections.
    python=$(sed -n '1s/^#! *//p' "$path" | tr -d '\r')
    case $python in */env\ *) python=$(command -v "${python#* }") ;; *) python=${python%% *} ;; esac
    # Long paths do not fit into that line: then a shell stands there.
    case ${python##*/} in python*) ;; *) python=${path%/*}/python3 ;; esac
    [ -x "$python" ] || python=$(command -v python3) || continue
    collections=without
    "$python" -c 'import importlib.util as u,sys; sys.exit(u.find_spec("ansible_collections.community.general") is None)' 2>/dev/null && collections=with
    [ -d /usr/share/ansible/collections/ansible_collections/community/general ] && collections=with
    echo "ansible $version $collections $python $path"
done
