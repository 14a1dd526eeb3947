//! Networks that documents bring along.

use super::{Subject, subject::must};
use crate::PowerState;

/// The document of an infrastructure, with what was written into its networks, makes another one beside it and after
/// it; networks that both use go with the last of them.
pub async fn makes_another_of_a_document_that_comes_again(subject: &Subject) {
    let first = subject.share_networks("again-1", &subject.networks).await;
    let mut written = subject.networks.clone();
    for network in &mut written {
        for (name, value) in first.networks.get(&network.id).into_iter().flat_map(|features| features.iter()) {
            network.features.set(name, value.clone());
        }
    }
    subject.share_networks("again-2", &written).await;
    let mut intent = subject.intent("again-2", 0);
    intent.networks = written.clone();
    let id = must("create in the second", subject.connector.create_vm(&intent).await);
    subject.clear("again-1").await;
    subject.reach(&[id], PowerState::Running).await;
    subject.clear("again-2").await;
    subject.share_networks("again-3", &written).await;
    subject.clear("again-3").await;
}
