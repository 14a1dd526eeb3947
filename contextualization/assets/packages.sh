# packages WANTED...: installs packages of the distribution; of each WANTED ("python", "pip", "git") the first name that it
# has. Input: the passwords sudo may want, two lines, empty for none.
IFS= read -r first; IFS= read -r second
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; export PATH
LC_ALL=C; export LC_ALL
works() { [ -n "$1" ] && printf '%s\n' "$1" | sudo -k -S -p '' true >/dev/null 2>&1; }
if [ "$(id -u)" -eq 0 ]; then root() { "$@" </dev/null; }
elif ! command -v sudo >/dev/null 2>&1; then echo "sudo is not installed" >&2; exit 1
elif sudo -k -n true >/dev/null 2>&1 </dev/null; then root() { sudo -n "$@" </dev/null; }
else
    works "$first" || { first=$second; works "$first"; } || { echo "sudo is not allowed" >&2; exit 1; }
    root() { printf '%s\n' "$first" | sudo -k -S -p '' "$@"; }
fi
if command -v apt-get >/dev/null 2>&1; then
    root apt-get update -q >&2
    install() { root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -qy --no-install-recommends "$1"; }
elif command -v dnf >/dev/null 2>&1; then install() { root dnf install -qy "$1"; }
elif command -v yum >/dev/null 2>&1; then install() { root yum install -qy "$1"; }
elif command -v zypper >/dev/null 2>&1; then install() { root zypper -n install "$1"; }
elif command -v apk >/dev/null 2>&1; then install() { root apk add "$1"; }
else echo "no package manager that is known here" >&2; exit 1
fi
if command -v apt-get >/dev/null 2>&1; then python=python3 pip=python3-venv
elif command -v apk >/dev/null 2>&1; then python=python3 pip=py3-pip
else python="python3.12 python3.11 python312 python311 python39 python3" pip="python3.12-pip python3.11-pip python39-pip python3-pip"
fi
for wanted in "$@"; do
    case $wanted in python) names=$python ;; pip) names=$pip ;; *) names=$wanted ;; esac
    done=
    for name in $names; do install "$name" >&2 && { done=1; break; }; done
    [ -n "$done" ] || exit 1
done
