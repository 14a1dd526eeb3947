//! Security groups: one in which the machines of an infrastructure reach each other, one for each of its networks with the
//! ports that it opens, one for Windows.

use super::{
    client::Api,
    map::{INFRASTRUCTURE, NETWORK},
    replies::{Group, Groups, MadeGroup, Permission, tag},
    request::Call,
};
use crate::{ConnectorError, ErrorClass, GuestOs};
use ipnetwork::Ipv4Network;
use radl::{
    Network,
    outports::{Outport, Protocol, with_ssh},
};
use std::collections::BTreeSet;

/// The description of groups of ours, as the Python IM writes it.
const DESCRIPTION: &str = "Security group created by the IM";
/// WinRM over HTTPS.
const WINRM: u16 = 5986;

/// A rule: protocol, ports (-1: all), and who may come: a range, or a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Rule {
    protocol: String,
    from: i32,
    to: i32,
    source: Source,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    V4(String),
    V6(String),
    Group(String),
}

/// A group that a machine is to be in.
struct Wanted {
    name: String,
    /// Its name where the other one is that of a group of another infrastructure.
    instead: String,
    network: Option<String>,
    /// Rules for ranges; none for the group whose members reach each other.
    rules: Option<BTreeSet<Rule>>,
}

impl Wanted {
    fn own(name: String, network: Option<String>, rules: Option<BTreeSet<Rule>>) -> Self {
        Self { instead: name.clone(), name, network, rules }
    }
}

/// The groups of machines on these networks.
fn wanted(infrastructure: &str, networks: &[Network], os: GuestOs) -> Vec<Wanted> {
    let mut groups = vec![Wanted::own(format!("im-{infrastructure}"), None, None)];
    for network in networks {
        let has_proxy = network.features.has("proxy_host");
        let ports = network.outports();
        let ports = if network.is_public() || has_proxy { with_ssh(ports) } else { ports };
        let rules = Some(ports.iter().flat_map(rules_of).collect());
        let own = Wanted::own(format!("im-{infrastructure}-{}", network.id), Some(network.id.clone()), rules);
        let name = network.features.text("sg_name").map_or_else(|| own.name.clone(), str::to_owned);
        groups.push(Wanted { name, ..own });
    }
    if os == GuestOs::Windows {
        let rules = Some(rules_of(&Outport::tcp(WINRM)).collect());
        groups.push(Wanted::own(format!("im-{infrastructure}.windows"), None, rules));
    }
    groups
}

/// The rules that open a port: from everywhere for IPv6, too.
fn rules_of(port: &Outport) -> impl Iterator<Item = Rule> + use<> {
    let (from, to) = match port.protocol {
        // The port is the type of message; all of its codes.
        Protocol::Icmp if port.local == 0 => (-1, -1),
        Protocol::Icmp => (i32::from(port.local), -1),
        // EC2 translates no ports: what listens inside is what is opened.
        _ if port.range => (i32::from(port.remote), i32::from(port.local)),
        _ => (i32::from(port.local), i32::from(port.local)),
    };
    // As EC2 tells it, without bits of a host.
    let cidr = port.effective_cidr();
    let cidr = cidr.parse::<Ipv4Network>().map(|range| format!("{}/{}", range.network(), range.prefix()));
    let cidr = cidr.unwrap_or_else(|_| port.effective_cidr().to_owned());
    let everywhere = cidr == "0.0.0.0/0" && port.protocol != Protocol::Icmp;
    let protocol = port.protocol.as_str().to_owned();
    let v6 = everywhere.then(|| Source::V6("::/0".to_owned()));
    std::iter::once(Source::V4(cidr)).chain(v6).map(move |source| Rule { protocol: protocol.clone(), from, to, source })
}

/// The rules that a group has.
fn present(group: &Group) -> BTreeSet<Rule> {
    let of = |permission: &Permission| {
        let protocol = permission.ip_protocol.clone();
        let (from, to) = (permission.from_port.unwrap_or(-1), permission.to_port.unwrap_or(-1));
        let v4 = permission.ip_ranges.iter().map(|range| Source::V4(range.cidr_ip.clone()));
        let v6 = permission.ipv6_ranges.iter().map(|range| Source::V6(range.cidr_ipv6.clone()));
        let groups = permission.groups.iter().map(|group| Source::Group(group.group_id.clone()));
        let sources: Vec<_> = v4.chain(v6).chain(groups).collect();
        sources.into_iter().map(move |source| Rule { protocol: protocol.clone(), from, to, source })
    };
    group.ip_permissions.iter().flat_map(of).collect()
}

/// A request about rules of a group.
fn change(action: &'static str, group: &str, rules: &[&Rule]) -> Call {
    let call = Call::new(action).with("GroupId", group);
    rules.iter().enumerate().fold(call, |call, (index, rule)| {
        let prefix = format!("IpPermissions.{}", index + 1);
        let call = call.with(format!("{prefix}.IpProtocol"), &rule.protocol);
        let call = if rule.protocol == "-1" {
            call
        } else {
            call.with(format!("{prefix}.FromPort"), rule.from).with(format!("{prefix}.ToPort"), rule.to)
        };
        match &rule.source {
            Source::V4(cidr) => call.with(format!("{prefix}.IpRanges.1.CidrIp"), cidr),
            Source::V6(cidr) => call.with(format!("{prefix}.Ipv6Ranges.1.CidrIpv6"), cidr),
            Source::Group(id) => call.with(format!("{prefix}.Groups.1.GroupId"), id),
        }
    })
}

/// The ids of the groups for these networks in a VPC, made and given their rules where that is to be done. A group of the
/// user (`sg_name`) is used as it is.
pub(super) async fn ensure(
    api: &Api,
    region: &str,
    vpc: &str,
    infrastructure: &str,
    networks: &[Network],
    os: GuestOs,
) -> Result<Vec<String>, ConnectorError> {
    let wanted = wanted(infrastructure, networks, os);
    let known = look(api, region, vpc, &wanted).await?;
    let mut ids: Vec<String> = Vec::new();
    for group in wanted {
        let called = |name: &str| known.iter().find(|known| known.group_name == name);
        let owner = |known: &'_ Group| tag(&known.tag_set, INFRASTRUCTURE).map(str::to_owned);
        let is_theirs = called(&group.name).and_then(owner).is_some_and(|owner| owner != infrastructure);
        let group = if is_theirs { Wanted { name: group.instead.clone(), ..group } } else { group };
        let (id, rules) = match called(&group.name) {
            Some(known) if owner(known).is_none() => {
                ids.push(known.group_id.clone());
                continue;
            }
            Some(known) => (known.group_id.clone(), present(known)),
            None => make(api, region, vpc, infrastructure, &group).await?,
        };
        let among = Rule { protocol: "-1".to_owned(), from: -1, to: -1, source: Source::Group(id.clone()) };
        let target = group.rules.clone().unwrap_or_else(|| BTreeSet::from([among]));
        let (more, less): (Vec<_>, Vec<_>) = (target.difference(&rules).collect(), rules.difference(&target).collect());
        if !more.is_empty() {
            let call = change("AuthorizeSecurityGroupIngress", &id, &more);
            match api.run_once_known(region, &call).await {
                // Somebody else was faster.
                Err(error) if error.class == ErrorClass::Conflict => {}
                result => result?,
            }
        }
        if !less.is_empty() {
            api.delete(region, &change("RevokeSecurityGroupIngress", &id, &less)).await?;
        }
        ids.push(id);
    }
    ids.dedup();
    Ok(ids)
}

async fn look(api: &Api, region: &str, vpc: &str, wanted: &[Wanted]) -> Result<Vec<Group>, ConnectorError> {
    let call = Call::new("DescribeSecurityGroups")
        .filter("vpc-id", [vpc])
        .filter("group-name", wanted.iter().flat_map(|group| [&group.name, &group.instead]).collect::<BTreeSet<_>>());
    api.list::<Groups>(region, call).await
}

/// Makes a group, or finds the one that somebody else just made; its id and rules.
async fn make(
    api: &Api,
    region: &str,
    vpc: &str,
    infrastructure: &str,
    group: &Wanted,
) -> Result<(String, BTreeSet<Rule>), ConnectorError> {
    let mut marks = vec![(INFRASTRUCTURE.to_owned(), infrastructure.to_owned())];
    marks.extend(group.network.clone().map(|network| (NETWORK.to_owned(), network)));
    let call = Call::new("CreateSecurityGroup")
        .with("GroupName", &group.name)
        .with("GroupDescription", DESCRIPTION)
        .with("VpcId", vpc)
        .tagged("security-group", &marks);
    match api.call_once_known::<MadeGroup>(region, &call).await {
        Ok(made) => Ok((made.group_id, BTreeSet::new())),
        Err(error) if error.class == ErrorClass::Conflict => {
            let found = look(api, region, vpc, std::slice::from_ref(group)).await?.into_iter().next();
            found.map(|known| (known.group_id.clone(), present(&known))).ok_or(error)
        }
        Err(error) => Err(error),
    }
}

/// Deletes the groups of an infrastructure in a region, all that can be.
pub(super) async fn delete(api: &Api, region: &str, infrastructure: &str) -> Result<(), ConnectorError> {
    let call = Call::new("DescribeSecurityGroups").filter(&format!("tag:{INFRASTRUCTURE}"), [infrastructure]);
    let mut failure = None;
    for group in api.list::<Groups>(region, call).await? {
        let call = Call::new("DeleteSecurityGroup").with("GroupId", &group.group_id);
        if let Err(error) = api.delete(region, &call).await {
            failure = Some(error);
        }
    }
    failure.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn network(features: &str) -> Network {
        radl::Radl::parse(&format!("network net ({features})")).unwrap().networks.remove(0)
    }

    /// A group: its name, and ports and source of each rule.
    type Told = (String, Vec<(i32, i32, Source)>);

    fn rules(networks: &[Network]) -> Vec<Told> {
        let short = |rule: Rule| (rule.from, rule.to, rule.source);
        let of = |group: Wanted| (group.name, group.rules.unwrap_or_default().into_iter().map(short).collect());
        wanted("inf", networks, GuestOs::Linux).into_iter().map(of).collect()
    }

    #[test]
    fn networks_open_what_they_say() {
        let v4 = |cidr: &str| Source::V4(cidr.to_owned());
        let v6 = || Source::V6("::/0".to_owned());
        let groups = rules(&[network("outbound = 'yes' and outports = '8080,9000:9100/udp,10.0.0.0/8-5432/tcp'")]);
        assert_eq!(groups[0], ("im-inf".to_owned(), Vec::new()));
        let all = v4("0.0.0.0/0");
        let expected = vec![
            (22, 22, all.clone()),
            (22, 22, v6()),
            (5432, 5432, v4("10.0.0.0/8")),
            (8080, 8080, all.clone()),
            (8080, 8080, v6()),
            (9000, 9100, all),
            (9000, 9100, v6()),
        ];
        assert_eq!(groups[1], ("im-inf-net".to_owned(), expected));
        assert_eq!(rules(&[network("sg_name = 'sgname'")])[1], ("sgname".to_owned(), Vec::new()));
        assert_eq!(wanted("inf", &[], GuestOs::Windows)[1].rules.as_ref().unwrap().len(), 2);
    }

    #[test]
    fn what_a_group_has_is_what_was_asked_for() {
        let answer = "<r><groupId>sg-1</groupId><groupName>n</groupName><ipPermissions><item><ipProtocol>tcp</ipProtocol>\
            <fromPort>22</fromPort><toPort>22</toPort><groups/><ipRanges><item><cidrIp>0.0.0.0/0</cidrIp></item></ipRanges>\
            <ipv6Ranges><item><cidrIpv6>::/0</cidrIpv6></item></ipv6Ranges></item><item><ipProtocol>-1</ipProtocol>\
            <groups><item><userId>1</userId><groupId>sg-1</groupId></item></groups></item></ipPermissions></r>";
        let group: Group = quick_xml::de::from_str(answer).unwrap();
        let mut expected: BTreeSet<Rule> = rules_of(&Outport::tcp(22)).collect();
        let source = Source::Group("sg-1".to_owned());
        expected.insert(Rule { protocol: "-1".to_owned(), from: -1, to: -1, source });
        assert_eq!(present(&group), expected);
    }
}
