//! Calls that change something in a cloud: they begin only while the session of this daemon is good. One that slept beyond
//! its lease changes nothing any more, neither in the store nor in a cloud, and one that ends waits for those under way.

use super::Cluster;
use crate::engine::Inner;
use std::sync::atomic::Ordering;

/// A call under way.
#[must_use = "the call is under way as long as this lives"]
pub struct CloudCall<'a>(Option<&'a Cluster>);

impl Drop for CloudCall<'_> {
    fn drop(&mut self) {
        if let Some(cluster) = self.0 {
            cluster.calls.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Inner {
    /// Waits until a call may be made; where a daemon is alone, it always may.
    pub async fn cloud_call(&self) -> CloudCall<'_> {
        let Some(cluster) = self.cluster.as_deref() else { return CloudCall(None) };
        let mut tenure = cluster.tenure.subscribe();
        loop {
            // Counted first: who leaves has either seen it, or ended the tenure before.
            cluster.calls.fetch_add(1, Ordering::SeqCst);
            let call = CloudCall(Some(cluster));
            if cluster.is_member() {
                return call;
            }
            drop(call);
            if tenure.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}
