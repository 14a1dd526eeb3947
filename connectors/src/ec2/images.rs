//! Images: those of a machine's disks that are made here, and those that an account can use.

use super::{
    Ec2,
    map::{self, IMAGE, INFRASTRUCTURE, OF_IMAGE, invalid},
    replies::{Image, Images, MadeImage, Snapshot, Snapshots, tag},
    request::Call,
};
use crate::{CloudImage, ConnectorError, ErrorClass, ImageIntent, VmMark, contract::is_named};
use std::collections::BTreeMap;

/// Owners whose images anybody may start.
const PUBLISHERS: [&str; 3] = ["self", "amazon", "aws-marketplace"];

fn marks(image: &ImageIntent) -> Vec<(String, String)> {
    vec![
        (INFRASTRUCTURE.to_owned(), image.infrastructure.clone()),
        (IMAGE.to_owned(), image.uid.0.clone()),
        ("Name".to_owned(), image.name.clone()),
    ]
}

/// Names as EC2 takes them: 3 to 128 letters, digits and some others.
fn check_name(name: &str) -> Result<(), ConnectorError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "()[] ./-'@_".contains(c);
    if (3..=128).contains(&name.chars().count()) && name.chars().all(is_plain) {
        return Ok(());
    }
    Err(invalid("The name of an image has 3 to 128 characters in EC2: letters, digits, spaces and ()[]./-'@_"))
}

impl Ec2 {
    /// The image that an attempt made; a snapshot where it is of a data disk.
    async fn made(&self, region: &str, image: &ImageIntent) -> Result<(Vec<Image>, Vec<Snapshot>), ConnectorError> {
        let marked = |action| {
            Call::new(action)
                .filter(&format!("tag:{INFRASTRUCTURE}"), [&image.infrastructure])
                .filter(&format!("tag:{IMAGE}"), [&image.uid.0])
        };
        let images = self.api.list::<Images>(region, marked("DescribeImages").list("Owner", ["self"])).await?;
        let snapshots = self.api.list::<Snapshots>(region, marked("DescribeSnapshots").list("Owner", ["self"])).await?;
        Ok((images, snapshots))
    }

    /// Makes the image of a disk, or finds it. Disk 0 becomes an image, a data disk a snapshot.
    pub(super) async fn capture(&self, vm: &VmMark, image: &ImageIntent) -> Result<String, ConnectorError> {
        let (region, instance) = self.existing(vm).await?;
        check_name(&image.name)?;
        let (images, snapshots) = self.made(&region, image).await?;
        if let Some(known) = images.first() {
            return Ok(map::image_url(&region, &known.image_id));
        }
        if image.disk > 0 {
            if let Some(known) = snapshots.first() {
                return Ok(map::image_url(&region, &known.snapshot_id));
            }
            let letter = map::device(&crate::NewDisk { index: image.disk, ..Default::default() })?;
            let root = instance.root_device_name.as_deref().unwrap_or_default();
            let data = instance.block_device_mapping.iter().filter(|device| device.device_name != root);
            let data: Vec<_> = data.collect();
            let named = data.iter().find(|device| device.device_name == letter);
            let volume = named.or(data.get(image.disk - 1)).and_then(|device| device.ebs.as_ref());
            let none = || invalid(format!("The machine has no disk {}", image.disk));
            let volume = volume.and_then(|ebs| ebs.volume_id.as_deref()).ok_or_else(none)?;
            let call = Call::new("CreateSnapshot")
                .with("VolumeId", volume)
                .with("Description", format!("Disk {} of {}", image.disk, instance.instance_id))
                .tagged("snapshot", &marks(image));
            let made: Snapshot = self.api.call(&region, &call).await?;
            return Ok(map::image_url(&region, &made.snapshot_id));
        }
        let mut call = Call::new("CreateImage")
            .with("InstanceId", &instance.instance_id)
            .with("Name", &image.name)
            .with("Description", format!("Disk 0 of {}", instance.instance_id))
            .with("NoReboot", true);
        let root = instance.root_device_name.as_deref().unwrap_or_default();
        let others = instance.block_device_mapping.iter().filter(|device| device.device_name != root);
        for (index, device) in others.enumerate() {
            let prefix = format!("BlockDeviceMapping.{}", index + 1);
            call =
                call.with(format!("{prefix}.DeviceName"), &device.device_name).with(format!("{prefix}.NoDevice"), "");
        }
        let call = call.tagged("image", &marks(image)).tagged("snapshot", &marks(image));
        let made: MadeImage = self.api.call(&region, &call).await?;
        Ok(map::image_url(&region, &made.image_id))
    }

    /// Deletes what an attempt to make an image left.
    pub(super) async fn discard(&self, image: &ImageIntent) -> Result<(), ConnectorError> {
        let region = self.region(&image.location).to_owned();
        let (images, snapshots) = self.made(&region, image).await?;
        for image in &images {
            self.delete_one(&region, image).await?;
        }
        for snapshot in &snapshots {
            self.delete_snapshot(&region, &snapshot.snapshot_id).await?;
        }
        Ok(())
    }

    /// Deletes an image and its snapshots, or a snapshot; only those that were made here.
    pub(super) async fn delete_url(&self, url: &str) -> Result<(), ConnectorError> {
        let Some((region, name)) = map::image(url) else { return Ok(()) };
        let foreign = || {
            let text = format!("The image {url} was not made by this service: it is not deleted");
            ConnectorError::new(ErrorClass::Denied, text)
        };
        if name.starts_with("snap-") {
            let call = Call::new("DescribeSnapshots").filter("snapshot-id", [name]);
            for snapshot in self.api.list::<Snapshots>(region, call).await? {
                if tag(&snapshot.tag_set, IMAGE).is_none() {
                    return Err(foreign());
                }
                self.delete_snapshot(region, &snapshot.snapshot_id).await?;
            }
            return Ok(());
        }
        let call = Call::new("DescribeImages").filter("image-id", [name]).list("Owner", ["self"]);
        for image in self.api.list::<Images>(region, call).await? {
            if tag(&image.tag_set, IMAGE).is_none() {
                return Err(foreign());
            }
            self.delete_one(region, &image).await?;
        }
        // What an earlier attempt left, which got no further than the image.
        let call = Call::new("DescribeSnapshots").filter(&format!("tag:{OF_IMAGE}"), [name]).list("Owner", ["self"]);
        for snapshot in self.api.list::<Snapshots>(region, call).await? {
            self.delete_snapshot(region, &snapshot.snapshot_id).await?;
        }
        Ok(())
    }

    async fn delete_one(&self, region: &str, image: &Image) -> Result<(), ConnectorError> {
        let disks = image.block_device_mapping.iter().filter_map(|device| device.ebs.as_ref());
        let snapshots: Vec<_> = disks.filter_map(|ebs| ebs.snapshot_id.as_deref()).collect();
        if !snapshots.is_empty() {
            let call = Call::new("CreateTags")
                .list("ResourceId", &snapshots)
                .with("Tag.1.Key", OF_IMAGE)
                .with("Tag.1.Value", &image.image_id);
            self.api.delete(region, &call).await?;
        }
        self.api.delete(region, &Call::new("DeregisterImage").with("ImageId", &image.image_id)).await?;
        for snapshot in snapshots {
            self.delete_snapshot(region, snapshot).await?;
        }
        Ok(())
    }

    async fn delete_snapshot(&self, region: &str, snapshot: &str) -> Result<(), ConnectorError> {
        self.api.delete(region, &Call::new("DeleteSnapshot").with("SnapshotId", snapshot)).await
    }

    /// The images of the account; with `distribution`, those of publishers that are called so, too. The newest first.
    pub(super) async fn list_images(
        &self,
        filters: &BTreeMap<String, String>,
    ) -> Result<Vec<CloudImage>, ConnectorError> {
        let wish = |name: &str| filters.get(name).map(String::as_str).filter(|text| !text.is_empty());
        let region = wish("region").unwrap_or_else(|| self.api.default_region());
        let call = Call::new("DescribeImages")
            .filter("architecture", ["x86_64", "arm64"])
            .filter("image-type", ["machine"])
            .filter("virtualization-type", ["hvm"])
            .filter("state", ["available"])
            .filter("root-device-type", ["ebs"]);
        let call = match wish("distribution") {
            // EC2 tells letter cases apart. All that publishers have would be a hundred thousand.
            Some(name) => call.list("Owner", PUBLISHERS).filter("name", spellings(name)),
            None => call.list("Owner", ["self"]),
        };
        let mut images = self.api.list::<Images>(region, call).await?;
        images.sort_by(|one, other| (&other.creation_date, &one.image_id).cmp(&(&one.creation_date, &other.image_id)));
        let listed = images.into_iter().filter(|image| is_named(&image.name, filters));
        let listed = listed.map(|image| CloudImage {
            uri: map::image_url(region, &image.image_id),
            name: format!("{region}/{}", image.name),
        });
        Ok(listed.collect())
    }
}

/// Patterns for a word in the spellings that names of images have.
fn spellings(word: &str) -> Vec<String> {
    let lower = word.to_lowercase();
    let mut letters = lower.chars();
    let title = letters.next().map(|first| first.to_uppercase().chain(letters).collect::<String>());
    let mut words = vec![lower.clone(), lower.to_uppercase()];
    words.extend(title);
    words.push(word.to_owned());
    words.sort_unstable();
    words.dedup();
    words.into_iter().map(|word| format!("*{word}*")).collect()
}
