//! Images: listed, made of machines, and deleted.

use super::{
    OpenStack,
    machine::CHANGES,
    map::{self, Source},
    mark,
    storage::Image,
};
use crate::{
    CloudImage, ConnectorError, ErrorClass, ImageIntent, VmMark,
    http::{Handle, Progress},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

impl OpenStack {
    pub(super) async fn list_images(
        &self,
        filters: &BTreeMap<String, String>,
    ) -> Result<Vec<CloudImage>, ConnectorError> {
        let images = self.api.images(&[]).await?;
        let wanted = |image: &&Image| image.status == "active" && matches(image, filters);
        let listed = |image: &Image| {
            let uri = map::image_url(&image.id, &self.account.endpoint.server);
            CloudImage { uri, name: image.name.clone().unwrap_or_default() }
        };
        Ok(images.iter().filter(wanted).map(listed).collect())
    }

    async fn images_of(&self, uid: &str) -> Result<Vec<Image>, ConnectorError> {
        let images = self.api.images(&[(mark::IMAGE_UID, uid)]).await?;
        Ok(images.into_iter().filter(|image| image.property(mark::IMAGE_UID) == Some(uid)).collect())
    }

    pub(super) async fn make_image(&self, vm: &VmMark, intent: &ImageIntent) -> Result<String, ConnectorError> {
        let server = self.settled(vm).await?;
        if self.images_of(&intent.uid.0).await?.is_empty() {
            let metadata = json!({mark::INFRASTRUCTURE: intent.infrastructure, mark::IMAGE_UID: intent.uid.0});
            self.api.act(&server.id, &json!({"createImage": {"name": intent.name, "metadata": metadata}})).await?;
        }
        // Nova is done when it does nothing more to the server; the image of a volume has no data of its own.
        self.settled(vm).await?;
        let handle = Handle(format!("to make image {}", intent.name));
        let id = CHANGES
            .wait(&handle, || async {
                let images = self.images_of(&intent.uid.0).await?;
                let failed = |text: &str| Progress::Failed(ConnectorError::new(ErrorClass::ProviderFailed, text));
                Ok(match images.first() {
                    None => failed("Error creating image: the cloud has none of it"),
                    Some(image) if matches!(image.status.as_str(), "killed" | "deleted" | "pending_delete") => {
                        failed("Error creating image: the cloud gave it up")
                    }
                    Some(image) if matches!(image.status.as_str(), "saving" | "importing" | "uploading") => {
                        Progress::Running(None)
                    }
                    Some(image) => Progress::Done(image.id.clone()),
                })
            })
            .await?;
        Ok(map::image_url(&id, &self.account.endpoint.server))
    }

    pub(super) async fn discard_image(&self, intent: &ImageIntent) -> Result<(), ConnectorError> {
        for image in self.images_of(&intent.uid.0).await? {
            self.delete_image_and_snapshots(&image).await?;
        }
        Ok(())
    }

    pub(super) async fn delete_image_of(&self, url: &str) -> Result<(), ConnectorError> {
        let Some(Source::Image(id)) = map::source(url, &self.account.endpoint.server) else { return Ok(()) };
        match self.api.image(&id).await? {
            Some(image) => self.delete_image_and_snapshots(&image).await,
            None => Ok(()),
        }
    }

    /// The image of a server that boots from a volume is a list of snapshots of volumes, which go with it.
    async fn delete_image_and_snapshots(&self, image: &Image) -> Result<(), ConnectorError> {
        let devices = image.property("block_device_mapping").and_then(|text| serde_json::from_str::<Value>(text).ok());
        self.api.delete_image(&image.id).await?;
        let devices = devices.as_ref().and_then(Value::as_array).into_iter().flatten();
        for snapshot in devices.filter_map(|device| device.get("snapshot_id").and_then(Value::as_str)) {
            self.api.delete_volume_snapshot(snapshot).await?;
        }
        Ok(())
    }
}

/// Whether an image is of the distribution and the version that are asked for: by its properties, else by its name.
fn matches(image: &Image, filters: &BTreeMap<String, String>) -> bool {
    let name = image.name.as_deref().unwrap_or_default().to_lowercase();
    let is_in_name = |wanted: &str| name.contains(&wanted.to_lowercase());
    let distribution = filters.get("distribution").is_none_or(|wanted| match image.property("os_distro") {
        Some(is) => is.eq_ignore_ascii_case(wanted),
        None => is_in_name(wanted),
    });
    let version = filters.get("version").is_none_or(|wanted| match image.property("os_version") {
        Some(is) => is == wanted || is.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.starts_with('.')),
        None => is_in_name(wanted),
    });
    distribution && version
}
