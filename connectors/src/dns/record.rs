//! A record, what a machine keeps of those that were made for it, and what is to be done about them: pure.

use radl::{System, names::Defaults};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A name in the DNS.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordName {
    /// Name inside the domain; `*` for all names of it.
    pub host: String,
    /// The domain, with its final dot.
    pub domain: String,
    /// The host's own secret at the dynamic DNS service, for names that were given with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

impl RecordName {
    /// The whole name, without its final dot.
    #[must_use]
    pub fn fqdn(&self) -> String {
        format!("{}.{}", self.host, self.domain.trim_end_matches('.'))
    }

    /// Whether the name is in this zone, however that is written.
    #[must_use]
    pub fn is_in(&self, zone: &str) -> bool {
        let (name, zone) = (self.fqdn().to_ascii_lowercase(), zone.trim_matches('.').to_ascii_lowercase());
        !zone.is_empty() && name.strip_suffix(&zone).is_some_and(|rest| rest.ends_with('.'))
    }
}

impl From<radl::names::DnsName> for RecordName {
    fn from(name: radl::names::DnsName) -> Self {
        Self { host: name.host, domain: name.domain, secret: name.secret }
    }
}

/// Without its secret.
impl std::fmt::Debug for RecordName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.fqdn())
    }
}

/// A name and the address it leads to: a record of type `A` or `AAAA`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsRecord {
    /// The name.
    #[serde(flatten)]
    pub name: RecordName,
    /// The address.
    pub address: IpAddr,
}

impl DnsRecord {
    /// The type of the record.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        if self.address.is_ipv4() { "A" } else { "AAAA" }
    }

    /// The names that a machine is to have, with its number and the default domain filled in.
    #[must_use]
    pub fn names(system: &System, number: u32, default_domain: &str) -> Vec<RecordName> {
        let defaults = Defaults { host: None, domain: Some(default_domain) };
        system.dns_names(u64::from(number), defaults).into_iter().map(RecordName::from).collect()
    }

    /// The records that a machine is to have, as far as its addresses are known.
    #[must_use]
    pub fn all_of(system: &System, number: u32, default_domain: &str) -> Vec<Self> {
        let defaults = Defaults { host: None, domain: Some(default_domain) };
        let entries = system.dns_entries(u64::from(number), defaults).into_iter();
        entries
            .filter_map(|entry| Some(Self { name: entry.name.into(), address: entry.address.parse().ok()? }))
            .collect()
    }
}

impl std::fmt::Display for DnsRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.name.fqdn(), self.kind(), self.address)
    }
}

/// Who makes records: the same text for every credential line of that account of a service, and no secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProviderName(pub String);

impl std::fmt::Display for ProviderName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A record that was made, or was about to be. It is durable with its machine before the provider is asked, and goes after the
/// record is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordEntry {
    /// The record.
    #[serde(flatten)]
    pub record: DnsRecord,
    /// Who makes it, and is asked to delete it.
    pub provider: ProviderName,
    /// Whether the provider said that it is there.
    pub made: bool,
}

/// What is to be done about the records of a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The records that the machine is to have.
    pub wanted: Vec<RecordEntry>,
    /// Records that it is not to have any more. They are deleted after the others are made, so that a name that moves to
    /// another address leads somewhere all the time.
    pub stale: Vec<RecordEntry>,
}

impl Plan {
    /// Compares what a machine keeps with the records that it is to have. `choose` says who makes a record of a name; without
    /// an answer it is who makes the other records of the name, or nobody. Who made a record goes on with it.
    pub fn new(
        kept: &[RecordEntry],
        wanted: impl IntoIterator<Item = DnsRecord>,
        choose: impl Fn(&RecordName) -> Option<ProviderName>,
    ) -> Self {
        let entry = |record: DnsRecord| match kept.iter().find(|entry| entry.record == record) {
            Some(known) => Some(known.clone()),
            None => {
                let of_name = || kept.iter().find(|entry| entry.record.name == record.name);
                let provider = choose(&record.name).or_else(|| Some(of_name()?.provider.clone()))?;
                Some(RecordEntry { record, provider, made: false })
            }
        };
        let wanted: Vec<RecordEntry> = wanted.into_iter().filter_map(entry).collect();
        let is_wanted = |kept: &&RecordEntry| wanted.iter().any(|entry| entry.record == kept.record);
        let stale = kept.iter().filter(|kept| !is_wanted(kept)).cloned().collect();
        Self { wanted, stale }
    }

    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.stale.is_empty() && self.wanted.iter().all(|entry| entry.made)
    }

    /// What the machine keeps while it is carried out.
    #[must_use]
    pub fn entries(&self) -> Vec<RecordEntry> {
        self.wanted.iter().chain(&self.stale).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn record(host: &str, address: &str) -> DnsRecord {
        let name = RecordName { host: host.to_owned(), domain: "example.org.".to_owned(), secret: None };
        DnsRecord { name, address: address.parse().unwrap() }
    }

    fn entry(host: &str, address: &str, made: bool) -> RecordEntry {
        RecordEntry { record: record(host, address), provider: ProviderName("p".to_owned()), made }
    }

    #[test]
    fn names_are_in_their_zone_and_above_nothing_else() {
        let name = record("a.b", "192.0.2.1").name;
        for (zone, is_in) in [
            ("example.org", true),
            ("Example.ORG.", true),
            ("b.example.org.", true),
            ("org", true),
            ("ple.org", false),
            ("a.b.example.org", false),
            ("", false),
        ] {
            assert_eq!(name.is_in(zone), is_in, "{zone}");
        }
    }

    #[test]
    fn a_name_that_moves_is_made_before_its_old_record_goes() {
        let choose = |name: &RecordName| (name.host != "nobody").then(|| ProviderName("p".to_owned()));
        let wanted = [record("a", "192.0.2.2"), record("b", "192.0.2.3"), record("nobody", "192.0.2.4")];
        let kept = [entry("a", "192.0.2.1", true), entry("b", "192.0.2.3", true)];
        let plan = Plan::new(&kept, wanted.clone(), choose);
        assert_eq!(plan.wanted, [entry("a", "192.0.2.2", false), entry("b", "192.0.2.3", true)]);
        assert_eq!(plan.stale, [entry("a", "192.0.2.1", true)]);
        assert!(!plan.is_done());
        // Whoever comes after a crash finds the same plan in what was kept.
        assert_eq!(Plan::new(&plan.entries(), wanted.clone(), choose), plan);
        let done = [entry("a", "192.0.2.2", true), entry("b", "192.0.2.3", true)];
        assert!(Plan::new(&done, wanted, choose).is_done());
        // A provider whose credentials are not there any more still has what it made.
        assert_eq!(Plan::new(&done, [record("a", "192.0.2.2")], |_| None).wanted, [done[0].clone()]);
        assert_eq!(Plan::new(&done, [record("a", "192.0.2.9")], |_| None).wanted, [entry("a", "192.0.2.9", false)]);
        assert!(Plan::new(&[], [record("a", "192.0.2.2")], |_| None).is_done());
    }

    #[test]
    fn entries_are_stored_flat_and_show_no_secret() {
        let mut entry = entry("a", "2001:db8::1", false);
        entry.record.name.secret = Some("s3cr3t".to_owned());
        let row = serde_json::json!({"host": "a", "domain": "example.org.", "secret": "s3cr3t",
            "address": "2001:db8::1", "provider": "p", "made": false});
        assert_eq!(serde_json::to_value(&entry).unwrap(), row);
        assert_eq!(serde_json::from_value::<RecordEntry>(row).unwrap(), entry);
        assert_eq!(entry.record.to_string(), "a.example.org AAAA 2001:db8::1");
        assert!(!format!("{entry:?}").contains("s3cr3t"));
    }
}
