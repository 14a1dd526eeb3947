//! Images of disks. Their names end with our id, which finds them again: an image has no place for a mark at its creation.

use super::{OpenNebula, map, wait};
use crate::{ConnectorError, ErrorClass, ImageIntent, VmMark};

/// States of images (docs.opennebula.io, "Images"): READY, USED, LOCKED, ERROR, CLONE, DELETE, USED_PERS.
const USABLE: [i32; 3] = [1, 2, 8];
const ERROR: i32 = 5;
const DELETING: i32 = 6;

impl OpenNebula {
    /// The number of the image of an intent.
    async fn saved(&self, uid: &str) -> Result<Vec<i32>, ConnectorError> {
        let end = map::image_name_end(uid);
        let images = self.api.images().await?;
        let ours = images.iter().filter(|image| image.text("NAME").is_some_and(|name| name.ends_with(&end)));
        Ok(ours.filter_map(|image| image.number("ID")).collect())
    }

    pub(super) async fn save(&self, vm: &VmMark, image: &ImageIntent) -> Result<String, ConnectorError> {
        let (id, found) = self.existing(vm).await?;
        let creation = self.creation(&image.uid.0);
        let _alone = creation.lock().await;
        let made = match self.saved(&image.uid.0).await?.first() {
            Some(made) => *made,
            None => {
                let lacking = || {
                    let text = format!("The machine has no disk {}", image.disk);
                    ConnectorError::new(ErrorClass::NotFound, text)
                };
                let disk = map::disk_of(&found, image.disk).and_then(|disk| disk.number("DISK_ID"));
                let name = map::image_name(&image.name, &image.uid.0);
                self.api.save_disk(id, disk.ok_or_else(lacking)?, &name).await?
            }
        };
        self.until_usable(made).await?;
        self.settled(id).await?;
        Ok(map::image_url(made, &self.account.endpoint.server))
    }

    /// Waits until an image is copied; one that failed is deleted.
    async fn until_usable(&self, id: i32) -> Result<(), ConnectorError> {
        let failed = || ConnectorError::new(ErrorClass::ProviderFailed, "OpenNebula could not make the image");
        let ready = wait::until(wait::IMAGE, || async move {
            let image = self.api.image(id).await?.ok_or_else(failed)?;
            match image.number("STATE").unwrap_or(ERROR) {
                ERROR | DELETING => Err(failed()),
                state => Ok(USABLE.contains(&state).then_some(())),
            }
        })
        .await;
        if ready.as_ref().is_err_and(|error| error.class == ErrorClass::ProviderFailed) {
            self.delete_image_number(id).await?;
        }
        ready
    }

    pub(super) async fn discard(&self, image: &ImageIntent) -> Result<(), ConnectorError> {
        for id in self.saved(&image.uid.0).await? {
            self.delete_image_number(id).await?;
        }
        Ok(())
    }

    pub(super) async fn delete_image_at(&self, url: &str) -> Result<(), ConnectorError> {
        let server = &self.account.endpoint.server;
        let Some(name) = map::image(url, server) else { return Ok(()) };
        let id = match name.parse() {
            Ok(id) => Some(id),
            Err(_) => map::image_id(url, server, "", &self.api.images().await?).ok(),
        };
        match id {
            Some(id) => self.delete_image_number(id).await,
            None => Ok(()),
        }
    }

    /// Deletes an image, and waits until it is gone.
    async fn delete_image_number(&self, id: i32) -> Result<(), ConnectorError> {
        wait::until(wait::IMAGE, || async move {
            let Some(image) = self.api.image(id).await? else { return Ok(Some(())) };
            if image.number("STATE") == Some(DELETING) {
                return Ok(None);
            }
            match self.api.delete_image(id).await {
                Ok(()) => Ok(None),
                Err(error) if error.class == ErrorClass::NotFound => Ok(Some(())),
                // It is still being copied.
                Err(error) if error.class == ErrorClass::Conflict => Ok(None),
                Err(error) => Err(error),
            }
        })
        .await
    }
}
