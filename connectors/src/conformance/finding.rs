//! Machines that are looked for and looked at.

use super::{
    Subject,
    subject::{left_out, uid, unknown},
};
use crate::PowerState;
use std::collections::BTreeSet;

/// Marks lead to the machines of one infrastructure, and deleting those leaves the other alone.
pub async fn finds_by_mark_and_keeps_infrastructures_apart(subject: &Subject) {
    let ours = subject.launch("apart-1", 2).await;
    let theirs = subject.launch("apart-2", 2).await;
    let found = subject.found("apart-1").await;
    let expected: BTreeSet<_> = (0..2).map(|number| uid("apart-1", number)).zip(ours).collect();
    assert_eq!(found, expected, "uids and ids belong together");
    subject.clear("apart-1").await;
    let left: BTreeSet<_> = subject.found("apart-2").await.into_iter().map(|(_, id)| id).collect();
    assert_eq!(left, theirs.iter().cloned().collect(), "the other infrastructure is untouched");
    subject.reach(&theirs, PowerState::Running).await;
    subject.clear("apart-2").await;
    assert!(subject.found("never-made").await.is_empty());
}

/// More machines than a page of the cloud's API holds are all found, observed and deleted.
pub async fn finds_more_than_a_page(subject: &Subject) {
    let count = subject.page.map_or(u32::MAX, |page| 2 * page + 1);
    if count > subject.largest {
        left_out("a page of its API holds more than can be launched here");
        return;
    }
    let ids = subject.launch("pages", count).await;
    assert_eq!(subject.found("pages").await.len(), ids.len());
    assert_eq!(subject.reach(&ids, PowerState::Running).await.len(), ids.len());
    subject.clear("pages").await;
}

/// Observing one call for all, unknown ids missing, and each with an address once it is up.
pub async fn observes_what_exists(subject: &Subject) {
    let ids = subject.launch("observe", 2).await;
    subject.reach(&ids, PowerState::Running).await;
    let asked = [ids[1].clone(), unknown(), ids[0].clone()];
    let observations = subject.seen(&asked).await;
    let answered: BTreeSet<_> = observations.iter().map(|observation| observation.id.clone()).collect();
    assert_eq!(answered, ids.iter().cloned().collect(), "known ids, and only these");
    assert!(observations.iter().all(|observation| !observation.addresses.is_empty()), "addresses are known");
    assert_eq!(subject.seen(&asked).await, observations, "observing changes nothing");
    assert!(subject.seen(&[]).await.is_empty());
    subject.clear("observe").await;
    assert!(subject.seen(&ids).await.iter().all(|gone| gone.state == PowerState::Off));
}
