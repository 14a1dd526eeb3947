# Process 1 of a container: lets the user in, and becomes the secure shell server. It runs at every start.
set -e
login=/etc/imd-login
if [ -e $login ]; then
    . $login
    if ! command -v sshd >/dev/null 2>&1 && [ ! -x /usr/sbin/sshd ]; then
        if command -v apt-get >/dev/null 2>&1; then
            apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends openssh-server python3 sudo
        elif command -v dnf >/dev/null 2>&1; then dnf install -y openssh-server python3 sudo
        elif command -v yum >/dev/null 2>&1; then yum install -y openssh-server python3 sudo
        elif command -v zypper >/dev/null 2>&1; then zypper --non-interactive install openssh python3 sudo
        elif command -v apk >/dev/null 2>&1; then apk add openssh python3 sudo
        else echo "imd: the image has no sshd, and no package manager that is known" >&2; exit 1
        fi
    fi
    if ! id "$user" >/dev/null 2>&1; then
        useradd --create-home --shell /bin/sh "$user" 2>/dev/null || adduser -D -s /bin/sh "$user"
    fi
    if [ "$user" != root ]; then
        mkdir -p /etc/sudoers.d
        echo "$user ALL=(ALL) NOPASSWD:ALL" > /etc/sudoers.d/imd
        chmod 0440 /etc/sudoers.d/imd
    fi
    if [ -n "$password" ]; then
        printf '%s:%s\n' "$user" "$password" | chpasswd
    elif passwd -S "$user" 2>/dev/null | grep -Eq '^[^ ]+ (L|LK) '; then
        # A locked account is refused with a key, too, where the server does not use PAM.
        usermod -p '*' "$user" 2>/dev/null || true
    fi
    if [ -n "$public_key" ]; then
        home=$(eval echo "~$user")
        mkdir -p "$home/.ssh"
        grep -qxF "$public_key" "$home/.ssh/authorized_keys" 2>/dev/null || echo "$public_key" >> "$home/.ssh/authorized_keys"
        chmod 0700 "$home/.ssh"
        chmod 0600 "$home/.ssh/authorized_keys"
        chown -R "$user" "$home/.ssh"
    fi
    rm -f $login
fi
ssh-keygen -A
mkdir -p /run/sshd
# Processes that lost their parent are to be waited for, where the image has something that does.
init=$(command -v tini || command -v dumb-init || true)
exec ${init:+$init --} "$(command -v sshd || echo /usr/sbin/sshd)" -D -e -o PermitRootLogin=yes
