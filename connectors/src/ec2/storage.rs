//! Volumes: data disks that are added to a machine, and volumes of the user that it is to have.

use super::{
    client::Api,
    map::{self, DEFAULT_VOLUME, DISK, DISK_SIZE, INFRASTRUCTURE, UID, VOLUME, gibibytes, invalid, source_id},
    replies::{Instance, Volume, Volumes, tag},
    request::Call,
};
use crate::{
    ConnectorError, DiskSource, ErrorClass, NewDisk, VmMark,
    http::{Handle, Patience, Progress},
};
use std::time::Duration;

/// New volumes and detached ones are there within seconds.
const SOON: Patience =
    Patience { first: Duration::from_secs(1), longest: Duration::from_secs(5), deadline: Duration::from_secs(60) };

/// What is to be done for a disk that a machine is to have.
pub(super) enum Step {
    /// It is there.
    Nothing,
    /// A volume of the user is to be attached at a device.
    Attach { tag: String, value: String },
    /// A volume is to be made, unless an earlier attempt did, and attached at a device.
    Make { disk: NewDisk, device: String, known: Option<String> },
}

/// What is to be done for a disk; refuses what is another disk than the one at its place.
pub(super) async fn plan(
    api: &Api,
    region: &str,
    vm: &VmMark,
    instance: &Instance,
    disk: &NewDisk,
) -> Result<Step, ConnectorError> {
    let device = map::device(disk)?;
    let there = instance.block_device_mapping.iter().find(|known| known.device_name == device);
    let there = there.and_then(|known| known.ebs.as_ref()).and_then(|ebs| ebs.volume_id.as_deref());
    let other = |what: &str| Err(invalid(format!("disk.{} is at {device} already, {what}", disk.index)));
    if let DiskSource::Volume(url) = &disk.source {
        let volume = source_id(url);
        if !volume.starts_with("vol-") {
            return Err(invalid(format!("disk.{}.image.url must end in the id of a volume (vol-...)", disk.index)));
        }
        return match there {
            Some(there) if there == volume => Ok(Step::Nothing),
            Some(there) => other(&format!("and is the volume {there}")),
            None => Ok(Step::Attach { tag: format!("{VOLUME}{}", disk.index), value: format!("{volume}={device}") }),
        };
    }
    let call = Call::new("DescribeVolumes");
    let call = match there {
        Some(volume) => call.filter("volume-id", [volume]),
        None => call
            .filter(&format!("tag:{INFRASTRUCTURE}"), [&vm.infrastructure])
            .filter(&format!("tag:{UID}"), [&vm.uid.0])
            .filter(&format!("tag:{DISK}"), [disk.index]),
    };
    let known = api.list::<Volumes>(region, call).await?.into_iter().next();
    if known.as_ref().is_some_and(|known| !is_of_size(known, disk.size)) {
        return other("with another size: EC2 disks that are attached are not resized");
    }
    Ok(match there {
        Some(_) => Step::Nothing,
        None => Step::Make { disk: disk.clone(), device, known: known.map(|known| known.volume_id) },
    })
}

/// Whether a volume is of the size that is asked for: of the bytes that it was made for, or else in whole GiB.
fn is_of_size(volume: &Volume, asked: Option<u64>) -> bool {
    let Some(asked) = asked else { return true };
    match tag(&volume.tag_set, DISK_SIZE).and_then(|size| size.parse::<u64>().ok()) {
        Some(made_for) => made_for == asked,
        None => volume.size == gibibytes(asked),
    }
}

/// Does what was planned.
pub(super) async fn take(
    api: &Api,
    region: &str,
    vm: &VmMark,
    instance: &Instance,
    step: &Step,
) -> Result<(), ConnectorError> {
    match step {
        Step::Nothing => Ok(()),
        Step::Attach { tag, value } => {
            tag_with(api, region, &instance.instance_id, tag, value).await?;
            let (volume, device) = value.split_once('=').unwrap_or((value, ""));
            attach(api, region, instance, volume, device).await
        }
        Step::Make { disk, device, known } => {
            let volume = match known {
                Some(known) => known.clone(),
                None => make(api, region, vm, instance, disk).await?,
            };
            wait_available(api, region, &volume).await?;
            attach(api, region, instance, &volume, device).await
        }
    }
}

/// Sets a tag of a machine.
pub(super) async fn tag_with(
    api: &Api,
    region: &str,
    instance: &str,
    key: &str,
    value: &str,
) -> Result<(), ConnectorError> {
    let call = Call::new("CreateTags").list("ResourceId", [instance]).with("Tag.1.Key", key).with("Tag.1.Value", value);
    api.run(region, &call).await
}

async fn make(
    api: &Api,
    region: &str,
    vm: &VmMark,
    instance: &Instance,
    disk: &NewDisk,
) -> Result<String, ConnectorError> {
    let mut marks = map::marks(&vm.infrastructure, &vm.uid);
    marks.push((DISK.to_owned(), disk.index.to_string()));
    marks.extend(disk.size.map(|size| (DISK_SIZE.to_owned(), size.to_string())));
    let snapshot = disk.source.url().map(source_id);
    if snapshot.is_some_and(|snapshot| !snapshot.starts_with("snap-")) {
        return Err(invalid(format!("disk.{}.image.url must end in the id of a snapshot (snap-...)", disk.index)));
    }
    let call = Call::new("CreateVolume")
        .with("AvailabilityZone", &instance.placement.availability_zone)
        .with("VolumeType", disk.disk_type.as_deref().unwrap_or(DEFAULT_VOLUME))
        .with_some("Size", disk.size.map(gibibytes))
        .with_some("SnapshotId", snapshot)
        .with("ClientToken", format!("{}-{}", instance.instance_id, disk.index))
        .tagged("volume", &marks);
    Ok(api.call::<Volume>(region, &call).await?.volume_id)
}

async fn wait_available(api: &Api, region: &str, volume: &str) -> Result<(), ConnectorError> {
    let ask = || async {
        let call = Call::new("DescribeVolumes").filter("volume-id", [volume]);
        let found = api.list::<Volumes>(region, call).await?.into_iter().next();
        Ok(match found.as_ref().map(|volume| volume.status.as_str()) {
            Some("available" | "in-use") => Progress::Done(()),
            Some("error") => {
                let text = format!("EC2 cannot make the volume {volume}");
                Progress::Failed(ConnectorError::new(ErrorClass::ProviderFailed, text))
            }
            _ => Progress::Running(None),
        })
    };
    SOON.wait(&Handle(format!("the volume {volume}")), ask).await
}

/// Attaches a volume where it is not attached yet.
async fn attach(
    api: &Api,
    region: &str,
    instance: &Instance,
    volume: &str,
    device: &str,
) -> Result<(), ConnectorError> {
    let call = Call::new("AttachVolume")
        .with("VolumeId", volume)
        .with("InstanceId", &instance.instance_id)
        .with("Device", device);
    match api.run_once_known(region, &call).await {
        Err(error) if matches!(error.class, ErrorClass::Conflict | ErrorClass::Invalid) => {
            let call = Call::new("DescribeVolumes").filter("volume-id", [volume]);
            let found = api.list::<Volumes>(region, call).await?;
            let mut attachments = found.iter().flat_map(|volume| volume.attachment_set.iter());
            let is_ours = attachments.any(|attachment| attachment.instance_id == instance.instance_id);
            if is_ours { Ok(()) } else { Err(error) }
        }
        result => result,
    }
}

/// Attaches the volumes of the user that the tags of a machine name.
pub(super) async fn attach_wanted(api: &Api, region: &str, instance: &Instance) -> Result<(), ConnectorError> {
    for (volume, device) in map::wanted_volumes(instance) {
        if !map::has_volume(instance, volume) {
            attach(api, region, instance, volume, device).await?;
        }
    }
    Ok(())
}

/// Deletes the volumes with the mark of a machine that is gone.
pub(super) async fn delete(api: &Api, region: &str, vm: &VmMark) -> Result<(), ConnectorError> {
    let call = Call::new("DescribeVolumes")
        .filter(&format!("tag:{INFRASTRUCTURE}"), [&vm.infrastructure])
        .filter(&format!("tag:{UID}"), [&vm.uid.0]);
    for volume in api.list::<Volumes>(region, call).await? {
        if matches!(volume.status.as_str(), "deleting" | "deleted") {
            continue;
        }
        let id = &volume.volume_id;
        if volume.status == "in-use" {
            // It is detached with its machine, a moment later.
            wait_detached(api, region, id).await?;
        }
        api.delete(region, &Call::new("DeleteVolume").with("VolumeId", id)).await?;
    }
    Ok(())
}

async fn wait_detached(api: &Api, region: &str, volume: &str) -> Result<(), ConnectorError> {
    let ask = || async {
        let call = Call::new("DescribeVolumes").filter("volume-id", [volume]);
        let found = api.list::<Volumes>(region, call).await?.into_iter().next();
        let is_used = found.is_some_and(|volume| volume.status == "in-use");
        Ok(if is_used { Progress::Running(None) } else { Progress::Done(()) })
    };
    SOON.wait(&Handle(format!("to detach {volume}")), ask).await
}
