//! Credentials that are good no more.

use super::{
    Subject,
    subject::{class, left_out},
};
use crate::{Connector, ErrorClass, PowerOperation, PowerState, Resize, layers::Layered};
use std::sync::Arc;

/// Every operation says `Auth` when the credentials have expired, and the machines stay as they are.
pub async fn says_that_credentials_expired(subject: &Subject) {
    let Some(expired) = &subject.expired else {
        left_out("no expired credentials are at hand");
        return;
    };
    refuses_everything(subject, expired).await;
}

/// Every operation says `Auth` when the credentials are wrong, and the machines stay as they are.
pub async fn says_that_credentials_are_wrong(subject: &Subject) {
    let Some(wrong) = &subject.wrong else {
        left_out("no wrong credentials are at hand");
        return;
    };
    refuses_everything(subject, wrong).await;
}

async fn refuses_everything(subject: &Subject, expired: &Arc<dyn Connector>) {
    let ids = subject.launch("expired", 1).await;
    let before = subject.reach(&ids, PowerState::Running).await;
    let (vm, intent) = (subject.mark("expired", 0, &ids[0]), subject.intent("expired", 1));
    let image = subject.image("expired", "expired", "expired");
    let expired = Layered::new(Arc::clone(expired), Vec::new());
    let offers = expired.capabilities();
    let auth = |what: &str, class: ErrorClass| assert_eq!(class, ErrorClass::Auth, "{what}");
    if offers.networks {
        auth("share", class(expired.ensure_shared(&subject.shared_intent("expired", &subject.networks)).await));
        auth("delete shared", class(expired.delete_shared(&subject.shared_mark("expired")).await));
    }
    auth("create", class(expired.create_vm(&intent).await));
    auth("find", class(expired.find(&subject.shared_mark("expired")).await));
    auth("observe", class(expired.observe(&subject.location, &ids).await));
    auth("delete", class(expired.delete_vm(&vm).await));
    if offers.stop_start {
        auth("stop", class(expired.power(&vm, PowerOperation::Stop).await));
    }
    if offers.resize {
        let resize = Resize { cpu_count: Some(2.0), ..Resize::default() };
        auth("resize", class(expired.resize(&vm, &resize).await));
    }
    if offers.snapshot {
        auth("snapshot", class(expired.snapshot(&vm, &image).await));
        auth("discard", class(expired.discard_snapshot(&image).await));
    }
    if offers.images {
        auth("images", class(expired.images(&Default::default()).await));
    }
    if offers.quotas {
        auth("quotas", class(expired.quotas(None).await));
    }
    assert_eq!(subject.seen(&ids).await, before, "it is as it was");
    subject.clear("expired").await;
}
