//! Machines that go.

use super::{
    Subject,
    subject::{must, unknown},
};
use crate::VmMark;
use std::collections::BTreeSet;

/// Deleting twice, at once, in any order, what is unknown and what never was, all succeed.
pub async fn deletes_what_is_there_and_what_is_not(subject: &Subject) {
    let connector = &subject.connector;
    let ids = subject.launch("delete", 3).await;
    let vm = subject.mark("delete", 1, &ids[1]);
    let (one, other) = tokio::join!(connector.delete_vm(&vm), connector.delete_vm(&vm));
    must("delete at once", one);
    must("delete at once", other);
    must("delete again", connector.delete_vm(&vm).await);
    let never_made = subject.intent("delete", 3).mark();
    must("delete what never was", connector.delete_vm(&never_made).await);
    must("delete unknown", connector.delete_vm(&VmMark { id: Some(unknown()), ..never_made }).await);
    let left: BTreeSet<_> = subject.found("delete").await.into_iter().map(|(_, id)| id).collect();
    assert_eq!(left, BTreeSet::from([ids[0].clone(), ids[2].clone()]));
    subject.clear("delete").await;
    must("delete shared again", connector.delete_shared(&subject.shared_mark("delete")).await);
    must("delete shared of nothing", connector.delete_shared(&subject.shared_mark("never-made")).await);
    subject.share("delete").await;
    let intent = subject.intent("delete", 1);
    must("create", connector.create_vm(&intent).await);
    must("delete by the mark alone", connector.delete_vm(&intent.mark()).await);
    assert!(subject.found("delete").await.is_empty(), "the mark is enough");
    let reborn = must("create after delete", connector.create_vm(&intent).await);
    assert_eq!(subject.found("delete").await, BTreeSet::from([(intent.uid, reborn)]), "only what was made again");
    subject.clear("delete").await;
}
