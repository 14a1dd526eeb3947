//! Changes of a machine that exists: capacity, disks, public address.

use super::{
    OpenNebula,
    map::{self, Nic},
    network,
    state::State,
    template::Template,
    xml::Element,
};
use crate::{ConnectorError, ErrorClass, PublicAddress, Resize, VmMark};
use radl::{Features, Network};

impl OpenNebula {
    pub(super) async fn alter(&self, vm: &VmMark, resize: &Resize) -> Result<(), ConnectorError> {
        let refused = |class, text: &str| Err(ConnectorError::new(class, text));
        if resize.instance_type.is_some() {
            return refused(ErrorClass::Unsupported, "instance_type: OpenNebula has no named sizes");
        }
        if resize.gpu_count.is_some() {
            return refused(ErrorClass::Unsupported, "gpu.count: OpenNebula changes no accelerators of a machine");
        }
        let mut capacity = Template::default();
        let megabytes = resize.memory.map(|bytes| (bytes as f64 / 1e6).ceil());
        map::capacity(&mut capacity, resize.cpu_count, megabytes)?;
        let (id, found) = self.at_rest(vm).await?;
        let disks = self.new_disks(&found, resize).await?;
        let addition = match &resize.public_address {
            Some(PublicAddress::Add { network, pool }) if map::added_nics(&found).is_empty() => {
                Some(self.public_nic(vm, network, pool.as_deref()).await?)
            }
            _ => None,
        };
        if !capacity.text().is_empty() {
            self.change_capacity(id, &found, resize.cpu_count, megabytes, &capacity).await?;
        }
        for disk in disks {
            self.settled(id).await?;
            self.api.attach_disk(id, disk.text()).await?;
        }
        if let Some(nic) = addition {
            self.settled(id).await?;
            self.api.attach_nic(id, nic.addition().text()).await?;
        }
        if resize.public_address == Some(PublicAddress::Remove) {
            let added: Vec<i32> = map::added_nics(&found).iter().filter_map(|nic| nic.number("NIC_ID")).collect();
            for nic in added {
                self.settled(id).await?;
                self.api.detach_nic(id, nic).await?;
            }
        }
        self.settled(id).await.map(drop)
    }

    /// Changes cores and memory, for which the machine is off for a moment. A machine that is off already was so by an
    /// earlier attempt, or by its guest: it is started.
    async fn change_capacity(
        &self,
        id: i32,
        found: &Element,
        cores: Option<f64>,
        megabytes: Option<f64>,
        capacity: &Template,
    ) -> Result<(), ConnectorError> {
        let is_so = |name: &str, wanted: Option<f64>| {
            wanted.is_none_or(|wanted| found.number::<f64>(&format!("TEMPLATE/{name}")) == Some(wanted))
        };
        let is_done = is_so("CPU", cores) && is_so("MEMORY", megabytes);
        let state = State::of(found);
        if is_done && !state.is_powered_off() {
            return Ok(());
        }
        if state.is_stopped() {
            let text = "A stopped machine of OpenNebula cannot change its size: start it first";
            return Err(ConnectorError::new(ErrorClass::Conflict, text));
        }
        if !state.is_powered_off() {
            self.settled(id).await?;
            self.api.action("poweroff", id).await?;
            self.until_machine(id, State::is_powered_off).await?;
        }
        let resized = if is_done { Ok(()) } else { self.api.resize(id, capacity.text()).await };
        // Whatever became of it, the machine runs again.
        self.api.action("resume", id).await?;
        resized?;
        self.until_machine(id, State::is_running).await.map(drop)
    }

    /// The disks that are not there yet, as OpenNebula wants them.
    ///
    /// # Errors
    /// `Invalid`: another disk is there, or what is asked for is none.
    async fn new_disks(&self, found: &Element, resize: &Resize) -> Result<Vec<Template>, ConnectorError> {
        let urls: Vec<_> = resize.disks.iter().filter_map(|disk| disk.source.url().map(str::to_owned)).collect();
        let images = self.image_ids(&urls).await?;
        let mut templates = Vec::new();
        for disk in &resize.disks {
            let image = disk.source.url().and_then(|url| images.get(url)).copied();
            match map::disk_of(found, disk.index) {
                Some(there) if map::is_same_disk(there, disk, image) => {}
                Some(_) => {
                    let text = format!("disk.{}: the machine has another disk of this number", disk.index);
                    return Err(ConnectorError::new(ErrorClass::Invalid, text));
                }
                None => {
                    let mut template = Template::default();
                    template.vector("DISK", &map::disk(disk, image)?);
                    templates.push(template);
                }
            }
        }
        Ok(templates)
    }

    /// An interface on a public network.
    async fn public_nic(&self, vm: &VmMark, network: &str, pool: Option<&str>) -> Result<Nic, ConnectorError> {
        let mut features = Features::new();
        features.set_text("outbound", "yes");
        if let Some(pool) = pool {
            features.set_text("provider_id", pool);
        }
        let wanted = Network { id: network.to_owned(), features, ..Network::default() };
        let networks = self.virtual_networks().await?;
        let vnet = network::choose(&wanted, &networks, &[])?;
        let groups = self.api.groups().await?;
        let name = format!("im-{}-{network}", vm.infrastructure);
        let group = groups.iter().find(|group| group.text("NAME") == Some(&name)).and_then(|group| group.number("ID"));
        Ok(Nic { network: network.to_owned(), vnet: vnet.id, group, ip: None, public: true })
    }
}
