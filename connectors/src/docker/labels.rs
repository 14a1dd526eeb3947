//! Labels: the marks of everything that is made.

use super::client::Labels;
use crate::{ImageIntent, VmUid};

/// Label with the infrastructure of a thing.
pub(super) const INFRASTRUCTURE: &str = "im.infra";
/// Label with our id of the machine.
pub(super) const MACHINE: &str = "im.vm";
/// Label with our id of an image.
pub(super) const IMAGE: &str = "im.image";
/// Label with the infrastructure that an image was made for.
const IMAGE_INFRASTRUCTURE: &str = "im.image.infra";
/// Label of a container: the networks of the document that its networks are, as JSON.
pub(super) const NETWORKS: &str = "im.networks";

/// The labels of what belongs to a machine.
pub(super) fn of_machine(infrastructure: &str, uid: &VmUid) -> Labels {
    let labels = [(INFRASTRUCTURE, infrastructure), (MACHINE, &uid.0)];
    labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// The labels of an image. Containers inherit those of their image, so that the marks of the machine that it was made of are
/// emptied: what a user runs of it by hand is no machine of ours.
pub(super) fn of_image(intent: &ImageIntent) -> Labels {
    let labels = [
        (INFRASTRUCTURE, ""),
        (MACHINE, ""),
        (NETWORKS, ""),
        (IMAGE, &intent.uid.0),
        (IMAGE_INFRASTRUCTURE, &intent.infrastructure),
    ];
    labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// A filter for things with this label.
pub(super) fn filter(name: &str, value: &str) -> String {
    format!("{name}={value}")
}

/// The value of a label that is there and not empty.
pub(super) fn value<'a>(labels: &'a Option<Labels>, name: &str) -> Option<&'a str> {
    labels.as_ref()?.get(name).map(String::as_str).filter(|value| !value.is_empty())
}
