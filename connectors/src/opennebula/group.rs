//! Security groups: what the `outports` of a network become.

use super::{map::INFRASTRUCTURE, template::Template};
use crate::{ConnectorError, ErrorClass};
use ipnetwork::IpNetwork;
use radl::{
    Network,
    outports::{self, Outport, Protocol},
};

/// The name of the group of a network; none where the network restricts nothing. The user's own (`sg_name`) may exist.
pub(super) fn name(infrastructure: &str, network: &Network) -> Option<String> {
    if let Some(name) = network.features.text("sg_name") {
        return Some(name.to_owned());
    }
    let restricts = network.is_public() || network.features.has("outports") || network.features.has("proxy_host");
    restricts.then(|| format!("im-{infrastructure}-{}", network.id))
}

/// The template of a group with our mark. A group of OpenNebula drops whatever it does not list, in both directions.
///
/// # Errors
/// `Invalid`: `outports` cannot be read.
pub(super) fn template(infrastructure: &str, network: &Network, name: &str) -> Result<Template, ConnectorError> {
    let rules = match network.features.text("outports") {
        Some(text) => {
            outports::parse(text).map_err(|error| ConnectorError::new(ErrorClass::Invalid, error.to_string()))?
        }
        None => Vec::new(),
    };
    let is_entrance = network.is_public() || network.features.has("proxy_host");
    let rules = if is_entrance { outports::with_ssh(rules) } else { rules };
    let mut template = Template::default();
    template.set("NAME", name);
    template.set("DESCRIPTION", "Security group created by the IM");
    template.set(INFRASTRUCTURE, infrastructure);
    template.vector("RULE", &[("PROTOCOL", "ALL".to_owned()), ("RULE_TYPE", "outbound".to_owned())]);
    for rule in &rules {
        template.vector("RULE", &inbound(rule)?);
    }
    Ok(template)
}

fn inbound(rule: &Outport) -> Result<Vec<(&'static str, String)>, ConnectorError> {
    let protocol = match rule.protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
        Protocol::Icmp => "ICMP",
    };
    let mut pairs = vec![("PROTOCOL", protocol.to_owned()), ("RULE_TYPE", "inbound".to_owned())];
    if rule.protocol != Protocol::Icmp {
        // Ports of a machine are not translated here: what is mapped elsewhere is opened as it is inside.
        let first = if rule.range { rule.remote } else { rule.local };
        pairs.push(("RANGE", format!("{first}:{}", rule.local)));
    }
    if let Some(cidr) = &rule.cidr {
        let invalid = || ConnectorError::new(ErrorClass::Invalid, format!("Invalid range '{cidr}' in outports"));
        let range: IpNetwork = cidr.parse().map_err(|_| invalid())?;
        let bits = if range.is_ipv4() { 32 } else { 128 };
        if range.prefix() > 0 {
            let size = 1_u128.checked_shl(u32::from(bits - range.prefix())).unwrap_or(u128::MAX);
            pairs.extend([("IP", range.network().to_string()), ("SIZE", size.to_string())]);
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use radl::Radl;

    fn network(text: &str) -> Network {
        Radl::parse(&format!("network net ({text})")).unwrap().networks.remove(0)
    }

    #[test]
    fn ports_are_rules_and_nothing_else_comes_in() {
        let public =
            network("outbound = 'yes' and outports = '8080,9000:9100,10.1.2.0/24-53/udp,8/icmp' and sg_name='test'");
        let text = template("inf", &public, "test").unwrap().text().to_owned();
        for line in [
            "NAME = \"test\"",
            "IM_INFRA_ID = \"inf\"",
            "RULE = [ PROTOCOL = \"ALL\", RULE_TYPE = \"outbound\" ]",
            "RULE = [ PROTOCOL = \"TCP\", RULE_TYPE = \"inbound\", RANGE = \"22:22\" ]",
            "RULE = [ PROTOCOL = \"TCP\", RULE_TYPE = \"inbound\", RANGE = \"8080:8080\" ]",
            "RULE = [ PROTOCOL = \"TCP\", RULE_TYPE = \"inbound\", RANGE = \"9000:9100\" ]",
            "RULE = [ PROTOCOL = \"UDP\", RULE_TYPE = \"inbound\", RANGE = \"53:53\", IP = \"10.1.2.0\", SIZE = \"256\" ]",
            "RULE = [ PROTOCOL = \"ICMP\", RULE_TYPE = \"inbound\" ]",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        assert_eq!(name("inf", &public).as_deref(), Some("test"));
        assert_eq!(name("inf", &network("outbound = 'yes'")).as_deref(), Some("im-inf-net"));
        assert_eq!(name("inf", &network("outbound = 'no'")), None);
    }
}
