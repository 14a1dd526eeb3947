#![doc = include_str!("docs.md")]

mod cloud;
mod disks;
mod first_boot;
mod image;
mod inventory;
mod limits;
mod map;
mod mark;
mod network;
mod node;
mod outports;
mod settings;
mod storage;
mod subnet;
#[cfg(test)]
mod tests;
mod tool;
mod tree;

pub use crate::settings::{DiskStorage, LocalSettings};
pub use cloud::LocalCloud;
pub use inventory::{LocalNetwork, LocalNode};

use crate::{
    account::CloudAccount,
    cloud_type::{CloudType, ConnectContext},
    contract::{
        Candidate, Capabilities, CloudImage, Connector, Found, GuestKind, Guests, ImageIntent, InfrastructureIntent,
        InfrastructureMark, Location, Observation, PowerOperation, ProviderId, Quota, Resize, SharedResources,
        VmIntent, VmMark, VmUid,
    },
    error::{ConnectorError, ErrorClass},
};
use async_trait::async_trait;
use radl::{Features, System};
use std::{collections::BTreeMap, sync::Arc};
use tool::{During, Result};

/// What the registry knows of this type of clouds. Somebody logs in to its nodes; there is one account: whoever may use the
/// host.
pub const CLOUD: CloudType = CloudType {
    kind: "Local",
    guests: Guests { kind: GuestKind::Machine, log_in: true },
    account_name: |_| String::new(),
    connect: |context, account| Ok(Arc::new(LocalConnector { cloud: local_cloud(context)?, account: account.clone() })),
};

/// The nodes on this host, for all who may use them.
pub(crate) fn local_cloud(context: &ConnectContext) -> Result<Arc<LocalCloud>> {
    context.singleton(|settings| {
        if !settings.local.enabled {
            let text = "Cloud provider not supported: Local (switched off on this server: [Local] ENABLED)";
            return Err(ConnectorError::new(ErrorClass::Unsupported, text));
        }
        LocalCloud::open(settings.local.clone())
    })
}

/// The connector of one credential line.
struct LocalConnector {
    cloud: Arc<LocalCloud>,
    account: CloudAccount,
}

impl LocalConnector {
    /// Runs work that blocks. It goes on when the caller stops waiting; the next call waits for its lock.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&LocalCloud) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let cloud = Arc::clone(&self.cloud);
        let done = tokio::task::spawn_blocking(move || work(&cloud)).await;
        done.map_err(std::io::Error::from).during("working")?
    }
}

#[async_trait]
impl Connector for LocalConnector {
    fn capabilities(&self) -> Capabilities {
        self.cloud.capabilities
    }

    async fn candidates(&self, system: &System) -> Result<Vec<Candidate>> {
        let images = self.cloud.state.images();
        let systems = map::candidates(system, &self.account, |name| image::find(&images, name).is_ok())?;
        Ok(systems.into_iter().map(Candidate::from).collect())
    }

    async fn ensure_shared(&self, intent: &InfrastructureIntent) -> Result<SharedResources> {
        let intent = intent.clone();
        self.blocking(move |cloud| {
            let mut shared = SharedResources::default();
            for network in &intent.networks {
                let made = cloud.networks().ensure(Some(network), &intent)?;
                let mut features = Features::new();
                features.set_text("provider_id", &made.bridge);
                features.set_text("cidr", &made.cidr.to_string());
                shared.networks.insert(network.id.clone(), features);
            }
            Ok(shared)
        })
        .await
    }

    async fn create_vm(&self, intent: &VmIntent) -> Result<ProviderId> {
        let intent = intent.clone();
        self.blocking(move |cloud| cloud.create(&intent)).await
    }

    async fn find(&self, mark: &InfrastructureMark) -> Result<Vec<Found>> {
        let infrastructure = mark.infrastructure.clone();
        self.blocking(move |cloud| {
            let ours = cloud.state.all_vms()?.into_iter().filter(|mark| mark.infrastructure == infrastructure);
            let found = |uid: VmUid| Found { id: ProviderId(uid.0.clone()), uid, location: Location::default() };
            Ok(ours.map(|mark| found(mark.uid)).collect())
        })
        .await
    }

    async fn observe(&self, _location: &Location, ids: &[ProviderId]) -> Result<Vec<Observation>> {
        let ids = ids.to_owned();
        self.blocking(move |cloud| ids.iter().filter_map(|id| cloud.observe(id).transpose()).collect()).await
    }

    async fn delete_vm(&self, vm: &VmMark) -> Result<()> {
        let vm = vm.clone();
        self.blocking(move |cloud| match cloud.locked(&map::id_of(&vm))? {
            Some((_lock, mark)) => vm.admit(Some(&mark.infrastructure)).and_then(|()| cloud.remove(&mark)),
            None => Ok(()),
        })
        .await
    }

    async fn delete_shared(&self, mark: &InfrastructureMark) -> Result<()> {
        let infrastructure = mark.infrastructure.clone();
        self.blocking(move |cloud| cloud.networks().delete(&infrastructure).and_then(|()| cloud.state.sweep())).await
    }

    async fn power(&self, vm: &VmMark, operation: PowerOperation) -> Result<()> {
        let vm = vm.clone();
        self.blocking(move |cloud| cloud.power(&vm, operation)).await
    }

    async fn resize(&self, vm: &VmMark, resize: &Resize) -> Result<()> {
        let (vm, resize) = (vm.clone(), resize.clone());
        self.blocking(move |cloud| cloud.resize(&vm, &resize)).await
    }

    async fn snapshot(&self, vm: &VmMark, image: &ImageIntent) -> Result<String> {
        if image.disk != 0 {
            return Err(ConnectorError::new(ErrorClass::Unsupported, "The local cloud makes images of disk 0 only"));
        }
        let (vm, image) = (vm.clone(), image.clone());
        self.blocking(move |cloud| {
            let (_lock, mark) = cloud.existing(&vm)?;
            image::make(&cloud.state.images(), &image, &cloud.state.folder(&mark.uid.0).join("upper"))
        })
        .await
    }

    async fn discard_snapshot(&self, image: &ImageIntent) -> Result<()> {
        let image = image.clone();
        self.blocking(move |cloud| image::discard(&cloud.state.images(), &image).and_then(|()| cloud.release())).await
    }

    async fn delete_image(&self, url: &str, _location: &Location) -> Result<()> {
        let url = url.to_owned();
        self.blocking(move |cloud| match image::name(&url) {
            Some(name) => image::delete(&cloud.state.images(), name).and_then(|()| cloud.release()),
            // What another cloud has is not here.
            None => Ok(()),
        })
        .await
    }

    async fn images(&self, _filters: &BTreeMap<String, String>) -> Result<Vec<CloudImage>> {
        self.blocking(|cloud| {
            let names = std::iter::once(image::HOST.to_owned()).chain(image::list(&cloud.state.images())?);
            Ok(names.map(|name| CloudImage { uri: image::url(&name), name }).collect())
        })
        .await
    }

    async fn quotas(&self, _region: Option<&str>) -> Result<BTreeMap<String, Quota>> {
        self.blocking(|cloud| {
            let marks = cloud.state.all_vms()?;
            let cores = marks.iter().filter_map(|mark| mark.cpu_count).sum();
            let memory = marks.iter().filter_map(|mark| mark.memory).sum::<u64>() as f64 / 1e9;
            let instances = Quota { used: marks.len() as f64, limit: cloud.settings.max_vms as f64 };
            let unlimited = |used| Quota { used, limit: -1.0 };
            Ok([("instances", instances), ("cores", unlimited(cores)), ("ram", unlimited(memory))]
                .map(|(name, quota)| (name.to_owned(), quota))
                .into())
        })
        .await
    }
}
