//! The trait of what makes records.

use super::{DnsRecord, RecordName};
use crate::ConnectorError;
use async_trait::async_trait;

/// A service that has zones, as one account of it. Methods are safe to repeat; a caller may drop the future at any time, or
/// die, and call again.
#[async_trait]
pub trait RecordProvider: Send + Sync {
    /// Whether the name may be in one of its zones. No remote call.
    fn serves(&self, name: &RecordName) -> bool;

    /// Lets the name lead to the address, and to no other of its family, whatever it led to before.
    async fn ensure(&self, record: &DnsRecord) -> Result<(), ConnectorError>;

    /// Deletes the record, if the name still leads to this address; else there is nothing to delete, which is a success.
    async fn delete(&self, record: &DnsRecord) -> Result<(), ConnectorError>;
}
