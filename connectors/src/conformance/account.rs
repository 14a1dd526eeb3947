//! Accounts at their limits, and clouds that are asked too often: faults of the cloud itself, behind its API.

use super::{
    Fate, Subject,
    subject::{class, left_out, must},
};
use crate::{Connector, ErrorClass, PowerState};
use std::sync::Arc;

/// Machines that an account may have in the case about its limit.
const FEW: u32 = 2;
/// Requests of one creation at most.
const MOST: u32 = 100;

/// The machine beyond the limit of an account is refused as `Quota` and leaves nothing behind; a deleted one makes room.
pub async fn refuses_more_than_the_quota(subject: &Subject) {
    let Some(backstage) = subject.backstage() else { return };
    if !backstage.limit_machines(Some(FEW)) {
        left_out("its accounts have no limit of machines");
        return;
    }
    super::keeps_the_quota(subject, FEW).await;
    backstage.limit_machines(None);
}

/// A cloud that turns requests away for a while gets its machine made, once.
pub async fn goes_on_when_the_cloud_throttles(subject: &Subject) {
    let Some(backstage) = subject.backstage() else { return };
    subject.share("asked-too-often").await;
    if !backstage.throttle(3) {
        left_out("it never turns requests away");
        return subject.clear("asked-too-often").await;
    }
    let retrying = subject.behind(|| Arc::new(super::LoseReplies::new(0)))();
    let intent = subject.intent("asked-too-often", 0);
    must("create while the cloud throttles", retrying.create_vm(&intent).await);
    assert_eq!(subject.found("asked-too-often").await.len(), 1);
    subject.clear("asked-too-often").await;
}

/// A daemon that dies at any request of a creation leaves what its successor, who remembers nothing, takes up: one
/// machine, with all that belongs to it.
pub async fn adopts_what_a_dead_daemon_made(subject: &Subject) {
    let Some(backstage) = subject.backstage() else { return };
    let successor = subject.successor.as_ref().unwrap_or(&subject.connector);
    let before = backstage.holdings();
    for number in 1..=MOST {
        subject.share("adopted").await;
        backstage.fail(Some((number, Fate::ReplyLost)));
        let intent = subject.intent("adopted", 0);
        let first = subject.connector.create_vm(&intent).await;
        let died = backstage.requests() >= number;
        backstage.fail(None);
        let id = must("adopt", successor.create_vm(&intent).await);
        assert!(first.is_err() || first.is_ok_and(|first| first == id), "request {number}: two machines");
        assert_eq!(subject.found("adopted").await.len(), 1, "request {number}");
        if number == 1 || !died {
            subject.reach(std::slice::from_ref(&id), PowerState::Running).await;
        }
        subject.clear("adopted").await;
        assert_eq!(backstage.holdings(), before, "request {number}");
        if !died {
            return;
        }
    }
    panic!("a creation of more than {MOST} requests");
}

/// A machine of an image that does not exist is refused for good, and nothing is left of it.
pub async fn refuses_an_unknown_image(subject: &Subject) {
    let Some(url) = &subject.unknown_image else {
        left_out("the name of an image that does not exist is not at hand");
        return;
    };
    subject.share("no-image").await;
    let mut intent = subject.intent("no-image", 0);
    intent.system.features.set_text("disk.0.image.url", url);
    let refusal = class(subject.connector.create_vm(&intent).await);
    assert!(matches!(refusal, ErrorClass::NotFound | ErrorClass::Invalid), "{refusal:?}");
    must("delete what was refused", subject.connector.delete_vm(&intent.mark()).await);
    subject.clear("no-image").await;
}
