# Makes a file system on a data disk where there is none, and mounts it for good. Never touches a disk in use.
# IM_DEVICE, IM_FSTYPE and IM_PATH say which, what and where. Says "changed" when it did something.
set -u
fail() { echo "$*" >&2; exit 1; }
wanted=${IM_DEVICE#/dev/}
letter=${wanted#"${wanted%?}"}
disk=
if [ -e "/dev/$wanted" ]; then
    disk=$(basename "$(readlink -f "/dev/$wanted")")
else
    for candidate in /dev/disk/by-id/*"$wanted"* /dev/[svh]d"$letter" /dev/xvd"$letter"; do
        if [ -e "$candidate" ]; then disk=$(basename "$(readlink -f "$candidate")"); break; fi
    done
    if [ -z "$disk" ]; then
        number=$(printf '%d' "'$letter"); number=$((number - 97))
        if [ "$number" -ge 0 ] && [ -e "/dev/nvme${number}n1" ]; then disk=nvme${number}n1; fi
    fi
fi
[ -n "$disk" ] || fail "DISK_NOT_FOUND: no disk matches $IM_DEVICE; check disk.N.device"
case $disk in *[0-9]) part=/dev/${disk}p1 ;; *) part=/dev/${disk}1 ;; esac
if [ "$IM_FSTYPE" = swap ]; then
    if grep -q "^$part " /proc/swaps; then exit 0; fi
elif grep -q "^$part $IM_PATH " /proc/mounts; then
    exit 0
fi
if grep -q "^/dev/$disk" /proc/mounts || grep -q "^/dev/$disk" /proc/swaps; then
    fail "the disk /dev/$disk for $IM_DEVICE is in use; give another device"
fi
changed=
if [ ! -e "$part" ]; then
    [ -z "$(blkid -o value -s TYPE "/dev/$disk" 2>/dev/null)" ] || fail "/dev/$disk holds a file system without partitions; it is left alone"
    echo ',,' | sfdisk --quiet --label gpt "/dev/$disk" || fail "cannot make a partition on /dev/$disk"
    command -v udevadm >/dev/null 2>&1 && udevadm settle
    for _ in 1 2 3 4 5 6 7 8 9 10; do [ -e "$part" ] && break; sleep 0.5; done
    changed=1
fi
found=$(blkid -o value -s TYPE "$part" 2>/dev/null)
if [ "$IM_FSTYPE" = swap ]; then
    if [ -z "$found" ]; then mkswap "$part" >/dev/null || exit 1; fi
    grep -q "^$part " /etc/fstab || printf '%s none swap sw 0 0\n' "$part" >> /etc/fstab
    swapon "$part" && echo changed
    exit
fi
if [ -z "$found" ]; then
    "mkfs.$IM_FSTYPE" "$part" >/dev/null || fail "mkfs.$IM_FSTYPE failed on $part"
    found=$IM_FSTYPE
    changed=1
fi
mkdir -p -- "$IM_PATH" || exit 1
escaped=$(printf '%s' "$IM_PATH" | sed 's/ /\\040/g')
grep -q "^$part " /etc/fstab || printf '%s %s %s defaults,nofail 0 2\n' "$part" "$escaped" "$found" >> /etc/fstab
mount -t "$found" -- "$part" "$IM_PATH" || exit 1
echo changed
