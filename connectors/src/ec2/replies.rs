//! Replies of EC2, as far as their fields are used (names of the API reference, version 2016-11-15).

use serde::Deserialize;

/// A list of the API: `<nameSet><item>...</item></nameSet>`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Set<T> {
    #[serde(rename = "item", default = "Vec::new")]
    pub(super) items: Vec<T>,
}

impl<T> Default for Set<T> {
    fn default() -> Self {
        Self { items: Vec::new() }
    }
}

impl<T> std::ops::Deref for Set<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

/// A reply with a page of a list.
pub(super) trait Paged: serde::de::DeserializeOwned {
    type Item;
    /// How many things a page has, at most as many as the API allows.
    const PAGE: usize;

    /// What is on the page, and the token of the next one.
    fn page(self) -> (Vec<Self::Item>, Option<String>);
}

/// Declares the reply that has a list of one kind under one name.
macro_rules! paged {
    ($($reply:ident: $name:literal of $item:ty, by $page:literal;)*) => {$(
        #[derive(Debug, Deserialize)]
        pub(super) struct $reply {
            #[serde(rename = $name, default)]
            set: Set<$item>,
            #[serde(rename = "nextToken")]
            next: Option<String>,
        }

        impl Paged for $reply {
            type Item = $item;
            const PAGE: usize = $page;

            fn page(self) -> (Vec<$item>, Option<String>) {
                (self.set.items, self.next)
            }
        }
    )*};
}

paged! {
    Reservations: "reservationSet" of Reservation, by 1000;
    Images: "imagesSet" of Image, by 1000;
    Subnets: "subnetSet" of Subnet, by 1000;
    Vpcs: "vpcSet" of Vpc, by 1000;
    Gateways: "internetGatewaySet" of Gateway, by 1000;
    RouteTables: "routeTableSet" of RouteTable, by 100;
    Groups: "securityGroupInfo" of Group, by 1000;
    Addresses: "addressesSet" of ElasticAddress, by 1000;
    Volumes: "volumeSet" of Volume, by 1000;
    Snapshots: "snapshotSet" of Snapshot, by 1000;
    InstanceTypes: "instanceTypeSet" of InstanceType, by 100;
    Offerings: "instanceTypeOfferingSet" of Offering, by 1000;
    SpotPrices: "spotPriceHistorySet" of SpotPrice, by 1000;
    Interfaces: "networkInterfaceSet" of Interface, by 1000;
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Tag {
    pub(super) key: String,
    #[serde(default)]
    pub(super) value: String,
}

/// The value of a tag.
pub(super) fn tag<'a>(tags: &'a [Tag], key: &str) -> Option<&'a str> {
    tags.iter().find(|tag| tag.key == key).map(|tag| tag.value.as_str())
}

/// What RunInstances answers, and an item of DescribeInstances.
#[derive(Debug, Deserialize)]
pub(super) struct Reservation {
    #[serde(rename = "instancesSet", default)]
    pub(super) instances: Set<Instance>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Instance {
    pub(super) instance_id: String,
    pub(super) image_id: String,
    pub(super) instance_state: State,
    pub(super) state_reason: Option<StateReason>,
    pub(super) instance_type: String,
    pub(super) launch_time: String,
    pub(super) placement: Placement,
    pub(super) private_ip_address: Option<String>,
    pub(super) ip_address: Option<String>,
    pub(super) vpc_id: Option<String>,
    pub(super) architecture: String,
    pub(super) virtualization_type: String,
    pub(super) root_device_name: Option<String>,
    pub(super) block_device_mapping: Set<BlockDevice>,
    pub(super) network_interface_set: Set<Interface>,
    pub(super) source_dest_check: Option<bool>,
    pub(super) tag_set: Set<Tag>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub(super) struct State {
    pub(super) name: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct StateReason {
    #[serde(default)]
    pub(super) code: String,
    #[serde(default)]
    pub(super) message: String,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Placement {
    pub(super) availability_zone: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BlockDevice {
    #[serde(default)]
    pub(super) device_name: String,
    pub(super) ebs: Option<Ebs>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ebs {
    pub(super) volume_id: Option<String>,
    pub(super) snapshot_id: Option<String>,
    pub(super) volume_size: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Interface {
    pub(super) network_interface_id: String,
    pub(super) subnet_id: Option<String>,
    pub(super) private_ip_address: Option<String>,
    pub(super) attachment: Option<InterfaceAttachment>,
    pub(super) association: Option<Association>,
    #[serde(default)]
    pub(super) ipv6_addresses_set: Set<Ipv6Address>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InterfaceAttachment {
    pub(super) device_index: Option<u32>,
}

/// Who owns the public address: `amazon` for one that goes with the machine.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Association {
    pub(super) public_ip: Option<String>,
    pub(super) ip_owner_id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ipv6Address {
    pub(super) ipv6_address: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Image {
    pub(super) image_id: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) architecture: String,
    #[serde(default)]
    pub(super) creation_date: String,
    pub(super) root_device_name: Option<String>,
    #[serde(default)]
    pub(super) block_device_mapping: Set<BlockDevice>,
    #[serde(default)]
    pub(super) tag_set: Set<Tag>,
}

/// The answer to CreateImage.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MadeImage {
    pub(super) image_id: String,
}

/// An item of DescribeSnapshots, and the answer to CreateSnapshot.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Snapshot {
    pub(super) snapshot_id: String,
    #[serde(default)]
    pub(super) tag_set: Set<Tag>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Subnet {
    pub(super) subnet_id: String,
    pub(super) vpc_id: String,
    #[serde(default)]
    pub(super) cidr_block: String,
    #[serde(default)]
    pub(super) availability_zone: String,
    #[serde(default)]
    pub(super) tag_set: Set<Tag>,
    #[serde(default)]
    pub(super) ipv6_cidr_block_association_set: Set<Ipv6Block>,
}

/// The answer to CreateSubnet.
#[derive(Debug, Deserialize)]
pub(super) struct MadeSubnet {
    pub(super) subnet: Subnet,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Vpc {
    pub(super) vpc_id: String,
    #[serde(default)]
    pub(super) cidr_block: String,
    #[serde(default)]
    pub(super) cidr_block_association_set: Set<Block>,
    #[serde(default)]
    pub(super) ipv6_cidr_block_association_set: Set<Ipv6Block>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Block {
    #[serde(default)]
    pub(super) cidr_block: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ipv6Block {
    #[serde(default)]
    pub(super) ipv6_cidr_block: String,
    #[serde(default)]
    pub(super) ipv6_cidr_block_state: BlockState,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub(super) struct BlockState {
    pub(super) state: String,
}

/// The answer to CreateVpc.
#[derive(Debug, Deserialize)]
pub(super) struct MadeVpc {
    pub(super) vpc: Vpc,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Gateway {
    pub(super) internet_gateway_id: String,
    #[serde(default)]
    pub(super) attachment_set: Set<GatewayAttachment>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GatewayAttachment {
    pub(super) vpc_id: String,
}

/// The answer to CreateInternetGateway.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MadeGateway {
    pub(super) internet_gateway: Gateway,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RouteTable {
    pub(super) route_table_id: String,
    #[serde(default)]
    pub(super) route_set: Set<Route>,
    #[serde(default)]
    pub(super) association_set: Set<RouteAssociation>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Route {
    pub(super) destination_cidr_block: Option<String>,
    pub(super) destination_ipv6_cidr_block: Option<String>,
    pub(super) gateway_id: Option<String>,
    pub(super) network_interface_id: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RouteAssociation {
    #[serde(default)]
    pub(super) main: bool,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Group {
    pub(super) group_id: String,
    pub(super) group_name: String,
    #[serde(default)]
    pub(super) vpc_id: String,
    #[serde(default)]
    pub(super) ip_permissions: Set<Permission>,
    #[serde(default)]
    pub(super) tag_set: Set<Tag>,
}

/// The answer to CreateSecurityGroup.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MadeGroup {
    pub(super) group_id: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Permission {
    pub(super) ip_protocol: String,
    pub(super) from_port: Option<i32>,
    pub(super) to_port: Option<i32>,
    #[serde(default)]
    pub(super) groups: Set<GroupId>,
    #[serde(default)]
    pub(super) ip_ranges: Set<Range>,
    #[serde(default)]
    pub(super) ipv6_ranges: Set<Ipv6Range>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GroupId {
    #[serde(default)]
    pub(super) group_id: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Range {
    pub(super) cidr_ip: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ipv6Range {
    pub(super) cidr_ipv6: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ElasticAddress {
    #[serde(default)]
    pub(super) public_ip: String,
    pub(super) allocation_id: Option<String>,
    pub(super) association_id: Option<String>,
    pub(super) instance_id: Option<String>,
    #[serde(default)]
    pub(super) tag_set: Set<Tag>,
}

/// An item of DescribeVolumes, and the answer to CreateVolume.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Volume {
    pub(super) volume_id: String,
    #[serde(default)]
    pub(super) size: u64,
    #[serde(default)]
    pub(super) status: String,
    #[serde(default)]
    pub(super) attachment_set: Set<VolumeAttachment>,
    #[serde(default)]
    pub(super) tag_set: Set<Tag>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VolumeAttachment {
    #[serde(default)]
    pub(super) instance_id: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InstanceType {
    pub(super) instance_type: String,
    #[serde(rename = "vCpuInfo", default)]
    pub(super) cpu: CpuInfo,
    #[serde(default)]
    pub(super) memory_info: MemoryInfo,
    pub(super) instance_storage_info: Option<StorageInfo>,
    pub(super) gpu_info: Option<GpuInfo>,
    #[serde(default)]
    pub(super) processor_info: ProcessorInfo,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub(super) struct CpuInfo {
    #[serde(rename = "defaultVCpus", default)]
    pub(super) cores: u32,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub(super) struct MemoryInfo {
    #[serde(rename = "sizeInMiB", default)]
    pub(super) mebibytes: u64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct StorageInfo {
    #[serde(rename = "totalSizeInGB", default)]
    pub(super) gigabytes: u64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct GpuInfo {
    #[serde(default)]
    pub(super) gpus: Set<Gpu>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Gpu {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) manufacturer: String,
    #[serde(default)]
    pub(super) count: u32,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProcessorInfo {
    #[serde(default)]
    pub(super) supported_architectures: Set<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Offering {
    pub(super) location: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SpotPrice {
    pub(super) availability_zone: String,
    pub(super) spot_price: String,
}
