//! Orders, and replies as the published API gives them: what no emulator does.
#![allow(clippy::unwrap_used)]

use super::{
    map::{self, Nic, Public},
    replies::{Image, Instance, Paged, Reservations},
};
use crate::{Location, PowerState, PrivateNetworks, UserData, VmIntent, VmUid};
use radl::Radl;

const IMAGE: &str = "<item><imageId>ami-1</imageId><rootDeviceName>/dev/xvda</rootDeviceName><blockDeviceMapping><item>\
                     <deviceName>/dev/xvda</deviceName><ebs><snapshotId>snap-1</snapshotId><volumeSize>8</volumeSize></ebs>\
                     </item></blockDeviceMapping></item>";

fn intent(document: &str) -> VmIntent {
    let mut radl = Radl::parse(document).unwrap();
    let system = radl.systems.remove(0);
    VmIntent {
        infrastructure: "7f3c".to_owned(),
        location: Location { region: Some("us-east-1".to_owned()), ..Location::default() },
        uid: VmUid("7f3c-0-a1".to_owned()),
        number: 0,
        fqdn: "vnode-0.localdomain".to_owned(),
        requested: system.clone(),
        system,
        networks: radl.networks,
        tags: vec![("IM_USER".to_owned(), "joe".to_owned())],
        user_data: UserData::default(),
    }
}

fn nic(subnet: &str) -> Nic {
    Nic { subnet: subnet.to_owned(), groups: vec!["sg-1".to_owned()], address: None, has_ipv6: false }
}

#[test]
fn an_order_is_whole_and_marked() {
    let intent = intent(
        "network public (outbound = 'yes')\n\
         system front_end (net_interface.0.connection = 'public' and instance_type = 't3a.nano' and spot = 'yes' and\n\
         price = 0.01 and disk.0.size = 4G and disk.1.size = 1G and disk.1.device = 'hdb' and\n\
         disk.2.image.url = 'aws://us-east-1/snap-2' and disk.3.image.url = 'aws://us-east-1/vol-3' and\n\
         disk.0.os.credentials.public_key = 'mykey')",
    );
    let image: Image = quick_xml::de::from_str(IMAGE).unwrap();
    let call = map::order(&intent, &image, &[nic("subnet-1")], Some("us-east-1b"), "token").unwrap();
    for (name, value) in [
        ("ClientToken", "token"),
        ("KeyName", "mykey"),
        ("MetadataOptions.HttpTokens", "required"),
        ("Placement.AvailabilityZone", "us-east-1b"),
        ("NetworkInterface.1.DeviceIndex", "0"),
        ("NetworkInterface.1.SubnetId", "subnet-1"),
        ("NetworkInterface.1.SecurityGroupId.1", "sg-1"),
        ("NetworkInterface.1.AssociatePublicIpAddress", "true"),
        // Not smaller than the image.
        ("BlockDeviceMapping.1.DeviceName", "/dev/xvda"),
        ("BlockDeviceMapping.1.Ebs.VolumeSize", "8"),
        ("BlockDeviceMapping.1.Ebs.VolumeType", "gp3"),
        ("BlockDeviceMapping.2.DeviceName", "/dev/sdb"),
        ("BlockDeviceMapping.2.Ebs.VolumeSize", "1"),
        ("BlockDeviceMapping.3.DeviceName", "/dev/sdg"),
        ("BlockDeviceMapping.3.Ebs.SnapshotId", "snap-2"),
        ("InstanceMarketOptions.MarketType", "spot"),
        ("InstanceMarketOptions.SpotOptions.MaxPrice", "0.01"),
        ("TagSpecification.1.ResourceType", "spot-instances-request"),
        ("TagSpecification.2.ResourceType", "instance"),
        ("TagSpecification.2.Tag.1.Value", "7f3c"),
        ("TagSpecification.2.Tag.2.Value", "7f3c-0-a1"),
        ("TagSpecification.2.Tag.3.Value", "front-end-7f3c-0-a1"),
        ("TagSpecification.2.Tag.4.Key", "IM-VOLUME-3"),
        ("TagSpecification.2.Tag.4.Value", "vol-3=/dev/sdh"),
        ("TagSpecification.2.Tag.5.Value", "joe"),
        ("TagSpecification.3.ResourceType", "volume"),
        ("TagSpecification.4.ResourceType", "network-interface"),
    ] {
        assert_eq!(call.value(name), Some(value), "{name}");
    }
    assert_eq!(call.value("BlockDeviceMapping.4.DeviceName"), None, "a volume of the user is attached later");
    assert_eq!(call.value("UserData"), None, "nothing is to be said to a machine with a key pair of the account");
}

#[test]
fn public_addresses_come_as_the_document_says() {
    let inside =
        "network inside ()\nnetwork public (outbound = 'yes')\nsystem node (net_interface.0.connection = 'inside'";
    let of = |rest: &str, nics| map::public_address(&intent(&format!("{inside}{rest})")), nics);
    let elastic = |text: &str| Public::Elastic(text.to_owned());
    assert_eq!(of("", 1), Public::OfMachine);
    assert_eq!(of(" and ec2.associate_public_ip_address = 'no'", 1), Public::None);
    let public = " and net_interface.1.connection = 'public'";
    assert_eq!(of(&format!("{public} and ec2.associate_public_ip_address = 'no'"), 1), Public::OfMachine);
    assert_eq!(of(public, 2), elastic("elastic"));
    assert_eq!(of(&format!("{public} and net_interface.1.ip = '203.0.113.7'"), 1), elastic("203.0.113.7"));
}

/// An answer of DescribeInstances with an instance of this state and these tags.
fn instance(state: &str, reason: &str, tags: &str, association: &str) -> Instance {
    let reply = format!(
        "<DescribeInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>r</requestId><reservationSet>\
         <item><reservationId>r-1</reservationId><groupSet/><instancesSet><item><instanceId>i-1</instanceId>\
         <imageId>ami-1</imageId><instanceState><code>16</code><name>{state}</name></instanceState><privateDnsName/>\
         <stateReason><code>{reason}</code><message>{reason}: told</message></stateReason>\
         <instanceType>t3.nano</instanceType><launchTime>2024-02-29T12:34:56.000Z</launchTime>\
         <placement><availabilityZone>us-east-1b</availabilityZone></placement><privateIpAddress>10.0.128.4</privateIpAddress>\
         <sourceDestCheck>true</sourceDestCheck><architecture>x86_64</architecture><virtualizationType>hvm</virtualizationType>\
         <blockDeviceMapping/><tagSet><item><key>IM-INFRA-ID</key><value>7f3c</value></item>{tags}</tagSet>\
         <networkInterfaceSet><item><networkInterfaceId>eni-1</networkInterfaceId>\
         <privateIpAddress>10.0.128.4</privateIpAddress><attachment><deviceIndex>0</deviceIndex></attachment>{association}\
         <ipv6AddressesSet><item><ipv6Address>2600:1f18::4</ipv6Address></item></ipv6AddressesSet></item>\
         </networkInterfaceSet></item></instancesSet></item></reservationSet><nextToken>next</nextToken>\
         </DescribeInstancesResponse>"
    );
    let (mut reservations, next) = quick_xml::de::from_str::<Reservations>(&reply).unwrap().page();
    assert_eq!(next.as_deref(), Some("next"));
    reservations.remove(0).instances.items.remove(0)
}

#[test]
fn every_state_is_told_with_addresses_and_what_is_missing() {
    let observe = |instance: &Instance| map::observation("us-east-1", instance, None, &PrivateNetworks::default());
    for (state, reason, expected) in [
        ("pending", "pending", PowerState::Pending),
        ("running", "", PowerState::Running),
        ("stopping", "Client.UserInitiatedShutdown", PowerState::Running),
        ("stopped", "Client.UserInitiatedShutdown", PowerState::Stopped),
        ("shutting-down", "Client.UserInitiatedShutdown", PowerState::Off),
        ("terminated", "Client.UserInitiatedShutdown", PowerState::Off),
        ("terminated", "Server.SpotInstanceTermination", PowerState::Off),
        ("terminated", "Server.InternalError", PowerState::Failed),
        ("terminated", "Client.VolumeLimitExceeded", PowerState::Failed),
    ] {
        let seen = observe(&instance(state, reason, "", ""));
        assert_eq!(seen.state, expected, "{state} {reason}");
        assert_eq!(seen.fault.is_some(), reason.starts_with("Server.") || reason.ends_with("Exceeded"), "{reason}");
    }
    let own = "<association><publicIp>203.0.113.9</publicIp><ipOwnerId>amazon</ipOwnerId></association>";
    let wants = "<item><key>IM-ADDRESS</key><value>elastic</value></item><item><key>IM-VOLUME-1</key>\
                 <value>vol-1=/dev/sdf</value></item><item><key>IM-ROUTER</key><value>yes</value></item>";
    let seen = observe(&instance("running", "", wants, own));
    let addresses: Vec<_> = seen.addresses.iter().map(|address| (address.ip.to_string(), address.public)).collect();
    let public = |ip: &str| (ip.to_owned(), true);
    assert_eq!(addresses, [("10.0.128.4".to_owned(), false), public("203.0.113.9"), public("2600:1f18::4")]);
    assert_eq!(seen.missing, ["the volume vol-1", "an elastic address", "routes through it"]);
    assert_eq!(seen.infrastructure.as_deref(), Some("7f3c"));
    assert_eq!(seen.features.integer("launch_time", ""), Some(1_709_210_096));
    assert_eq!(seen.features.text("availability_zone"), Some("us-east-1b"));
    let elastic = "<association><publicIp>203.0.113.7</publicIp><ipOwnerId>123456789012</ipOwnerId></association>";
    let fixed = "<item><key>IM-ADDRESS</key><value>203.0.113.7</value></item>";
    assert!(observe(&instance("running", "", fixed, elastic)).missing.is_empty());
    assert!(observe(&instance("pending", "", wants, "")).missing.is_empty(), "not before it runs");
}
