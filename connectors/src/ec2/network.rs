//! Networks: VPCs and subnets that exist, those that are made for an infrastructure, and their end.
//!
//! An infrastructure has at most one VPC of ours in a region, with an Internet gateway, and a subnet for each network that
//! is to be created (and zone, where the location names one). A machine on networks without a subnet of their own is in the
//! first subnet of that VPC, or, where there is none, in the default VPC of the account.

use super::{
    client::Api,
    map::{self, INFRASTRUCTURE, NETWORK, invalid},
    replies::{
        Gateway, Gateways, MadeGateway, MadeSubnet, MadeVpc, Reservations, RouteTables, Subnet, Subnets, Tag, Vpc,
        Vpcs, tag,
    },
    request::Call,
};
use crate::{ConnectorError, ErrorClass, InfrastructureIntent, InfrastructureMark, Location};
use ipnetwork::{IpNetwork, Ipv4Network};
use radl::{Features, Network};
use std::net::Ipv4Addr;

/// Where the search for a free range begins, so that it meets those of other networks late.
const FIRST_RANGE: u16 = 128;
/// The range of a VPC that machines of ours are in is at least this wide: it is nobody else's.
const VPC_PREFIX: u8 = 16;
/// The smallest range that EC2 has.
const SMALLEST_PREFIX: u8 = 28;

/// The subnets of an infrastructure in a region, as far as they are needed.
pub(super) struct Subnetting<'a> {
    api: &'a Api,
    region: &'a str,
    location: &'a Location,
    infrastructure: &'a str,
    /// Those that carry its mark.
    own: Vec<Subnet>,
    /// Those that networks of the document name.
    named: Vec<Subnet>,
}

/// The VPC and the subnet that a `provider_id` names.
fn named(network: &Network) -> Result<Option<(&str, &str)>, ConnectorError> {
    let Some(text) = network.features.text("provider_id") else { return Ok(None) };
    let parts = text.split_once('.').filter(|(vpc, subnet)| vpc.starts_with("vpc-") && subnet.starts_with("subnet-"));
    let wrong = || invalid(format!("Incorrect provider_id value: {text}. It must be <vpc-id>.<subnet-id>."));
    parts.map(Some).ok_or_else(wrong)
}

fn is_created(network: &Network) -> bool {
    let wish = network.features.text("create");
    !network.is_public() && wish.is_some_and(|text| text.eq_ignore_ascii_case("yes"))
}

pub(super) fn provider_id(subnet: &Subnet) -> String {
    format!("{}.{}", subnet.vpc_id, subnet.subnet_id)
}

impl<'a> Subnetting<'a> {
    /// Looks what there is for these networks, in one request.
    pub(super) async fn look(
        api: &'a Api,
        region: &'a str,
        location: &'a Location,
        infrastructure: &'a str,
        networks: &[Network],
    ) -> Result<Self, ConnectorError> {
        let mut ids = Vec::new();
        for network in networks {
            ids.extend(named(network)?.map(|(_, subnet)| subnet.to_owned()));
        }
        let call = Call::new("DescribeSubnets").filter(&format!("tag:{INFRASTRUCTURE}"), [infrastructure]);
        let own = api.list::<Subnets>(region, call).await?;
        ids.retain(|id| own.iter().all(|subnet| subnet.subnet_id != *id));
        let named = if ids.is_empty() {
            Vec::new()
        } else {
            // A filter, for an id that is unknown would let all of them fail.
            api.list::<Subnets>(region, Call::new("DescribeSubnets").filter("subnet-id", ids)).await?
        };
        Ok(Self { api, region, location, infrastructure, own, named })
    }

    fn marks(&self) -> Vec<(String, String)> {
        vec![
            (INFRASTRUCTURE.to_owned(), self.infrastructure.to_owned()),
            ("Name".to_owned(), format!("im-{}", self.infrastructure)),
        ]
    }

    fn fits_zone(&self, subnet: &Subnet) -> bool {
        self.location.zone.as_ref().is_none_or(|zone| *zone == subnet.availability_zone)
    }

    /// The subnet of a network; none where it has none of its own, or it is still to be made.
    ///
    /// # Errors
    /// `Invalid` where `provider_id` names what is not there, and nothing says that it may be made; `Capacity` where the
    /// subnet is in another zone than the machine is to be in.
    pub(super) fn of(&self, network: &Network) -> Result<Option<&Subnet>, ConnectorError> {
        if let Some((vpc, id)) = named(network)? {
            let theirs = self.named.iter().find(|subnet| subnet.subnet_id == id);
            // One that was made for another infrastructure is a wish, where a network may be made.
            let usable = theirs.filter(|subnet| !is_created(network) || tag(&subnet.tag_set, INFRASTRUCTURE).is_none());
            if let Some(subnet) = usable {
                if subnet.vpc_id != vpc {
                    return Err(invalid(format!("Incorrect vpc value in provider_id value: {vpc}.{id}")));
                }
                if self.fits_zone(subnet) {
                    return Ok(Some(subnet));
                }
                let text = format!("The subnet {id} of network {} is in another zone", network.id);
                return Err(ConnectorError::new(ErrorClass::Capacity, text));
            }
            let is_own = self.own.iter().any(|subnet| subnet.subnet_id == id);
            if !is_own && !is_created(network) {
                return Err(invalid(format!("Incorrect subnet value in provider_id value: {vpc}.{id}")));
            }
        }
        let is_of = |subnet: &&Subnet| tag(&subnet.tag_set, NETWORK) == Some(&network.id) && self.fits_zone(subnet);
        Ok(if is_created(network) { self.own.iter().find(is_of) } else { None })
    }

    /// The subnet of machines whose networks have none of their own.
    pub(super) async fn home(&self, networks: &[Network]) -> Result<Subnet, ConnectorError> {
        for network in networks {
            if let Some(subnet) = self.of(network)? {
                return Ok(subnet.clone());
            }
        }
        let mut own: Vec<_> = self.own.iter().filter(|subnet| self.fits_zone(subnet)).collect();
        own.sort_by(|one, other| one.subnet_id.cmp(&other.subnet_id));
        match own.first() {
            Some(subnet) => Ok((*subnet).clone()),
            None => self.default_subnet().await,
        }
    }

    /// The subnet that the account uses where nothing is said: one of its default VPC, or of the VPC that is called so.
    async fn default_subnet(&self) -> Result<Subnet, ConnectorError> {
        let none = || ConnectorError::new(ErrorClass::Invalid, "No VPC.subnet specified and no VPC default found.");
        let zone = |call: Call| match &self.location.zone {
            Some(zone) => call.filter("availability-zone", [zone]),
            None => call,
        };
        let call = zone(Call::new("DescribeSubnets").filter("default-for-az", ["true"]));
        let mut found = self.api.list::<Subnets>(self.region, call).await?;
        if found.is_empty() {
            let call = Call::new("DescribeVpcs").filter("is-default", ["true"]);
            let mut vpcs = self.api.list::<Vpcs>(self.region, call).await?;
            if vpcs.is_empty() {
                let call = Call::new("DescribeVpcs").filter("tag:Name", ["default"]);
                vpcs = self.api.list::<Vpcs>(self.region, call).await?;
            }
            let vpc = vpcs.into_iter().next().ok_or_else(none)?;
            let call = zone(Call::new("DescribeSubnets").filter("vpc-id", [vpc.vpc_id]));
            found = self.api.list::<Subnets>(self.region, call).await?;
        }
        found.sort_by(|one, other| {
            let key = |subnet: &Subnet| (subnet.availability_zone.clone(), subnet.subnet_id.clone());
            key(one).cmp(&key(other))
        });
        found.into_iter().next().ok_or_else(none)
    }

    /// Makes the networks of an infrastructure that are to be created and are not there; what is to be written into the
    /// document of each.
    pub(super) async fn create(
        &mut self,
        intent: &InfrastructureIntent,
    ) -> Result<Vec<(String, Features)>, ConnectorError> {
        let mut lacking = Vec::new();
        for network in intent.networks.iter().filter(|network| is_created(network)) {
            if self.of(network)?.is_none() {
                lacking.push(network);
            }
        }
        let created = intent.networks.iter().filter(|network| is_created(network));
        let has_some =
            created.clone().any(|network| !self.own.is_empty() || lacking.iter().any(|other| other.id == network.id));
        if has_some {
            let used: Vec<IpNetwork> = intent.used_cidrs.clone();
            let mut used: Vec<Ipv4Network> = used
                .into_iter()
                .filter_map(|range| if let IpNetwork::V4(range) = range { Some(range) } else { None })
                .collect();
            used.extend(self.own.iter().filter_map(|subnet| subnet.cidr_block.parse::<Ipv4Network>().ok()));
            let mut ranges = Vec::new();
            for network in &lacking {
                let range = self.range(network, &used)?;
                used.push(range);
                ranges.push(range);
            }
            let vpc = self.vpc(&ranges).await?;
            self.open(&vpc).await?;
            // A new VPC gets its IPv6 block a moment later.
            let call = Call::new("DescribeVpcs").filter("vpc-id", [&vpc.vpc_id]);
            let vpc = self.api.list::<Vpcs>(self.region, call).await?.into_iter().next().unwrap_or(vpc);
            for (network, range) in lacking.iter().zip(ranges) {
                let subnet = self.subnet(&vpc, network, range).await?;
                self.own.push(subnet);
            }
        }
        let mut features = Vec::new();
        for network in created {
            let Some(subnet) = self.of(network)? else { continue };
            let mut written = Features::new();
            written.set_text("provider_id", &provider_id(subnet));
            written.set_text("cidr", &subnet.cidr_block);
            features.push((network.id.clone(), written));
        }
        Ok(features)
    }

    /// A range for a network. One that was chosen for another infrastructure (its `provider_id` says so) is a wish.
    fn range(&self, network: &Network, used: &[Ipv4Network]) -> Result<Ipv4Network, ConnectorError> {
        let pattern = network.features.text("cidr");
        let is_wish = network.features.has("provider_id");
        match (pattern, free(pattern, used)) {
            (_, Some(range)) if (VPC_PREFIX..=SMALLEST_PREFIX).contains(&range.prefix()) => Ok(range),
            (Some(_), None) if is_wish => {
                free(None, used).ok_or_else(|| invalid(format!("No range is free for network {}", network.id)))
            }
            (Some(pattern), Some(_)) => {
                Err(invalid(format!("The cidr {pattern} of network {} must have a prefix from /16 to /28", network.id)))
            }
            _ => {
                let asked = pattern.unwrap_or(radl::cidr::DEFAULT);
                Err(invalid(format!("The cidr {asked} of network {} is no IPv4 range, or in use", network.id)))
            }
        }
    }

    /// The VPC of the infrastructure, wide enough for these ranges.
    async fn vpc(&self, ranges: &[Ipv4Network]) -> Result<Vpc, ConnectorError> {
        let call = Call::new("DescribeVpcs").filter(&format!("tag:{INFRASTRUCTURE}"), [self.infrastructure]);
        let mut found = self.api.list::<Vpcs>(self.region, call).await?;
        found.sort_by(|one, other| one.vpc_id.cmp(&other.vpc_id));
        let vpc = match (found.into_iter().next(), ranges.first()) {
            (Some(vpc), _) => vpc,
            (None, Some(first)) => {
                let call = Call::new("CreateVpc")
                    .with("CidrBlock", wide(*first))
                    .with("AmazonProvidedIpv6CidrBlock", true)
                    .tagged("vpc", &self.marks());
                self.api.call::<MadeVpc>(self.region, &call).await?.vpc
            }
            (None, None) => {
                let id = self.own.first().map(|subnet| subnet.vpc_id.clone()).unwrap_or_default();
                let call = Call::new("DescribeVpcs").filter("vpc-id", [id]);
                let found = self.api.list::<Vpcs>(self.region, call).await?;
                let missing = || ConnectorError::new(ErrorClass::Transient, "The VPC of the infrastructure is gone");
                found.into_iter().next().ok_or_else(missing)?
            }
        };
        let mut blocks: Vec<Ipv4Network> = std::iter::once(&vpc.cidr_block)
            .chain(vpc.cidr_block_association_set.iter().map(|block| &block.cidr_block))
            .filter_map(|block| block.parse().ok())
            .collect();
        for range in ranges {
            if !blocks.iter().any(|block| range.is_subnet_of(*block)) {
                let call =
                    Call::new("AssociateVpcCidrBlock").with("VpcId", &vpc.vpc_id).with("CidrBlock", wide(*range));
                self.api.run_once_known(self.region, &call).await?;
                blocks.push(wide(*range));
            }
        }
        Ok(vpc)
    }

    /// Connects a VPC of ours with the Internet: a gateway, attached, and routes to it.
    async fn open(&self, vpc: &Vpc) -> Result<(), ConnectorError> {
        let call =
            Call::new("DescribeInternetGateways").filter(&format!("tag:{INFRASTRUCTURE}"), [self.infrastructure]);
        let mut found = self.api.list::<Gateways>(self.region, call).await?;
        found.sort_by(|one, other| one.internet_gateway_id.cmp(&other.internet_gateway_id));
        let attached = found.iter().find(|gateway| is_attached(gateway, &vpc.vpc_id)).cloned();
        let gateway = match attached.or_else(|| found.into_iter().next()) {
            Some(gateway) => gateway,
            None => {
                let call = Call::new("CreateInternetGateway").tagged("internet-gateway", &self.marks());
                self.api.call::<MadeGateway>(self.region, &call).await?.internet_gateway
            }
        };
        if !is_attached(&gateway, &vpc.vpc_id) {
            let call = Call::new("AttachInternetGateway")
                .with("InternetGatewayId", &gateway.internet_gateway_id)
                .with("VpcId", &vpc.vpc_id);
            match self.api.run_once_known(self.region, &call).await {
                // Somebody else attached one in the meantime.
                Err(error) if error.class == ErrorClass::Conflict => {}
                result => result?,
            }
        }
        let call = Call::new("DescribeRouteTables").filter("vpc-id", [&vpc.vpc_id]);
        let tables = self.api.list::<RouteTables>(self.region, call).await?;
        let main = tables.iter().find(|table| table.association_set.iter().any(|link| link.main));
        let Some(table) = main.or(tables.first()) else {
            return Err(ConnectorError::new(ErrorClass::Transient, "The new VPC has no route table yet"));
        };
        let leads = |destination: &str| {
            table.route_set.iter().any(|route| {
                let to = route.destination_cidr_block.as_deref().or(route.destination_ipv6_cidr_block.as_deref());
                to == Some(destination) && route.gateway_id.is_some()
            })
        };
        let has_ipv6 = !vpc.ipv6_cidr_block_association_set.is_empty();
        let kinds = [("DestinationCidrBlock", "0.0.0.0/0", true), ("DestinationIpv6CidrBlock", "::/0", has_ipv6)];
        for (name, destination, _) in kinds.into_iter().filter(|(_, to, wanted)| *wanted && !leads(to)) {
            let call = Call::new("CreateRoute")
                .with("RouteTableId", &table.route_table_id)
                .with(name, destination)
                .with("GatewayId", &gateway.internet_gateway_id);
            match self.api.run_once_known(self.region, &call).await {
                Err(error) if error.class == ErrorClass::Conflict => {}
                result => result?,
            }
        }
        Ok(())
    }

    async fn subnet(&self, vpc: &Vpc, network: &Network, range: Ipv4Network) -> Result<Subnet, ConnectorError> {
        let mut marks = self.marks();
        marks.push((NETWORK.to_owned(), network.id.clone()));
        let blocks = vpc.ipv6_cidr_block_association_set.iter();
        let blocks = blocks.filter(|block| block.ipv6_cidr_block_state.state == "associated");
        let blocks = blocks.map(|block| block.ipv6_cidr_block.as_str());
        let mut taken: Vec<&str> = Vec::new();
        for subnet in &self.own {
            taken.extend(subnet.ipv6_cidr_block_association_set.iter().map(|block| block.ipv6_cidr_block.as_str()));
        }
        let call = Call::new("CreateSubnet")
            .with("VpcId", &vpc.vpc_id)
            .with("CidrBlock", range)
            .with_some("AvailabilityZone", self.location.zone.as_ref())
            .with_some("Ipv6CidrBlock", blocks.flat_map(ipv6_subnets).find(|range| !taken.contains(&range.as_str())))
            .tagged("subnet", &marks);
        let made: Result<MadeSubnet, _> = self.api.call_once_known(self.region, &call).await;
        let mut subnet = made?.subnet;
        if subnet.tag_set.is_empty() {
            // What was just asked for is so, whether the answer repeats it or not.
            subnet.tag_set.items = marks.into_iter().map(|(key, value)| Tag { key, value }).collect();
        }
        Ok(subnet)
    }
}

fn is_attached(gateway: &Gateway, vpc: &str) -> bool {
    gateway.attachment_set.iter().any(|attachment| attachment.vpc_id == vpc)
}

/// The range of a VPC that has room for a subnet and those to come.
fn wide(range: Ipv4Network) -> Ipv4Network {
    let prefix = range.prefix().min(VPC_PREFIX);
    let network = Ipv4Addr::from(u32::from(range.ip()) & (u32::MAX << (32 - u32::from(prefix))));
    Ipv4Network::new_checked(network, prefix).unwrap_or(range)
}

/// The subnets of 64 bits in the IPv6 block of a VPC, which has 56.
fn ipv6_subnets(block: &str) -> Vec<String> {
    let Ok(IpNetwork::V6(block)) = block.parse::<IpNetwork>() else { return Vec::new() };
    let base = u128::from(block.network());
    (0..256_u128).map(|number| format!("{}/64", std::net::Ipv6Addr::from(base + (number << 64)))).collect()
}

/// The first range of a pattern that overlaps none in use.
fn free(pattern: Option<&str>, used: &[Ipv4Network]) -> Option<Ipv4Network> {
    let candidates = radl::cidr::candidates(pattern.unwrap_or(radl::cidr::DEFAULT), FIRST_RANGE - 1);
    let ranges = candidates.map_while(|text| text.parse::<Ipv4Network>().ok());
    let ranges = ranges.filter_map(|range| Ipv4Network::new_checked(range.network(), range.prefix()));
    ranges.into_iter().find(|range| !used.iter().any(|other| other.overlaps(*range)))
}

/// Lets a VPC of ours lead what is for `cidr` through a machine.
pub(super) async fn route(
    api: &Api,
    region: &str,
    vpc: &str,
    cidr: &str,
    interface: &str,
) -> Result<(), ConnectorError> {
    let tables = api.list::<RouteTables>(region, Call::new("DescribeRouteTables").filter("vpc-id", [vpc])).await?;
    for table in tables {
        let known = table.route_set.iter().find(|route| route.destination_cidr_block.as_deref() == Some(cidr));
        let action = match known {
            Some(route) if route.network_interface_id.as_deref() == Some(interface) => continue,
            Some(_) => "ReplaceRoute",
            None => "CreateRoute",
        };
        let call = Call::new(action)
            .with("RouteTableId", &table.route_table_id)
            .with("DestinationCidrBlock", cidr)
            .with("NetworkInterfaceId", interface);
        api.run(region, &call).await?;
    }
    Ok(())
}

/// Whether a VPC was made for an infrastructure.
pub(super) async fn is_own_vpc(
    api: &Api,
    region: &str,
    vpc: &str,
    infrastructure: &str,
) -> Result<bool, ConnectorError> {
    let call =
        Call::new("DescribeVpcs").filter("vpc-id", [vpc]).filter(&format!("tag:{INFRASTRUCTURE}"), [infrastructure]);
    Ok(!api.list::<Vpcs>(region, call).await?.is_empty())
}

/// Deletes the networks of an infrastructure in a region.
pub(super) async fn delete(api: &Api, region: &str, infrastructure: &str) -> Result<(), ConnectorError> {
    let marked = |action| Call::new(action).filter(&format!("tag:{INFRASTRUCTURE}"), [infrastructure]);
    let subnets = api.list::<Subnets>(region, marked("DescribeSubnets")).await?;
    for subnet in subnets {
        api.delete(region, &Call::new("DeleteSubnet").with("SubnetId", &subnet.subnet_id)).await?;
    }
    for gateway in api.list::<Gateways>(region, marked("DescribeInternetGateways")).await? {
        let id = &gateway.internet_gateway_id;
        for attachment in gateway.attachment_set.iter() {
            let call =
                Call::new("DetachInternetGateway").with("InternetGatewayId", id).with("VpcId", &attachment.vpc_id);
            api.delete(region, &call).await?;
        }
        api.delete(region, &Call::new("DeleteInternetGateway").with("InternetGatewayId", id)).await?;
    }
    for vpc in api.list::<Vpcs>(region, marked("DescribeVpcs")).await? {
        api.delete(region, &Call::new("DeleteVpc").with("VpcId", &vpc.vpc_id)).await?;
    }
    Ok(())
}

/// Whether machines of an infrastructure are left in a region, in whatever zone.
pub(super) async fn is_used(api: &Api, region: &str, mark: &InfrastructureMark) -> Result<bool, ConnectorError> {
    let call = Call::new("DescribeInstances").filter(&format!("tag:{INFRASTRUCTURE}"), [&mark.infrastructure]);
    let found = api.list::<Reservations>(region, call).await?;
    Ok(found.iter().flat_map(|reservation| reservation.instances.iter()).any(map::is_alive))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ranges_begin_at_128_and_overlap_nothing() {
        let free = |pattern: Option<&str>, used: &[&str]| {
            let used: Vec<Ipv4Network> = used.iter().map(|text| text.parse().unwrap()).collect();
            free(pattern, &used).map(|range| range.to_string())
        };
        assert_eq!(free(None, &[]).as_deref(), Some("10.0.128.0/24"));
        assert_eq!(free(None, &["10.0.128.0/25", "10.0.129.0/24"]).as_deref(), Some("10.0.130.0/24"));
        assert_eq!(free(Some("192.168.7.9/24"), &[]).as_deref(), Some("192.168.7.0/24"));
        assert_eq!(free(Some("192.168.7.0/24"), &["192.168.0.0/16"]), None);
        assert_eq!(wide("10.0.128.0/24".parse().unwrap()).to_string(), "10.0.0.0/16");
        assert_eq!(ipv6_subnets("2600:1f18:1:2300::/56")[1], "2600:1f18:1:2301::/64");
    }
}
