# Makes a file system on a data disk where there is none, and mounts it for good. Never touches a disk in use, never makes
# a file system where something is. IM_DEVICE, IM_FSTYPE and IM_PATH say which, what and where. Says "changed" when it did
# something. Needs install_package.sh before it.
set -u
fail() { echo "$*" >&2; exit 1; }
case $IM_FSTYPE in '' | *[!a-z0-9.]*) fail "'$IM_FSTYPE' is no type of file system" ;; esac
if [ "$IM_FSTYPE" != swap ]; then
    case $IM_PATH in /*) ;; *) fail "the mount path '$IM_PATH' does not begin with /" ;; esac
    case $IM_PATH in *'
'*) fail "the mount path holds a line break" ;; esac
fi
# As /proc/mounts and /etc/fstab write it.
escaped=$(printf '%s' "$IM_PATH" | sed 's/\\/\\134/g; s/ /\\040/g; s/	/\\011/g')

# Device number of a block device, as /proc/self/mountinfo writes it.
number() { printf '%d:%d' "0x$(stat -L -c %t "$1")" "0x$(stat -L -c %T "$1")"; }
# Whether the device is mounted, swapped on, or part of something (volume group, array, crypt).
busy() {
    n=$(number "$1")
    D=$1 N=$n awk '$3 == ENVIRON["N"] || $(NF-1) == ENVIRON["D"] { found = 1 } END { exit !found }' /proc/self/mountinfo && return 0
    while read -r swap rest; do
        [ -b "$swap" ] && [ "$(number "$swap")" = "$n" ] && return 0
    done < /proc/swaps
    for holder in /sys/dev/block/"$n"/holders/*; do
        [ -e "$holder" ] && return 0
    done
    return 1
}
# Whether the disk or one of its partitions is busy.
disk_busy() {
    for device in "/dev/$1" "/dev/$1"[0-9]* "/dev/$1"p[0-9]*; do
        [ -b "$device" ] && busy "$device" && return 0
    done
    return 1
}
# Exactly the device, else a link of that name, else a disk with its last letter, else the NVMe disk of that letter's place.
find_disk() {
    wanted=${IM_DEVICE#/dev/}
    for device in "/dev/$wanted" /dev/disk/by-*/"$wanted"; do
        [ -b "$device" ] && { basename "$(readlink -f "$device")"; return 0; }
    done
    letter=${wanted#"${wanted%?}"}
    case $letter in [a-z]) ;; *) return 1 ;; esac
    index=$(($(printf '%d' "'$letter") - 97))
    used=
    for name in "sd$letter" "vd$letter" "xvd$letter" "hd$letter" "nvme${index}n1"; do
        [ -b "/dev/$name" ] || continue
        disk_busy "$name" || { echo "$name"; return 0; }
        used=${used:-$name}
    done
    [ -n "$used" ] && echo "$used"
}
# What is on a device: type of a file system or of a partition table, nothing when it is empty.
probed() {
    kind=$(blkid -p -o value -s "$1" "$2" 2>/dev/null)
    case $? in 0 | 2) echo "$kind" ;; *) return 1 ;; esac
}
# Waits for the new partition.
appears() {
    tries=0
    while [ ! -b "$target" ] && [ $tries -lt 20 ]; do sleep 0.25; tries=$((tries + 1)); done
    [ -b "$target" ]
}
# Tells a kernel that does not read partition tables of its own accord what is in this one.
known() {
    command -v partx >/dev/null 2>&1 && partx --add "/dev/$disk" >&2 && appears
}
unclear() { fail "cannot tell whether something is on $1: is blkid of util-linux there?"; }

disk=$(find_disk) || fail "DISK_NOT_FOUND: no disk matches $IM_DEVICE; check disk.N.device"
case $disk in *[0-9]) part=${disk}p1 ;; *) part=${disk}1 ;; esac

# Mounted or swapped on already: nothing to do.
for device in "/dev/$disk" "/dev/$part"; do
    [ -b "$device" ] || continue
    if [ "$IM_FSTYPE" = swap ]; then
        while read -r swap rest; do
            [ -b "$swap" ] && [ "$(number "$swap")" = "$(number "$device")" ] && exit 0
        done < /proc/swaps
    else
        N=$(number "$device") P=$escaped awk '$3 == ENVIRON["N"] && $5 == ENVIRON["P"] { found = 1 } END { exit !found }' \
            /proc/self/mountinfo && exit 0
    fi
done
disk_busy "$disk" && fail "the disk /dev/$disk for $IM_DEVICE is in use; give another device"

type=$(probed TYPE "/dev/$disk") || unclear "/dev/$disk"
if [ -n "$type" ] || [ -e "/sys/class/block/$disk/partition" ]; then
    # A file system over the whole disk, or a partition that was meant itself.
    target=/dev/$disk
else
    target=/dev/$part
    table=$(probed PTTYPE "/dev/$disk") || unclear "/dev/$disk"
    [ -b "$target" ] || [ -z "$table" ] || known
    if [ ! -b "$target" ]; then
        [ -z "$table" ] || fail "/dev/$disk has a partition table, and nothing usable in it; it is left alone"
        for other in "/dev/$disk"[0-9]* "/dev/$disk"p[0-9]*; do
            [ -b "$other" ] && fail "/dev/$disk has partitions of its own; it is left alone"
        done
        if command -v sfdisk >/dev/null 2>&1; then
            echo ',,' | sfdisk --quiet --label gpt "/dev/$disk" >&2 || fail "cannot make a partition on /dev/$disk"
        else
            command -v parted >/dev/null 2>&1 || install_package parted >/dev/null
            parted -s "/dev/$disk" mklabel gpt mkpart primary 0% 100% >&2 || fail "cannot make a partition on /dev/$disk"
        fi
        command -v udevadm >/dev/null 2>&1 && udevadm settle
        appears || known || fail "the new partition $target does not appear"
    fi
    type=$(probed TYPE "$target") || unclear "$target"
fi
if [ -z "$type" ]; then
    if [ "$IM_FSTYPE" = swap ]; then
        mkswap "$target" >/dev/null || fail "mkswap failed on $target"
    else
        command -v "mkfs.$IM_FSTYPE" >/dev/null 2>&1 || fail "mkfs.$IM_FSTYPE is not on this machine"
        "mkfs.$IM_FSTYPE" "$target" >/dev/null || fail "mkfs.$IM_FSTYPE failed on $target"
    fi
    type=$IM_FSTYPE
fi
if [ "$IM_FSTYPE" = swap ] && [ "$type" != swap ]; then
    fail "$target holds a $type: it is not made swap space"
fi
uuid=$(probed UUID "$target")
source=${uuid:+UUID=$uuid}
source=${source:-$target}
if [ "$IM_FSTYPE" = swap ]; then
    line="$source none swap sw 0 0"
else
    mkdir -p -- "$IM_PATH" || exit 1
    line="$source $escaped $type defaults,nofail 0 2"
fi
if ! S=$source T=$target awk '$1 == ENVIRON["S"] || $1 == ENVIRON["T"] { found = 1 } END { exit !found }' /etc/fstab 2>/dev/null; then
    printf '%s\n' "$line" >> /etc/fstab || exit 1
fi
if [ "$IM_FSTYPE" = swap ]; then
    swapon "$target" || fail "swapon failed on $target"
else
    mount -t "$type" -- "$target" "$IM_PATH" || fail "cannot mount $target, which holds a $type"
fi
echo changed
