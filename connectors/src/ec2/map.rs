//! RADL to EC2 and back: names, ids, marks, orders and observations. Pure functions.

use super::{
    replies::{Image, Instance, InstanceType, Tag, tag},
    request::Call,
};
use crate::{
    Address, ConnectorError, DiskSource, ErrorClass, Guest, Location, NewDisk, Observation, PowerState,
    PrivateNetworks, ProviderId, VmIntent, VmUid,
};
use flate2::{Compression, write::GzEncoder};
use radl::Features;
use std::io::Write as _;

/// Mark of everything: the infrastructure.
pub(super) const INFRASTRUCTURE: &str = "IM-INFRA-ID";
/// Mark of what belongs to one machine: our id of it.
pub(super) const UID: &str = "IM-VM-UID";
/// Mark of images and their snapshots: our id of the image.
pub(super) const IMAGE: &str = "IM-IMAGE-UID";
/// Mark of snapshots whose image is about to be deleted: the image.
pub(super) const OF_IMAGE: &str = "IM-OF-IMAGE";
/// Mark of subnets and groups: the network of the document.
pub(super) const NETWORK: &str = "IM-SUBNET-ID";
/// Of a machine: the public address that it is to have, [`ELASTIC`], an address of the account, or nothing.
pub(super) const ADDRESS: &str = "IM-ADDRESS";
/// Any address that is not taken along by the machine.
pub(super) const ELASTIC: &str = "elastic";
/// Of a machine: that it forwards what is not for itself.
pub(super) const ROUTER: &str = "IM-ROUTER";
/// Of a machine whose type is being changed: whether it ran before.
pub(super) const RESIZING: &str = "IM-RESIZING";
/// Of a machine, with the number of the disk: the volume of the user that it is to have, and where (`vol-1=/dev/sdf`).
pub(super) const VOLUME: &str = "IM-VOLUME-";
/// Of a volume: number of its disk.
pub(super) const DISK: &str = "IM-DISK";
/// Of a volume: bytes that were asked for; EC2 has whole GiB.
pub(super) const DISK_SIZE: &str = "IM-DISK-SIZE";

/// Login where a document names none.
pub(super) const DEFAULT_USER: &str = "cloudadm";
/// Kind of volumes where a document names none.
pub(super) const DEFAULT_VOLUME: &str = "gp3";
const GIBIBYTE: u64 = 1 << 30;
/// User data that EC2 takes, in bytes.
const MOST_USER_DATA: usize = 16 << 10;

pub(super) fn invalid(text: impl Into<String>) -> ConnectorError {
    ConnectorError::new(ErrorClass::Invalid, text)
}

/// Region and name of `aws://<region>/<name>`.
pub(super) fn image(url: &str) -> Option<(&str, &str)> {
    let (region, name) = url.strip_prefix("aws://")?.split_once('/')?;
    (!region.is_empty() && !name.is_empty() && !name.contains('/')).then_some((region, name))
}

pub(super) fn image_url(region: &str, name: &str) -> String {
    format!("aws://{region}/{name}")
}

/// The daemon's id of a machine: `<region>;<instance>`.
pub(super) fn provider_id(region: &str, instance: &str) -> ProviderId {
    ProviderId(format!("{region};{instance}"))
}

/// Region and instance of an id; none of what is no id of ours.
pub(super) fn instance_id(id: &ProviderId) -> Option<(&str, &str)> {
    id.0.split_once(';').filter(|(region, instance)| !region.is_empty() && instance.starts_with("i-"))
}

/// The marks of what belongs to a machine.
pub(super) fn marks(infrastructure: &str, uid: &VmUid) -> Vec<(String, String)> {
    vec![(INFRASTRUCTURE.to_owned(), infrastructure.to_owned()), (UID.to_owned(), uid.0.clone())]
}

/// Whole GiB that hold so many bytes.
pub(super) fn gibibytes(bytes: u64) -> u64 {
    bytes.div_ceil(GIBIBYTE).max(1)
}

/// The device that a data disk is attached at: `/dev/sd<letter>`, the letter of the wish or of the number. EC2 recommends
/// `f` to `p` for data.
pub(super) fn device(disk: &NewDisk) -> Result<String, ConnectorError> {
    let wish = disk.device.as_deref().and_then(|device| device.chars().last()).filter(char::is_ascii_lowercase);
    let numbered = || u8::try_from(disk.index).ok().and_then(|index| (b'f' - 1).checked_add(index)).map(char::from);
    match wish.or_else(numbered).filter(char::is_ascii_lowercase) {
        Some(letter) => Ok(format!("/dev/sd{letter}")),
        None => Err(invalid(format!("disk.{} has no device: EC2 has /dev/sdb to /dev/sdz", disk.index))),
    }
}

/// The snapshot or the volume that a disk names: the last part of its URL.
pub(super) fn source_id(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or(url)
}

/// A name for the console: that of the system, and our id of the machine.
pub(super) fn display_name(intent: &VmIntent) -> String {
    let features = &intent.system.features;
    let name = features.text("instance_name").or_else(|| features.text("disk.0.image.name"));
    let name = name.unwrap_or(&intent.system.name).to_lowercase();
    let clean: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(63).collect();
    format!("{}-{}", clean.trim_matches('-'), intent.uid)
}

/// The name of a key pair of the account, where `public_key` is one and no key.
pub(super) fn key_name(intent: &VmIntent) -> Option<String> {
    let key = intent.login().public_key?;
    let key = key.trim();
    let is_name = !key.is_empty() && key.len() < 128 && !key.contains(char::is_whitespace) && !key.contains("-----");
    is_name.then(|| key.to_owned())
}

/// What is to be read at the first boot, in the form of the API.
pub(super) fn user_data(intent: &VmIntent) -> Result<Option<String>, ConnectorError> {
    let mut guest = Guest::of(intent, DEFAULT_USER);
    if key_name(intent).is_some() {
        guest.login = None;
    }
    let text = match intent.user_data.text(&guest)? {
        Some(text) => Some(text),
        None if guest.windows => windows_script(intent),
        None => None,
    };
    let Some(text) = text else { return Ok(None) };
    if text.len() <= MOST_USER_DATA {
        return Ok(Some(openssl::base64::encode_block(text.as_bytes())));
    }
    let failed = |error| ConnectorError::new(ErrorClass::Invalid, format!("The user data cannot be packed: {error}"));
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(text.as_bytes()).map_err(failed)?;
    let packed = packed.finish().map_err(failed)?;
    if guest.windows || packed.len() > MOST_USER_DATA {
        return Err(invalid("The user data are too long: EC2 takes 16 KiB, packed by gzip for Linux"));
    }
    Ok(Some(openssl::base64::encode_block(&packed)))
}

/// What lets Ansible in to Windows: the user with the password, and WinRM over HTTPS.
fn windows_script(intent: &VmIntent) -> Option<String> {
    let login = intent.login();
    let (user, password) = (login.username?, login.password?);
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let (user, password) = (quoted(&user), quoted(&password));
    Some(format!(
        "<powershell>\n\
         $user = {user}\n\
         $password = ConvertTo-SecureString {password} -AsPlainText -Force\n\
         if (Get-LocalUser -Name $user -ErrorAction SilentlyContinue) {{ Set-LocalUser -Name $user -Password $password }}\n\
         else {{ New-LocalUser -Name $user -Password $password -PasswordNeverExpires; \
         Add-LocalGroupMember -SID 'S-1-5-32-544' -Member $user }}\n\
         Enable-PSRemoting -Force -SkipNetworkProfileCheck\n\
         $certificate = New-SelfSignedCertificate -DnsName $env:COMPUTERNAME -CertStoreLocation Cert:\\LocalMachine\\My\n\
         New-Item -Path WSMan:\\localhost\\Listener -Transport HTTPS -Address * -CertificateThumbPrint $certificate.Thumbprint -Force\n\
         New-NetFirewallRule -DisplayName 'WinRM HTTPS' -Direction Inbound -Protocol TCP -LocalPort 5986 -Action Allow\n\
         </powershell>"
    ))
}

/// An interface of a machine that is ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Nic {
    /// Subnet.
    pub(super) subnet: String,
    /// Security groups.
    pub(super) groups: Vec<String>,
    /// The address in the subnet that is asked for.
    pub(super) address: Option<String>,
    /// Whether the subnet has IPv6.
    pub(super) has_ipv6: bool,
}

/// The public address that a machine is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Public {
    /// None.
    None,
    /// One that comes and goes with it.
    OfMachine,
    /// One that is assigned after its boot: [`ELASTIC`], or an address of the account.
    Elastic(String),
}

/// The public address that a system asks for, on so many interfaces.
pub(super) fn public_address(intent: &VmIntent, nics: usize) -> Public {
    let is_public = |id: &str| intent.networks.iter().any(|network| network.id == id && network.is_public());
    let mut wishes = intent.requested.interfaces().filter(|interface| is_public(interface.connection)).peekable();
    let has_public = wishes.peek().is_some();
    if let Some(fixed) = wishes.find_map(|interface| interface.ip) {
        return Public::Elastic(fixed.to_owned());
    }
    let refused = intent.system.features.text("ec2.associate_public_ip_address");
    if !has_public && refused.is_some_and(|text| text.eq_ignore_ascii_case("no")) {
        return Public::None;
    }
    match nics {
        0 | 1 => Public::OfMachine,
        // EC2 gives machines with several interfaces no address by itself.
        _ if has_public => Public::Elastic(ELASTIC.to_owned()),
        _ => Public::None,
    }
}

/// Whether a network of the document leads through machines of this system (`router = '<cidr>,<system>'`).
pub(super) fn routes(intent: &VmIntent) -> impl Iterator<Item = (&str, &str)> {
    intent.networks.iter().filter_map(|network| {
        let (cidr, system) = network.features.text("router")?.split_once(',')?;
        (system.trim() == intent.system.name).then_some((network.id.as_str(), cidr.trim()))
    })
}

/// The tags of a machine: marks, what is to be done after its boot, its name, and those of the document.
fn tags(intent: &VmIntent, public: &Public) -> Result<Vec<(String, String)>, ConnectorError> {
    let mut tags = marks(&intent.infrastructure, &intent.uid);
    tags.push(("Name".to_owned(), display_name(intent)));
    if let Public::Elastic(address) = public {
        tags.push((ADDRESS.to_owned(), address.clone()));
    }
    if routes(intent).next().is_some() {
        tags.push((ROUTER.to_owned(), "yes".to_owned()));
    }
    for disk in NewDisk::all_of(&intent.system) {
        if let DiskSource::Volume(url) = &disk.source {
            tags.push((format!("{VOLUME}{}", disk.index), format!("{}={}", source_id(url), device(&disk)?)));
        }
    }
    for (key, value) in &intent.tags {
        if tags.iter().all(|(known, _)| known != key || key == "Name") {
            tags.retain(|(known, _)| known != key);
            tags.push((key.clone(), value.clone()));
        }
    }
    Ok(tags)
}

/// The request for a machine. `token` makes the same request, sent again, give the same machine.
pub(super) fn order(
    intent: &VmIntent,
    image: &Image,
    nics: &[Nic],
    zone: Option<&str>,
    token: &str,
) -> Result<Call, ConnectorError> {
    let features = &intent.system.features;
    let kind = features.text("instance_type").ok_or_else(|| invalid("The system has no instance_type"))?;
    let public = public_address(intent, nics.len());
    let mut call = Call::new("RunInstances")
        .with("ClientToken", token)
        .with("ImageId", &image.image_id)
        .with("InstanceType", kind)
        .with("MinCount", 1)
        .with("MaxCount", 1)
        .with("MetadataOptions.HttpTokens", "required")
        // Containers of the machine may ask for its metadata, too.
        .with("MetadataOptions.HttpPutResponseHopLimit", 2)
        .with_some("KeyName", key_name(intent))
        .with_some("Placement.AvailabilityZone", zone)
        .with_some("UserData", user_data(intent)?);
    for (index, nic) in nics.iter().enumerate() {
        let prefix = format!("NetworkInterface.{}", index + 1);
        call = call
            .with(format!("{prefix}.DeviceIndex"), index)
            .with(format!("{prefix}.SubnetId"), &nic.subnet)
            .list(&format!("{prefix}.SecurityGroupId"), &nic.groups)
            .with_some(format!("{prefix}.PrivateIpAddress"), nic.address.as_ref())
            .with(format!("{prefix}.DeleteOnTermination"), true);
        if nic.has_ipv6 {
            call = call.with(format!("{prefix}.Ipv6AddressCount"), 1);
        }
        if nics.len() == 1 {
            call = call.with(format!("{prefix}.AssociatePublicIpAddress"), public == Public::OfMachine);
        }
    }
    call = disks(call, intent, image)?;
    if features.text("spot").is_some_and(|spot| spot.eq_ignore_ascii_case("yes")) {
        call = call
            .with("InstanceMarketOptions.MarketType", "spot")
            .with("InstanceMarketOptions.SpotOptions.SpotInstanceType", "one-time")
            .with("InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior", "terminate")
            .with_some("InstanceMarketOptions.SpotOptions.MaxPrice", features.number("price", ""))
            .tagged("spot-instances-request", &marks(&intent.infrastructure, &intent.uid));
    }
    let marks = marks(&intent.infrastructure, &intent.uid);
    Ok(call.tagged("instance", &tags(intent, &public)?).tagged("volume", &marks).tagged("network-interface", &marks))
}

/// The disks of a machine: that of its image, and empty ones and copies of snapshots. All go with it.
fn disks(mut call: Call, intent: &VmIntent, image: &Image) -> Result<Call, ConnectorError> {
    let features = &intent.system.features;
    let ebs = |call: Call, number: usize, device: &str, kind: Option<&str>, size: Option<u64>| {
        let prefix = format!("BlockDeviceMapping.{number}");
        call.with(format!("{prefix}.DeviceName"), device)
            .with(format!("{prefix}.Ebs.DeleteOnTermination"), true)
            .with(format!("{prefix}.Ebs.VolumeType"), kind.unwrap_or(DEFAULT_VOLUME))
            .with_some(format!("{prefix}.Ebs.VolumeSize"), size)
    };
    let mut number = 0;
    if let Some(root) = image.root_device_name.as_deref() {
        let own = image.block_device_mapping.iter().find(|device| device.device_name == root);
        let least = own.and_then(|device| device.ebs.as_ref()).and_then(|ebs| ebs.volume_size);
        let wish = features.number("disk.0.size", "").map(|bytes| gibibytes(bytes as u64));
        // An image of 8 GiB has no smaller disk.
        let size = wish.max(least);
        number = 1;
        call = ebs(call, number, root, features.text("disk.0.type"), size);
    }
    for disk in NewDisk::all_of(&intent.system) {
        if matches!(disk.source, DiskSource::Volume(_)) {
            continue;
        }
        number += 1;
        let size = disk.size.map(gibibytes);
        call = ebs(call, number, &device(&disk)?, disk.disk_type.as_deref(), size);
        if let DiskSource::Image(url) = &disk.source {
            let snapshot = source_id(url);
            if !snapshot.starts_with("snap-") {
                let text =
                    format!("disk.{}.image.url must be aws://<region>/snap-... or aws://<region>/vol-...", disk.index);
                return Err(invalid(text));
            }
            call = call.with(format!("BlockDeviceMapping.{number}.Ebs.SnapshotId"), snapshot);
        }
    }
    Ok(call)
}

/// Whether a machine is there, or is coming or stopping: it can be had.
pub(super) fn is_alive(instance: &Instance) -> bool {
    matches!(instance.instance_state.name.as_str(), "pending" | "running" | "stopping" | "stopped")
}

/// Our id of a machine.
pub(super) fn uid(tags: &[Tag]) -> Option<VmUid> {
    tag(tags, UID).map(|uid| VmUid(uid.to_owned()))
}

/// Where a machine is, as far as the place that was asked for tells places apart.
pub(super) fn location(region: &str, asked: &Location, instance: &Instance) -> Location {
    let zone = asked.zone.as_ref().map(|_| instance.placement.availability_zone.clone());
    Location { region: Some(region.to_owned()), zone, ..Location::default() }
}

/// The volumes of users that a machine is to have: volume and device.
pub(super) fn wanted_volumes(instance: &Instance) -> impl Iterator<Item = (&str, &str)> {
    let of_volumes = instance.tag_set.iter().filter(|tag| tag.key.starts_with(VOLUME));
    of_volumes.filter_map(|tag| tag.value.split_once('='))
}

/// Whether a volume is attached, or being attached.
pub(super) fn has_volume(instance: &Instance, volume: &str) -> bool {
    let mut attached = instance.block_device_mapping.iter().filter_map(|device| device.ebs.as_ref());
    attached.any(|ebs| ebs.volume_id.as_deref() == Some(volume))
}

/// The public address that a machine is to have besides that of its own: [`ELASTIC`], or an address of the account.
pub(super) fn wanted_address(instance: &Instance) -> Option<&str> {
    tag(&instance.tag_set, ADDRESS).filter(|address| !address.is_empty())
}

/// Whether a machine has the elastic address that it is to have.
pub(super) fn has_address(instance: &Instance, wanted: &str) -> bool {
    let mut associations = instance.network_interface_set.iter().filter_map(|nic| nic.association.as_ref());
    associations.any(|association| {
        association.ip_owner_id.as_deref() != Some("amazon")
            && association.public_ip.is_some()
            && (wanted == ELASTIC || association.public_ip.as_deref() == Some(wanted))
    })
}

/// What a machine lacks of what its tags say.
fn missing(instance: &Instance) -> Vec<String> {
    if !matches!(instance.instance_state.name.as_str(), "running" | "stopped") {
        return Vec::new();
    }
    let volumes = wanted_volumes(instance).filter(|(volume, _)| !has_volume(instance, volume));
    let volumes = volumes.map(|(volume, _)| format!("the volume {volume}"));
    let address = wanted_address(instance).filter(|wanted| !has_address(instance, wanted)).map(|wanted| match wanted {
        ELASTIC => "an elastic address".to_owned(),
        address => format!("the elastic address {address}"),
    });
    let routes = tag(&instance.tag_set, ROUTER).filter(|_| instance.source_dest_check == Some(true));
    volumes.chain(address).chain(routes.map(|_| "routes through it".to_owned())).collect()
}

/// The state of a machine, and the fault that it ended with.
fn state(instance: &Instance) -> (PowerState, Option<String>) {
    let reason = instance.state_reason.as_ref();
    match instance.instance_state.name.as_str() {
        "pending" => (PowerState::Pending, None),
        "running" | "stopping" => (PowerState::Running, None),
        "stopped" => (PowerState::Stopped, None),
        _ => {
            let failed = reason.filter(|reason| {
                let of_cloud = reason.code.starts_with("Server.") && !reason.code.starts_with("Server.Spot");
                let of_volumes =
                    ["Client.InternalError", "Client.InvalidSnapshot.NotFound", "Client.VolumeLimitExceeded"];
                of_cloud || of_volumes.contains(&reason.code.as_str())
            });
            let ended_by_market = reason.filter(|reason| reason.code.starts_with("Server.Spot"));
            let fault = failed.or(ended_by_market).map(|reason| reason.message.clone());
            (if failed.is_some() { PowerState::Failed } else { PowerState::Off }, fault)
        }
    }
}

/// What EC2 says of a machine; `size` is what its type is, where that is known.
pub(super) fn observation(
    region: &str,
    instance: &Instance,
    size: Option<&InstanceType>,
    private: &PrivateNetworks,
) -> Observation {
    let (state, fault) = state(instance);
    let mut features = Features::new();
    let id = provider_id(region, &instance.instance_id);
    features.set_text("instance_id", &id.0);
    match size {
        Some(size) => super::sizes::write(size, &mut features),
        None => features.set_text("instance_type", &instance.instance_type),
    }
    let texts = [
        ("availability_zone", &instance.placement.availability_zone),
        ("virtual_system_type", &instance.virtualization_type),
    ];
    for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        features.set_text(name, text);
    }
    if let Ok(time) = chrono::DateTime::parse_from_rfc3339(&instance.launch_time) {
        features.set_number("launch_time", time.timestamp(), "");
    }
    Observation {
        id,
        state,
        addresses: addresses(instance, private),
        ports: Vec::new(),
        features,
        fault,
        infrastructure: tag(&instance.tag_set, INFRASTRUCTURE).map(str::to_owned),
        missing: missing(instance),
    }
}

/// The addresses of a machine, by interface.
fn addresses(instance: &Instance, private: &PrivateNetworks) -> Vec<Address> {
    let mut nics: Vec<_> = instance.network_interface_set.iter().collect();
    nics.sort_by_key(|nic| nic.attachment.as_ref().and_then(|attachment| attachment.device_index));
    let mut texts: Vec<&str> = Vec::new();
    texts.extend(instance.ip_address.as_deref());
    texts.extend(instance.private_ip_address.as_deref());
    for nic in nics {
        texts.extend(nic.association.as_ref().and_then(|association| association.public_ip.as_deref()));
        texts.extend(nic.private_ip_address.as_deref());
        texts.extend(nic.ipv6_addresses_set.iter().map(|address| address.ipv6_address.as_str()));
    }
    let mut addresses: Vec<Address> = Vec::new();
    for ip in texts.into_iter().filter_map(|text| text.parse().ok()) {
        if addresses.iter().all(|known| known.ip != ip) {
            addresses.push(Address { ip, public: !private.contains(ip), network: None });
        }
    }
    addresses
}
