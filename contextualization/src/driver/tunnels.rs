//! Reverse tunnels of the machines that the master cannot reach: their keys come in while the doors are opened.

use super::pass::Pass;
use crate::{access, plan::control::ControlNode, ssh::SshSession};
use std::{collections::BTreeMap, time::Duration};

/// Pause after a try that failed.
const AGAIN: Duration = Duration::from_secs(5);

impl Pass<'_, '_> {
    /// Admits the tunnels of all machines to the master, again whenever another machine shows its key. Goes on until it is
    /// dropped.
    pub(super) async fn tunnels(&self, node: &ControlNode, master: SshSession) {
        let ControlNode::Vm(_) = node else { return std::future::pending().await };
        let mut vms = self.context.job.vms.clone();
        let mut admitted = BTreeMap::new();
        loop {
            let keys: BTreeMap<u32, String> = vms
                .borrow_and_update()
                .iter()
                .filter_map(|vm| Some((vm.creation_id, vm.tunnel_key.clone()?)))
                .collect();
            if keys != admitted {
                match access::admit_tunnels(&master, &keys).await {
                    Ok(()) => admitted = keys,
                    Err(error) if !master.is_closed() => {
                        tracing::warn!(%error, "the master does not take the keys of reverse tunnels");
                        tokio::time::sleep(AGAIN).await;
                        continue;
                    }
                    // The doors notice it, too.
                    Err(_) => {}
                }
            }
            if vms.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}
