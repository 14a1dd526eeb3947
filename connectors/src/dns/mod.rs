//! Names of machines in the DNS (docs/spec/connectors.md, 2.18).
//!
//! | module | subject |
//! |---|---|
//! | `record` | a record, what a machine keeps of those that were made for it, and what is to be done about them |
//! | `provider` | the trait of what makes records |
//! | `chain` | which provider makes a record |
//! | [`rfc2136`] | dynamic updates of any name server |
//! | [`dydns`] | EGI's dynamic DNS service |
//!
//! A record bears no mark: nothing in it tells whose it is. So a machine keeps an entry of each of its records from before it
//! is made until after it is deleted ([`RecordEntry`]), and a record is deleted by its value: a name that leads elsewhere by
//! then is left alone. Zones are never made and never deleted.

mod chain;
pub mod dydns;
mod provider;
mod record;
pub mod rfc2136;

pub use chain::{Chain, KIND, account_name, dydns_account};
pub use provider::RecordProvider;
pub use record::{DnsRecord, Plan, ProviderName, RecordEntry, RecordName};
