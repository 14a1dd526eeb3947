//! The cloud itself: opening it, and the life of a node from its mark to its removal.

use super::{
    disks, first_boot, image, limits, map,
    mark::{Mark, Phase, State},
    network::{self, Networks, Wanted},
    node::{Boot, show_disk},
    storage::{self, Storage},
    tool::{During, Result, installed, run},
    tree::{self, Identity, Tree},
};
use crate::{
    contract::{
        Capabilities, FirstLogin, Guests, InfrastructureIntent, Observation, PowerOperation, PowerState, ProviderId,
        Resize, VmIntent, VmMark,
    },
    error::{ConnectorError, ErrorClass},
    settings::LocalSettings,
};
use keypair::KeyType;
use std::{fs, io::ErrorKind, os::unix::fs::DirBuilderExt, path::Path, sync::Arc, time::Duration};

/// How long a node may take to end by itself when it is stopped.
const STOP_PATIENCE: Duration = Duration::from_secs(6);

/// The cloud on this host. Cheap to share; its state is on disk.
#[derive(Debug)]
pub struct LocalCloud {
    pub(super) settings: LocalSettings,
    pub(super) state: State,
    storage: Storage,
    pub(super) capabilities: Capabilities,
}

impl LocalCloud {
    /// Checks what the host offers and makes the state directory.
    ///
    /// # Errors
    /// `Denied` when switched off or not root, `Invalid` for settings that cannot be used, `Unsupported` naming the
    /// missing package.
    pub fn open(settings: LocalSettings) -> Result<Arc<Self>> {
        if !settings.enabled {
            return Err(ConnectorError::new(
                ErrorClass::Denied,
                "The local cloud is switched off ([Local] ENABLED = True switches it on)",
            ));
        }
        settings.check()?;
        if !nix::unistd::geteuid().is_root() {
            return Err(ConnectorError::new(ErrorClass::Denied, "The local cloud needs the daemon to run as root"));
        }
        for (program, package) in [
            ("ip", "iproute2"),
            ("sshd", "openssh-server"),
            ("sudo", "sudo"),
            ("setsid", "util-linux"),
            ("setpriv", "util-linux"),
            ("mount", "mount"),
            ("cp", "coreutils"),
        ] {
            if !installed(program) && !Path::new("/usr/sbin").join(program).is_file() {
                return Err(ConnectorError::new(
                    ErrorClass::Unsupported,
                    format!("The local cloud needs the program {program}: install the package {package}"),
                ));
            }
        }
        let filesystems = fs::read_to_string("/proc/filesystems").during("reading /proc/filesystems")?;
        if !filesystems.lines().any(|line| line.split_whitespace().last() == Some("overlay")) {
            return Err(ConnectorError::new(
                ErrorClass::Unsupported,
                "The local cloud needs the overlay file system: modprobe overlay",
            ));
        }
        let state = State::open(&settings.state_dir)?;
        state.sweep()?;
        let storage = storage::choose(&state, settings.storage)?;
        let outports = filter_works();
        if !outports {
            tracing::warn!("nft does not work here: the local cloud does not enforce outports");
        }
        let capabilities = Capabilities {
            guests: Guests::default(),
            first_login: FirstLogin::Daemon,
            stop_start: true,
            reboot: true,
            resize: true,
            attach_disk: disks::available(),
            public_address: false,
            snapshot: true,
            images: true,
            quotas: true,
            outports,
            networks: true,
            user_data: true,
        };
        Ok(Arc::new(Self { settings, state, storage, capabilities }))
    }

    pub(super) fn networks(&self) -> Networks<'_> {
        Networks { state: &self.state, settings: &self.settings, filter: self.capabilities.outports }
    }

    pub(super) fn create(&self, intent: &VmIntent) -> Result<ProviderId> {
        let uid = intent.uid.0.as_str();
        let id = ProviderId(uid.to_owned());
        let user = map::user(&intent.system);
        tree::check_names(&intent.fqdn, user)?;
        let sizes = map::sizes(&intent.system)?;
        let image = map::image_name(&intent.system)?;
        let cards = map::cards(intent)?;
        if !sizes.disks.is_empty() && !self.capabilities.attach_disk {
            return Err(ConnectorError::new(ErrorClass::Unsupported, "Data disks need loop devices and losetup"));
        }

        let mut mark = Mark {
            uid: intent.uid.clone(),
            infrastructure: intent.infrastructure.clone(),
            number: intent.number,
            fqdn: intent.fqdn.clone(),
            user: user.to_owned(),
            phase: Phase::Planned,
            stopped: false,
            cards: Vec::new(),
            disks: sizes.disks,
            cpu_count: sizes.cpu_count,
            memory: sizes.memory,
            image,
            process: None,
            control_groups: Vec::new(),
            tags: intent.tags.clone(),
            database: Some(self.settings.database.clone()),
        };
        // A uid that cannot be a file name fails here, before a lock is made of it.
        State::check_uid(uid)?;
        let _lock = self.state.lock_vm(uid)?;
        match self.state.vm(uid)? {
            Some(known) if known.phase == Phase::Made => return Ok(id),
            Some(half_made) => self.clear(&half_made)?,
            None => {
                let _lock = self.state.lock()?;
                if self.state.all_vms()?.len() >= self.settings.max_vms {
                    self.state.forget_vm(uid)?;
                    return Err(ConnectorError::new(
                        ErrorClass::Quota,
                        format!("The local cloud is limited to {} machines ([Local] MAX_VMS)", self.settings.max_vms),
                    ));
                }
                self.state.save_vm(&mark)?;
            }
        }
        let made = self.make(&mut mark, intent, cards);
        if made.is_err() {
            self.remove(&mark)?;
        }
        made.map(|()| id)
    }

    /// Makes a planned node and starts it.
    fn make(&self, mark: &mut Mark, intent: &VmIntent, cards: Vec<map::CardIntent<'_>>) -> Result<()> {
        // Whose networks it may use was decided when its networks were made.
        let known = InfrastructureIntent {
            infrastructure: mark.infrastructure.clone(),
            location: intent.location.clone(),
            owners: Vec::new(),
            networks: Vec::new(),
            used_cidrs: Vec::new(),
        };
        let mut wanted = Vec::new();
        for map::CardIntent { network, ip, openings } in cards {
            let reservation = self.networks().ensure(network, &known)?;
            wanted.push(Wanted { network: network.map(|network| network.id.clone()), reservation, ip, openings });
        }
        {
            let _lock = self.state.lock()?;
            let others: Vec<Mark> = self.state.all_vms()?.into_iter().filter(|other| other.uid != mark.uid).collect();
            mark.cards = network::assign(&others, wanted)?;
            mark.control_groups = if self.settings.limits { limits::plan(&mark.uid.0) } else { Vec::new() };
            self.state.save_vm(mark)?;
        }
        self.prepare(mark, intent)?;
        self.boot(mark)
    }

    /// Makes the files of a node.
    fn prepare(&self, mark: &Mark, intent: &VmIntent) -> Result<()> {
        let folder = self.state.folder(&mark.uid.0);
        let make = |path: &Path, mode: u32| {
            fs::DirBuilder::new().mode(mode).create(path).during(format_args!("making {}", path.display()))
        };
        {
            let _lock = self.state.lock()?;
            self.storage.occupy(&self.state)?;
            make(&folder, 0o700)?;
        }
        for part in ["work", "root"] {
            make(&folder.join(part), 0o700)?;
        }
        let upper = folder.join("upper");
        match &mark.image {
            Some(name) => image::copy(&image::find(&self.state.images(), name)?, &upper)?,
            None => make(&upper, 0o755)?,
        }
        let credentials = intent.login();
        let password = credentials
            .password
            .map(|password| {
                if password.contains(['\n', '\0']) {
                    return Err(ConnectorError::new(ErrorClass::Invalid, "A password must be one line"));
                }
                run("openssl", &["passwd", "-6", "-stdin"], &password).map(|hash| hash.trim().to_owned())
            })
            .transpose()?;
        let identity = Identity {
            fqdn: &mark.fqdn,
            machine_id: format!("{:032x}", rand::random::<u128>()),
            user: &mark.user,
            password,
            public_key: credentials.public_key.as_deref(),
            host_key: &host_key(&mark.fqdn)?,
            cards: &mark.cards,
            first_boot: first_boot::script(&intent.user_data)?,
        };
        Tree { upper: &upper }.prepare(&identity, self.settings.hidden())?;
        mark.disks.iter().try_for_each(|disk| disks::make(&folder, disk))
    }

    /// Starts a node whose files are there. It is on record before it does anything.
    fn boot(&self, mark: &mut Mark) -> Result<()> {
        let folder = self.state.folder(&mark.uid.0);
        {
            // The host may have been started again since the network was made.
            let _lock = self.state.lock()?;
            for card in &mark.cards {
                if let Some(reservation) = self.state.network(&card.bridge)? {
                    self.networks().make_bridge(&reservation)?;
                }
            }
        }
        let mut devices = Vec::new();
        for disk in &mark.disks {
            devices.push((disk.device.clone(), disks::attach(&folder, disk)?));
        }
        let boot = Boot {
            uid: mark.uid.0.clone(),
            fqdn: mark.fqdn.clone(),
            folder,
            cards: mark.cards.clone(),
            public_pool: self.settings.public_pool,
            filter: self.capabilities.outports,
            disks: devices,
            boot_id: boot_id(),
        };
        let waiting = boot.start()?;
        limits::apply(&mark.control_groups, mark.cpu_count, mark.memory, Some(waiting.process.pid));
        mark.process = Some(waiting.process.clone());
        mark.stopped = false;
        self.state.save_vm(mark)?;
        waiting.go()?;
        // Not before: a first process that was never let go ends with the daemon, and the node would count as made.
        if mark.phase == Phase::Planned {
            mark.phase = Phase::Made;
            self.state.save_vm(mark)?;
        }
        Ok(())
    }

    /// Ends a node and removes all of it but its mark.
    fn clear(&self, mark: &Mark) -> Result<()> {
        if let Some(process) = &mark.process {
            process.kill()?;
        }
        for index in 0..mark.cards.len() {
            network::remove_interface(&network::cable(&mark.uid.0, index))?;
        }
        limits::remove(&mark.control_groups)?;
        let folder = self.state.folder(&mark.uid.0);
        disks::detach(&folder, &mark.disks)?;
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other.during(format_args!("removing {}", folder.display())),
        }
    }

    pub(super) fn remove(&self, mark: &Mark) -> Result<()> {
        self.clear(mark)?;
        self.release()?;
        self.state.forget_vm(&mark.uid.0)
    }

    pub(super) fn release(&self) -> Result<()> {
        let _lock = self.state.lock()?;
        self.storage.release(&self.state)
    }

    /// The mark of a node, locked; the caller keeps the lock while it changes the node.
    pub(super) fn locked(&self, id: &ProviderId) -> Result<Option<(fs::File, Mark)>> {
        if self.state.vm(&id.0)?.is_none() {
            return Ok(None);
        }
        let lock = self.state.lock_vm(&id.0)?;
        match self.state.vm(&id.0)? {
            Some(mark) => Ok(Some((lock, mark))),
            None => {
                // Deleted while we waited: the lock file is our own.
                self.state.forget_vm(&id.0)?;
                Ok(None)
            }
        }
    }

    /// The node of a machine, locked, if it was made for this infrastructure.
    pub(super) fn existing(&self, vm: &VmMark) -> Result<(fs::File, Mark)> {
        let id = map::id_of(vm);
        let missing = || ConnectorError::new(ErrorClass::NotFound, format!("The local cloud has no machine {id}"));
        let (lock, mark) = self.locked(&id)?.filter(|(_, mark)| mark.phase == Phase::Made).ok_or_else(missing)?;
        vm.admit(Some(&mark.infrastructure))?;
        Ok((lock, mark))
    }

    pub(super) fn power(&self, vm: &VmMark, operation: PowerOperation) -> Result<()> {
        let (_lock, mut mark) = self.existing(vm)?;
        let running = mark.process.as_ref().filter(|process| process.alive());
        match (operation, running) {
            (PowerOperation::Start, Some(_)) => return Ok(()),
            (PowerOperation::Start, None) | (PowerOperation::Reboot, None) => {}
            (PowerOperation::Reboot, Some(process)) => process.kill()?,
            (PowerOperation::Stop, process) => {
                // On record first, so that a stop cut short is not taken for a crash of the node.
                let process = process.cloned();
                mark.stopped = true;
                self.state.save_vm(&mark)?;
                if let Some(process) = process {
                    process.stop(STOP_PATIENCE)?;
                }
                return disks::detach(&self.state.folder(&mark.uid.0), &mark.disks);
            }
        }
        self.boot(&mut mark)
    }

    pub(super) fn resize(&self, vm: &VmMark, resize: &Resize) -> Result<()> {
        let (_lock, mark) = self.existing(vm)?;
        let new = map::resized(&mark, resize)?;
        if new.disks.len() > mark.disks.len() && !self.capabilities.attach_disk {
            return Err(ConnectorError::new(ErrorClass::Unsupported, "Data disks need loop devices and losetup"));
        }
        self.state.save_vm(&new)?;
        let folder = self.state.folder(&new.uid.0);
        new.disks.iter().try_for_each(|disk| disks::make(&folder, disk))?;
        let Some(process) = new.process.as_ref().filter(|process| process.alive()) else { return Ok(()) };
        limits::apply(&new.control_groups, new.cpu_count, new.memory, None);
        for disk in &new.disks {
            let file = Path::new("/proc").join(process.pid.to_string()).join("root/dev").join(&disk.device);
            if !file.exists() {
                show_disk(process, &disk.device, &disks::attach(&folder, disk)?)?;
            }
        }
        Ok(())
    }

    pub(super) fn observe(&self, id: &ProviderId) -> Result<Option<Observation>> {
        let Some(mark) = self.state.vm(&id.0)? else { return Ok(None) };
        let state = match (&mark.process, mark.phase) {
            (_, Phase::Planned) => PowerState::Pending,
            (Some(process), _) if process.alive() => {
                if process.ready() {
                    PowerState::Running
                } else {
                    PowerState::Pending
                }
            }
            _ if mark.stopped => PowerState::Stopped,
            _ => PowerState::Off,
        };
        let features = map::features(&mark);
        let (addresses, infrastructure) = (map::addresses(&mark.cards), Some(mark.infrastructure));
        Ok(Some(Observation {
            id: id.clone(),
            state,
            addresses,
            features,
            fault: None,
            infrastructure,
            ports: Vec::new(),
            missing: Vec::new(),
        }))
    }
}

/// The private half of the key by which a node is known.
fn host_key(fqdn: &str) -> Result<String> {
    let pair = keypair::generate(KeyType::Ed25519, fqdn).map_err(std::io::Error::from).during("making a key pair")?;
    Ok(pair.private)
}

/// A random UUID (RFC 9562, version 4), as the kernel makes one at each boot.
fn boot_id() -> String {
    let random = rand::random::<u128>() & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{random:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Whether nft can add a table, tried in a network namespace of its own.
fn filter_works() -> bool {
    installed("nft")
        && std::thread::spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).is_ok()
                && run("nft", &["-f", "-"], &super::outports::ruleset(&[])).is_ok()
        })
        .join()
        .unwrap_or(false)
}
