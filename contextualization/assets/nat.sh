# Lets machines of private networks reach out through this one: forwarding, and masquerade on the interface of the default
# route, now and after a reboot. Says "changed" when it was not so before.
set -u
program=/usr/local/sbin/im-nat
mkdir -p /usr/local/sbin
cat > "$program.new" <<'PROGRAM'
#!/bin/sh
# Made by the infrastructure manager (nat_instance): private machines reach out through this one.
interface=$(ip -4 route show default | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1)
[ -n "$interface" ] || { echo "this machine has no default route to translate addresses for" >&2; exit 1; }
[ "$(cat /proc/sys/net/ipv4/ip_forward)" = 1 ] || { echo 1 > /proc/sys/net/ipv4/ip_forward && echo changed; }
if nft list tables >/dev/null 2>&1; then
    nft list table ip im_nat 2>/dev/null | grep -q "oifname \"$interface\" masquerade" && exit 0
    nft -f - <<RULES || exit 1
table ip im_nat
delete table ip im_nat
table ip im_nat {
    chain postrouting {
        type nat hook postrouting priority 100; policy accept;
        oifname "$interface" masquerade
    }
}
RULES
elif command -v iptables >/dev/null 2>&1; then
    iptables -t nat -C POSTROUTING -o "$interface" -j MASQUERADE 2>/dev/null && exit 0
    iptables -t nat -A POSTROUTING -o "$interface" -j MASQUERADE || exit 1
else
    echo "neither nftables nor iptables is on this machine" >&2
    exit 1
fi
echo changed
PROGRAM
chmod 755 "$program.new" && mv "$program.new" "$program" || exit 1
mkdir -p /etc/sysctl.d && echo 'net.ipv4.ip_forward = 1' > /etc/sysctl.d/90-im-nat.conf || exit 1
if [ -d /etc/systemd/system ]; then
    cat > /etc/systemd/system/im-nat.service <<UNIT
[Unit]
Description=Address translation for private machines
Wants=network-online.target
After=network-online.target nftables.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=$program

[Install]
WantedBy=multi-user.target
UNIT
    mkdir -p /etc/systemd/system/multi-user.target.wants
    ln -sf ../im-nat.service /etc/systemd/system/multi-user.target.wants/im-nat.service
    [ ! -d /run/systemd/system ] || systemctl daemon-reload
elif [ -d /etc/local.d ]; then
    ln -sf "$program" /etc/local.d/im-nat.start
else
    echo "nothing is known here that would start $program after a reboot" >&2
fi
"$program"
