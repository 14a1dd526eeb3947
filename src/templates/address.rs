//! Addresses that nothing is fetched from, for they lead to the daemon's own host or network, or to nobody: pure.
//!
//! Sources: the registries of special-purpose addresses of IANA (RFC 6890 and its updates). Of IPv6, only what is given out as
//! global unicast (2000::/3) leads anywhere, less its own special parts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A range of IPv4: its first address, the bits of its prefix, and what it is.
type Range4 = ([u8; 4], u32, &'static str);
/// A range of IPv6: its first groups, the bits of its prefix, and what it is.
type Range6 = ([u16; 3], u32, &'static str);

const SPECIAL4: &[Range4] = &[
    ([0, 0, 0, 0], 8, "this network"),
    ([10, 0, 0, 0], 8, "private"),
    ([100, 64, 0, 0], 10, "shared by customers of a provider"),
    ([127, 0, 0, 0], 8, "loopback"),
    // A cloud answers its machines from here, with their credentials.
    ([168, 63, 129, 16], 32, "the metadata service of a cloud"),
    ([169, 254, 0, 0], 16, "link-local"),
    ([172, 16, 0, 0], 12, "private"),
    ([192, 0, 0, 0], 24, "reserved for protocols"),
    ([192, 0, 2, 0], 24, "for documentation"),
    ([192, 88, 99, 0], 24, "reserved for protocols"),
    ([192, 168, 0, 0], 16, "private"),
    ([198, 18, 0, 0], 15, "for benchmarks"),
    ([198, 51, 100, 0], 24, "for documentation"),
    ([203, 0, 113, 0], 24, "for documentation"),
    ([224, 0, 0, 0], 4, "multicast"),
    ([240, 0, 0, 0], 4, "reserved"),
];

const SPECIAL6: &[Range6] = &[
    ([0x2001, 0, 0], 23, "reserved for protocols"),
    ([0x2001, 0xdb8, 0], 32, "for documentation"),
    // It leads to an address of IPv4 through whoever says that they are a relay.
    ([0x2002, 0, 0], 16, "an address of IPv4 behind a relay"),
    ([0x3fff, 0, 0], 20, "for documentation"),
];

/// Ranges outside 2000::/3 that have a name people know.
const NAMED6: &[Range6] =
    &[([0xfc00, 0, 0], 7, "unique local"), ([0xfe80, 0, 0], 10, "link-local"), ([0xff00, 0, 0], 8, "multicast")];

/// Why nothing is fetched from an address; none if it is a public one.
#[must_use]
pub fn refusal(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => refusal4(address),
        IpAddr::V6(address) => refusal6(address),
    }
}

fn refusal4(address: Ipv4Addr) -> Option<&'static str> {
    let inside = |(first, bits, _): &&Range4| {
        let first = u32::from_be_bytes(*first);
        (u32::from(address) ^ first).leading_zeros() >= *bits
    };
    SPECIAL4.iter().find(inside).map(|(_, _, what)| *what)
}

fn refusal6(address: Ipv6Addr) -> Option<&'static str> {
    if let Some(inner) = embedded(address) {
        return refusal4(inner);
    }
    let inside = |(first, bits, _): &&Range6| {
        let [a, b, c] = *first;
        let first = u128::from(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0));
        (u128::from(address) ^ first).leading_zeros() >= *bits
    };
    if let Some((_, _, what)) = SPECIAL6.iter().chain(NAMED6).find(inside) {
        return Some(what);
    }
    if address.is_loopback() {
        return Some("loopback");
    }
    (address.segments()[0] & 0xe000 != 0x2000).then_some("no public address")
}

/// The address of IPv4 that one of IPv6 stands for: mapped (::ffff:0:0/96), or of a translator (64:ff9b::/96, RFC 6052), which
/// is how networks without IPv4 reach it.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let octets = address.octets();
    let [.., a, b, c, d] = octets;
    let translated = octets[..12] == [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0];
    address.to_ipv4_mapped().or_else(|| translated.then(|| Ipv4Addr::new(a, b, c, d)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_public_addresses_pass() {
        let refused = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.9.9.9",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:10.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
        ];
        for text in refused {
            assert!(refusal(text.parse().unwrap()).is_some(), "{text}");
        }
        let public = [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "172.15.255.255",
            "172.32.0.0",
            "185.199.108.133",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
            "2001:200::1",
            "2606:50c0:8000::154",
            "2a00:1450::1",
        ];
        for text in public {
            assert_eq!(refusal(text.parse().unwrap()), None, "{text}");
        }
    }
}
