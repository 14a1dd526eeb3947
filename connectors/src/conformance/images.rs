//! Images and limits.

use super::{
    Subject,
    subject::{left_out, must},
};
use crate::PowerState;

/// An image is made once however often it is asked for, and deleted, also twice; what an attempt left is discarded.
pub async fn makes_and_deletes_images(subject: &Subject) {
    if !subject.connector.capabilities().snapshot {
        left_out("it makes no images");
        return;
    }
    let ids = subject.launch("images", 1).await;
    subject.reach(&ids, PowerState::Running).await;
    let (connector, vm) = (&subject.connector, subject.mark("images", 0, &ids[0]));
    let image = subject.image("images", "image-1", "conformance");
    let url = must("make an image", connector.snapshot(&vm, &image).await);
    assert_eq!(must("make it again", connector.snapshot(&vm, &image).await), url);
    for _ in 0..2 {
        must("delete it", connector.delete_image(&url, &subject.location).await);
    }
    let image = subject.image("images", "image-2", "conformance");
    must("make another one", connector.snapshot(&vm, &image).await);
    for _ in 0..2 {
        must("discard it", connector.discard_snapshot(&image).await);
    }
    subject.clear("images").await;
}

/// Images that are listed can be asked for.
pub async fn lists_images_that_can_be_used(subject: &Subject) {
    if !subject.connector.capabilities().images {
        left_out("it lists no images");
        return;
    }
    let images = must("list images", subject.connector.images(&Default::default()).await);
    for image in images.iter().take(3) {
        let mut system = subject.system.clone();
        system.features.set_text("disk.0.image.url", &image.uri);
        let candidates = must("ask for candidates", subject.connector.candidates(&system).await);
        let urls = candidates.iter().map(|candidate| candidate.system.features.text("disk.0.image.url"));
        assert!(urls.clone().all(|url| url == Some(&image.uri)) && urls.count() > 0, "{}", image.uri);
    }
}

/// Limits are numbers that make sense.
pub async fn tells_limits(subject: &Subject) {
    if !subject.connector.capabilities().quotas {
        left_out("it tells no limits");
        return;
    }
    let quotas = must("ask for limits", subject.connector.quotas(subject.location.region.as_deref()).await);
    assert!(!quotas.is_empty());
    assert!(quotas.values().all(|quota| quota.used >= 0.0 && quota.limit >= -1.0), "{quotas:?}");
}
