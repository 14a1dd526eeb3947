# Sets the host name, where the machine lets us; says "changed" when it did something.
name=$IM_FQDN
[ -n "$name" ] || exit 0
if [ "$(cat /proc/sys/kernel/hostname)" = "$name" ] && [ "$(cat /etc/hostname 2>/dev/null)" = "$name" ]; then exit 0; fi
if [ -d /run/systemd/system ] && command -v hostnamectl >/dev/null 2>&1; then
    hostnamectl set-hostname -- "$name" && echo changed && exit 0
fi
printf '%s\n' "$name" > /etc/hostname || exit 1
if hostname -F /etc/hostname 2>/dev/null || printf '%s' "$name" > /proc/sys/kernel/hostname; then echo changed; fi
