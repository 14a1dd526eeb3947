# Opens a way for SSH from the master of the infrastructure to this machine, and keeps it open.
umask 077
mkdir -p /var/lib/imd-tunnel && cd /var/lib/imd-tunnel || exit 1
exec 9> lock
# Again after a restart of the machine, where this is a file and cron is there.
if [ -s boot.sh ] && [ -d /etc/cron.d ]; then
    echo '@reboot root sh /var/lib/imd-tunnel/boot.sh > /dev/null 2>&1' > /etc/cron.d/imd-tunnel
fi
flock -n 9 2> /dev/null || [ $? -eq 127 ] || exit 0
[ -s key ] || ssh-keygen -q -t ed25519 -N '' -C '' -f key || exit 1
fetch() {
    printf 'header = "Authorization: Bearer %s"\n' "$token" |
        curl --config - --silent --fail --max-time 60 --header 'Accept: text/plain' --get \
            --data step=2 --data-urlencode key@key.pub "$@" "$url"
}
ask() {
    fetch || { [ -n "$pin" ] && fetch --insecure --pinnedpubkey "$pin"; }
}
pause=5
while :; do
    answer=$(ask 9>&-) || answer=wait
    case $answer in
        true) exit 0 ;;
        wait) ;;
        *) sh -c "$answer" 9>&- ; pause=5 ;;
    esac
    sleep "$pause" 9>&-
    pause=$((pause < 200 ? pause + pause / 4 : 250))
done
