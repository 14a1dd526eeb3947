//! Machines that come.

use super::{
    LoseReplies, Subject, Throttle,
    subject::{class, left_out, must},
};
use crate::{Connector, ErrorClass, PowerState, VmMark, user_data::UserData};
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::time::Instant;

/// One machine.
pub async fn launches_one_machine(subject: &Subject) {
    launches(subject, 1).await;
}

/// Five machines side by side.
pub async fn launches_five_machines(subject: &Subject) {
    launches(subject, 5).await;
}

/// Fifty machines side by side, where that is cheap.
pub async fn launches_fifty_machines(subject: &Subject) {
    launches(subject, 50).await;
}

/// `count` machines side by side: as many distinct ids, all found by their marks, all up in the end.
async fn launches(subject: &Subject, count: u32) {
    if count > subject.largest {
        left_out("so many machines cost too much here");
        return;
    }
    let infrastructure = format!("launch-{count}");
    let ids = subject.launch(&infrastructure, count).await;
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), count as usize, "ids are unique");
    assert_eq!(subject.found(&infrastructure).await.len(), count as usize, "exactly {count} machines");
    let observations = subject.reach(&ids, PowerState::Running).await;
    assert_eq!(observations.len(), count as usize);
    subject.clear(&infrastructure).await;
}

/// Creating twice, also at the same time, gives the same machine.
pub async fn creates_one_machine_per_uid(subject: &Subject) {
    let (connector, infrastructure) = (&subject.connector, "same-uid");
    subject.share(infrastructure).await;
    let intent = subject.intent(infrastructure, 0);
    let first = must("create", connector.create_vm(&intent).await);
    assert_eq!(must("create again", connector.create_vm(&intent).await), first);
    let intent = subject.intent(infrastructure, 1);
    let (one, other) = tokio::join!(connector.create_vm(&intent), connector.create_vm(&intent));
    assert_eq!(must("create at once", one), must("create at once", other));
    assert_eq!(subject.found(infrastructure).await.len(), 2);
    subject.clear(infrastructure).await;
}

/// What a document says to cloud-init reaches the machine, with the login, also when the reply is lost.
pub async fn hands_over_user_data(subject: &Subject) {
    if !subject.connector.capabilities().user_data {
        left_out("its machines take no user data");
        return;
    }
    let Some(backstage) = subject.backstage() else { return };
    subject.share("user-data").await;
    let mut intent = subject.intent("user-data", 0);
    intent.system.features.set_text("disk.0.os.credentials.public_key", "ssh-ed25519 AAAA conformance");
    intent.user_data =
        UserData { recipe: Some("#cloud-config\nruncmd: [[touch, /opt/booted]]\n".to_owned()), ..UserData::default() };
    let id = must("create", subject.behind(|| Arc::new(LoseReplies::new(1)))().create_vm(&intent).await);
    let text = backstage.user_data(&id).unwrap_or_default();
    assert!(text.contains("/opt/booted") && text.contains("ssh-ed25519 AAAA conformance"), "{text}");
    subject.clear("user-data").await;
}

/// The first two replies of every change are lost: still exactly one machine each, and nothing left at the end.
pub async fn makes_one_machine_when_replies_are_lost(subject: &Subject) {
    subject.share("lost").await;
    let faulty = subject.behind(|| Arc::new(LoseReplies::new(2)));
    for number in 0..3 {
        let connector = faulty();
        let intent = subject.intent("lost", number);
        let id = must("create with lost replies", connector.create_vm(&intent).await);
        let found = subject.found("lost").await;
        assert!(found.contains(&(intent.uid, id)), "the machine that was reported is the one that exists");
        assert_eq!(found.len(), number as usize + 1, "one machine per uid");
    }
    for (uid, id) in subject.found("lost").await {
        let vm = VmMark { uid, ..subject.mark("lost", 0, &id) };
        must("delete with lost replies", faulty().delete_vm(&vm).await);
    }
    assert!(subject.found("lost").await.is_empty());
    must("delete shared with lost replies", faulty().delete_shared(&subject.shared_mark("lost")).await);
}

/// Being throttled uses up no attempt, and the machine is made once.
pub async fn waits_when_throttled(subject: &Subject) {
    subject.share("throttled").await;
    let faulty = subject.behind(|| Arc::new(Throttle::new(10, Duration::from_millis(2))));
    let start = Instant::now();
    must("create while throttled", faulty().create_vm(&subject.intent("throttled", 0)).await);
    assert!(start.elapsed() >= Duration::from_millis(20), "Retry-After is honoured");
    assert_eq!(subject.found("throttled").await.len(), 1);
    subject.clear("throttled").await;
}

/// An account that may have `quota` machines: the next one is refused at once and leaves nothing behind, and a
/// deleted one makes room. The account must be empty before.
pub async fn keeps_the_quota(subject: &Subject, quota: u32) {
    let connector = &subject.connector;
    subject.launch("quota", quota).await;
    assert_eq!(class(connector.create_vm(&subject.intent("quota", quota)).await), ErrorClass::Quota);
    assert_eq!(subject.found("quota").await.len(), quota as usize);
    must("delete", connector.delete_vm(&subject.intent("quota", 0).mark()).await);
    must("create in the room made", connector.create_vm(&subject.intent("quota", quota)).await);
    subject.clear("quota").await;
}
