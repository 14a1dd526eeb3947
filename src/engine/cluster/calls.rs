//! Calls that change something in a cloud: they begin only while the session of this daemon is good. One that slept beyond
//! its lease changes nothing any more, neither in the store nor in a cloud, and one that ends waits for those under way.

use crate::engine::cluster::Cluster;
use std::sync::atomic::Ordering;

/// A call under way.
#[derive(Default)]
#[must_use = "the call is under way as long as this lives"]
pub struct CloudCall<'a>(Option<&'a Cluster>);

impl Drop for CloudCall<'_> {
    fn drop(&mut self) {
        if let Some(cluster) = self.0 {
            cluster.calls.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Cluster {
    /// Waits until a call may be made.
    pub async fn cloud_call(&self) -> CloudCall<'_> {
        let mut tenure = self.tenure.subscribe();
        loop {
            // Counted first: who leaves has either seen it, or ended the tenure before.
            self.calls.fetch_add(1, Ordering::SeqCst);
            let call = CloudCall(Some(self));
            if self.is_member() {
                return call;
            }
            drop(call);
            if tenure.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}
