//! What is not offered, and what cannot be.

use super::{
    Subject,
    subject::{left_out, must, unknown},
};
use crate::{
    Connector, ConnectorError, ErrorClass, NewDisk, PowerOperation, PowerState, PublicAddress, Resize, layers::Layered,
};
use std::sync::Arc;

/// What the capabilities deny is refused as `Unsupported`.
pub async fn refuses_what_it_does_not_offer(subject: &Subject) {
    let connector = Layered::new(Arc::clone(&subject.connector), Vec::new());
    let offers = connector.capabilities();
    let refused = |offered: bool, what: &str, result: Result<(), ConnectorError>| {
        let is_refusal = result.is_err_and(|error| error.class == ErrorClass::Unsupported);
        assert_eq!(is_refusal, !offered, "{what}");
    };
    let vm = subject.mark("conformance", 0, &unknown());
    refused(offers.stop_start, "stop", connector.power(&vm, PowerOperation::Stop).await);
    refused(offers.reboot, "reboot", connector.power(&vm, PowerOperation::Reboot).await);
    let sizes = Resize { cpu_count: Some(2.0), ..Resize::default() };
    refused(offers.resize, "resize", connector.resize(&vm, &sizes).await);
    let disk = NewDisk { index: 1, size: Some(16_000_000), ..NewDisk::default() };
    let disks = Resize { disks: vec![disk], ..Resize::default() };
    refused(offers.attach_disk, "add a disk", connector.resize(&vm, &disks).await);
    let address = Resize { public_address: Some(PublicAddress::Remove), ..Resize::default() };
    refused(offers.public_address, "take an address", connector.resize(&vm, &address).await);
    let image = subject.image("conformance", "conformance", "conformance");
    refused(offers.snapshot, "snapshot", connector.snapshot(&vm, &image).await.map(drop));
    refused(offers.images, "images", connector.images(&Default::default()).await.map(drop));
    refused(offers.quotas, "quotas", connector.quotas(None).await.map(drop));
}

/// Names that no image can have: whether one is made of them or not, nothing is left and the clean-up succeeds.
pub async fn cleans_up_what_it_refused(subject: &Subject) {
    if !subject.connector.capabilities().snapshot {
        left_out("it makes no images");
        return;
    }
    let connector = &subject.connector;
    let ids = subject.launch("refused", 1).await;
    subject.reach(&ids, PowerState::Running).await;
    let long = "x".repeat(300);
    for (number, name) in ["my image", "", "../image", "\u{e4}\n", long.as_str()].into_iter().enumerate() {
        let image = subject.image("refused", &format!("refused-image-{number}"), name);
        let url = connector.snapshot(&subject.mark("refused", 0, &ids[0]), &image).await;
        must("discard what was refused", connector.discard_snapshot(&image).await);
        if let Ok(url) = url {
            must("delete the image", connector.delete_image(&url, &subject.location).await);
        }
    }
    must("delete an image of another cloud", connector.delete_image("other://cloud/1", &subject.location).await);
    subject.clear("refused").await;
}
