# Package managers in one way: `install_package NAME` installs it where it is missing and waits for whoever holds the lock.
package_tool() {
    for tool in apt-get dnf yum zypper apk pacman; do
        command -v "$tool" >/dev/null 2>&1 && { echo "$tool"; return; }
    done
}
apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qy "$@" </dev/null; }
install_package() {
    case $(package_tool) in
        apt-get)
            dpkg-query -W -f '${Status}' -- "$1" 2>/dev/null | grep -q 'ok installed' && return 0
            # An index of the last hour is good enough, unless it does not know the package.
            [ -n "$(find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' -mmin -60 2>/dev/null | head -n 1)" ] || apt_get update >&2
            apt_get install -- "$1" >&2 || { apt_get update >&2; apt_get install -- "$1" >&2; } || return 1
            ;;
        dnf) rpm -q -- "$1" >/dev/null 2>&1 && return 0; dnf install -qy -- "$1" >&2 </dev/null || return 1 ;;
        yum) rpm -q -- "$1" >/dev/null 2>&1 && return 0; yum install -qy -- "$1" >&2 </dev/null || return 1 ;;
        zypper) rpm -q -- "$1" >/dev/null 2>&1 && return 0; zypper -nq install -- "$1" >&2 </dev/null || return 1 ;;
        apk) apk info -e -- "$1" >/dev/null 2>&1 && return 0; apk add -q -- "$1" >&2 </dev/null || return 1 ;;
        pacman) pacman -Q -- "$1" >/dev/null 2>&1 && return 0; pacman -Sy --noconfirm -- "$1" >&2 </dev/null || return 1 ;;
        *) echo "no package manager of this machine is known, so $1 cannot be installed" >&2; return 1 ;;
    esac
    echo changed
}
