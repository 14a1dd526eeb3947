//! Ranges of networks: `*` in a cidr, and the first range that is free.

use ipnetwork::IpNetwork;

/// The range of a created network that names none.
pub const DEFAULT: &str = "10.0.*.0/24";

/// Most values a `*` takes.
const VALUES: u16 = 253;

/// The ranges a cidr with `*` stands for: the first `*` runs over 1 to 253, from `init` (0: from 1) and around modulo
/// 254; inner ones run over 1 to 253 each time. A cidr without `*` stands for itself.
pub fn candidates(cidr: &str, init: u16) -> impl Iterator<Item = String> + use<> {
    let pieces: Vec<String> = cidr.split('*').map(str::to_owned).collect();
    let wildcards = pieces.len() - 1;
    // An address has four parts: more `*` than that can never become one.
    let count = if wildcards > 4 { 0 } else { u64::from(VALUES).pow(u32::try_from(wildcards).unwrap_or(0)) };
    (0..count).map(move |number| {
        let mut candidate = pieces[0].clone();
        for (at, piece) in pieces.iter().enumerate().skip(1) {
            let inner = u32::try_from(wildcards - at).unwrap_or(0);
            let digit = number / u64::from(VALUES).pow(inner) % u64::from(VALUES);
            let shift = if at == 1 { u64::from(init) } else { 0 };
            candidate.push_str(&((digit + shift) % 254 + 1).to_string());
            candidate.push_str(piece);
        }
        candidate
    })
}

/// The first range of `cidr` (none: [`DEFAULT`]) that is not inside one of `used`.
#[must_use]
pub fn first_free(cidr: Option<&str>, init: u16, used: &[IpNetwork]) -> Option<IpNetwork> {
    let is_inside =
        |range: &IpNetwork| used.iter().any(|used| used.prefix() <= range.prefix() && used.contains(range.network()));
    let ranges = candidates(cidr.unwrap_or(DEFAULT), init).map_while(|text| text.parse::<IpNetwork>().ok());
    ranges.into_iter().find(|range| !is_inside(range))
}
