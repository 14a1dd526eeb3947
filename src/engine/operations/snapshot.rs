//! Images that are made of disks.
//!
//! Races: the image is accepted as a work before the cloud is asked. A deletion of the machine or of the infrastructure that
//! comes meanwhile waits until the image is made; with `auto_delete` it then goes with the infrastructure.

use crate::engine::{
    error::OperationError,
    operations::change::{Change, Here, present},
    settings::Access,
    state::draft::{Done, Draft},
    transitions,
};
use connectors::{ConnectorError, ImageIntent, ImageUid};
use serde::{Deserialize, Serialize};

/// Makes an image of a disk.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotDisk {
    /// The machine.
    pub number: u32,
    /// The disk, from 0.
    pub disk: usize,
    /// Name of the image.
    pub name: String,
    /// Whether the image is deleted with the infrastructure.
    pub auto_delete: bool,
}

impl Change for SnapshotDisk {
    const NAME: &'static str = "snapshot";
    const ACCESS: Access = Access::Change;
    /// URL of the image.
    type Answer = String;

    /// Refused by clouds, the store.
    async fn perform(self, mut here: Here<'_>) -> Result<String, OperationError> {
        let Self { number, disk, name, auto_delete } = self;
        let shown = here.shown()?;
        here.claim(&shown.accounts).await;
        // What cannot be done at all is no work.
        let cloud = &present(&here.model, number)?.cloud;
        let connector = here.engine.services.connector(Some(&shown.accounts), cloud)?;
        if !connector.capabilities().snapshot {
            return Err(ConnectorError::unsupported().into());
        }
        let uid = ImageUid(uuid::Uuid::new_v4().to_string());
        let (infrastructure, location) = (here.id.to_owned(), cloud.location.clone());
        let image = ImageIntent { infrastructure, location, uid, disk, name };
        let snapshot = move |draft: &mut Draft| {
            present(&draft.model, number)?;
            let work = transitions::snapshot(draft, number, image, auto_delete);
            draft.keep(&shown);
            Ok(work)
        };
        match here.handle.change_and_wait(snapshot).await?.map_err(OperationError::Cloud)? {
            Done::Image(url) => Ok(url),
            Done::Machines(_) | Done::Forgotten(_) => Err(OperationError::UnknownVm),
        }
    }
}
