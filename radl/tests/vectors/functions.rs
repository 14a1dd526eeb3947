//! `semantics.json`: each group of cases runs one function of the crate.

use crate::{places, read_json, same};
use radl::placement::{self, Scores};
use radl::{Amount, Conflict, Deploy, Features, Radl, RadlError, System, merge, names, outports};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::net::IpAddr;

type Outcome = Result<Json, RadlError>;

fn features(body: &str) -> Result<Features, RadlError> {
    Ok(system(body)?.features)
}

fn system(body: &str) -> Result<System, RadlError> {
    Ok(Radl::parse(&format!("system s ({body})"))?.systems.remove(0))
}

fn text<'a>(input: &'a Json, key: &str) -> &'a str {
    input[key].as_str().unwrap_or_else(|| panic!("{key} of {input}"))
}

fn amount(value: &Json) -> Amount {
    value.as_i64().map_or_else(|| Amount::Float(value.as_f64().unwrap()), Amount::Integer)
}

fn amount_json(amount: Amount) -> Json {
    match amount {
        Amount::Integer(whole) => json!(whole),
        Amount::Float(decimal) => json!(decimal),
    }
}

fn conflict(input: &Json) -> Conflict {
    match text(input, "conflict") {
        "error" => Conflict::Error,
        "me" => Conflict::Me,
        "other" => Conflict::Other,
        "ignore" => Conflict::Ignore,
        other => panic!("conflict mode {other}"),
    }
}

fn optional(features_of: &Json) -> Result<Option<Features>, RadlError> {
    features_of.as_str().map(features).transpose()
}

/// Runs one case of a group.
pub fn run(group: &str, input: &Json) -> Outcome {
    Ok(match group {
        "unit_factor" => json!(radl::units::factor(input.as_str().unwrap())),
        "convert" => {
            amount_json(radl::units::convert(amount(&input[0]), input[1].as_str().unwrap(), input[2].as_str()))
        }
        "outports" => outports::parse(input.as_str().unwrap())?
            .iter()
            .map(|rule| {
                json!({"remote": rule.remote, "local": rule.local, "protocol": rule.protocol.as_str(),
                    "range": rule.range, "cidr": rule.cidr, "effective_cidr": rule.effective_cidr()})
            })
            .collect(),
        "network" => {
            let network = Radl::parse(&format!("network n ({})", input.as_str().unwrap()))?.networks.remove(0);
            json!({"public": network.is_public(), "outports": network.outports().len()})
        }
        "intersect" => {
            let constraints: Vec<&str> = input.as_array().unwrap().iter().filter_map(Json::as_str).collect();
            json!(features(&constraints.join(" and "))?.constraints())
        }
        "merge" => {
            let (base, add) = (features(text(input, "base"))?, features(text(input, "add"))?);
            json!(base.apply(&add, conflict(input))?.constraints())
        }
        "applications" => {
            let base = features(text(input, "base"))?;
            let add = optional(&input["add"])?.unwrap_or_default();
            let system = System { features: base.apply(&add, conflict(input))?, ..System::default() };
            let pairs = |application: &Features| -> Json {
                application.iter().map(|(name, _)| json!([name, application.value_json(name)])).collect()
            };
            system.applications().map(pairs).collect()
        }
        "application_newer" => {
            let application = |pair: &Json| {
                let mut features = Features::new();
                features.set_text("name", pair[0].as_str().unwrap());
                if let Some(version) = pair[1].as_str() {
                    features.set_text("version", version);
                }
                features
            };
            json!(radl::applications::satisfies(&application(&input["have"]), &application(&input["want"])))
        }
        "concrete" => {
            let (features, score) = features(text(input, "base"))?.concrete(optional(&input["other"])?.as_ref())?;
            json!({"features": features.constraints(), "score": amount_json(score)})
        }
        "template_name" => {
            let (name, number) = (input[0].as_str().unwrap_or_default(), input[1].as_u64());
            names::split(name, number).map_or(Json::Null, |(host, domain)| json!([host, domain]))
        }
        "requested_name" => {
            let defaults =
                names::Defaults { host: input["default_hostname"].as_str(), domain: input["default_domain"].as_str() };
            let index = usize::try_from(input["iface"].as_u64().unwrap()).unwrap();
            let name = system(text(input, "system"))?.requested_name(index, input["number"].as_u64(), defaults);
            name.map_or(Json::Null, |(host, domain)| json!([host, domain]))
        }
        "vm_dns_names" => {
            let mut system = system(text(input, "system"))?;
            system.fill_in_names(input["number"].as_u64().unwrap(), "vnode-#N#");
            json!(system.features.constraints())
        }
        "dns_entries" => {
            let defaults = names::Defaults { host: Some("vnode-#N#"), domain: Some("localdomain") };
            let entries = system(text(input, "system"))?.dns_entries(input["number"].as_u64().unwrap(), defaults);
            entries.iter().map(|entry| json!([entry.name.host, entry.name.domain, entry.address])).collect()
        }
        "interfaces" => {
            let radl = Radl::parse(input.as_str().unwrap())?;
            let system = &radl.systems[0];
            let ids: Vec<&str> = system.interfaces().map(|interface| interface.connection).collect();
            json!({"ids": ids, "count": ids.len(),
                "number_of": {"pub": system.interface_on("pub"), "priv": system.interface_on("priv")},
                "public_net": radl.has_public_connection(), "public_ip": radl.public_ip(),
                "private_ip": radl.private_ip(), "public_ipv6": radl.public_ipv6()})
        }
        "remove_interface" => {
            let mut system = system(text(input, "system"))?;
            system.remove_interface(usize::try_from(input["iface"].as_u64().unwrap()).unwrap());
            json!(system.features.constraints())
        }
        "credentials" => {
            let mut system = system(input.as_str().unwrap())?;
            let list = |c: radl::Credentials| json!([c.username, c.password, c.public_key, c.private_key]);
            let (current, new) = (system.credentials(), system.new_credentials());
            let kind = current.login().map(|login| match login {
                radl::interfaces::Login::Key => "key",
                radl::interfaces::Login::Password => "password",
            });
            system.update_credentials(true, true);
            json!({"current": list(current), "new": list(new), "kind": kind,
                "after_update": system.features.constraints()})
        }
        "set_value" => {
            let mut features = features(text(input, "base"))?;
            let name = text(input, "feature");
            match &input["value"] {
                Json::String(text) => features.set_text(name, text),
                number => features.set_number(name, amount(number), input["unit"].as_str().unwrap_or("")),
            }
            json!(features.constraints())
        }
        "instance_selectors" => {
            let features = features(text(input, "system"))?;
            let selectors = [
                features.selector("cpu.count", "", 1),
                features.selector("memory.size", text(input, "memory_unit"), 0),
                features.selector("disks.free_size", text(input, "disk_unit"), 0),
            ];
            let pair = |s: &radl::selection::Selector| [json!(s.operator.as_str()), amount_json(s.amount)];
            selectors.iter().flat_map(pair).collect()
        }
        "cidr_wildcards" => {
            let init = u16::try_from(input["init"].as_u64().unwrap()).unwrap();
            let all: Vec<String> = radl::cidr::candidates(text(input, "cidr"), init).collect();
            json!({"first": all.iter().take(4).collect::<Vec<_>>(), "count": all.len()})
        }
        "ssh_port" => json!(Radl::parse(input.as_str().unwrap())?.ssh_port()),
        "opened_ports" => {
            let rules = input.as_str().map_or(Ok(Vec::new()), outports::parse)?;
            let opened = outports::with_ssh(rules);
            opened.iter().map(|rule| json!([rule.remote, rule.local, rule.protocol.as_str()])).collect()
        }
        "instance_tags" => {
            let mut system = System::default();
            system.features.set_text("instance_tags", input.as_str().unwrap());
            json!(system.instance_tags())
        }
        "instance_name" => json!(system(input.as_str().unwrap())?.instance_name()),
        "proxy_uri" => {
            let proxy = names::Proxy::parse(input.as_str().unwrap()).unwrap();
            json!([proxy.user, proxy.password, proxy.host, proxy.port])
        }
        "inventory_json" => Radl::parse(input.as_str().unwrap())?.inventory_json(),
        "contextualize_merge" => contextualize_merge(input)?,
        "add_resource" => {
            let (stored, added) = (Radl::parse(text(input, "stored"))?, Radl::parse(text(input, "added"))?);
            let networks: BTreeMap<String, String> = serde_json::from_value(input["private_networks"].clone()).unwrap();
            let result = merge::add_resource(&stored, &added, &networks)?;
            json!({"completed": result.completed.to_text(), "stored": result.stored.to_text()})
        }
        "reconfigure" => {
            let (stored, new) = (Radl::parse(text(input, "stored"))?, Radl::parse(text(input, "new"))?);
            json!(merge::reconfigure(&stored, &new)?.to_text())
        }
        "deploy_groups" => {
            let radl = Radl::parse(input.as_str().unwrap())?;
            placement::deploy_groups(&radl).map(|group| group_json(&group)).collect()
        }
        "score" => {
            let (requested, image) = (features(text(input, "requested"))?, features(text(input, "image"))?);
            json!(placement::score(amount(&input["soft"]), &requested, &image))
        }
        "provider_choice" => {
            let order: Vec<String> = serde_json::from_value(input["order"].clone()).unwrap();
            let mut scores = Scores::new();
            for (provider, systems) in input["scores"].as_object().unwrap() {
                let known = systems.as_object().unwrap().iter();
                let known = known.filter_map(|(name, score)| Some((name.clone(), score.as_f64()?)));
                scores.insert(provider.clone(), known.collect());
            }
            let mut chosen = Vec::new();
            for group in placement::deploy_groups(&Radl::parse(text(input, "document"))?) {
                let provider = placement::choose_provider(&group, &order, &scores)?;
                chosen.push(json!([group_json(&group), provider]));
            }
            Json::Array(chosen)
        }
        "discovered_addresses" => {
            let radl = Radl::parse(text(input, "document"))?;
            let addresses = |key: &str| -> Vec<IpAddr> { serde_json::from_value(input[key].clone()).unwrap() };
            let (public, private) = (addresses("public"), addresses("private"));
            let once = radl::addresses::discovered(&radl, "s", &public, &private, "T");
            let again = radl::addresses::discovered(&once, "s", &public, &private, "LATER");
            assert_eq!(once, again, "a second refresh changes nothing");
            json!(once.to_text())
        }
        other => panic!("group {other} has no test"),
    })
}

fn group_json(group: &[Deploy]) -> Json {
    group.iter().map(|deploy| json!([deploy.system, deploy.number])).collect()
}

fn contextualize_merge(input: &Json) -> Outcome {
    // Two sentences in one document merge like a stored and an added one.
    let sentences: Vec<&str> = input.as_array().unwrap().iter().filter_map(Json::as_str).collect();
    let radl = Radl::parse(&sentences.join("\n"))?;
    let Some(merged) = radl.contextualize else {
        return Ok(json!({"max_time": 0, "items": null, "options": null, "disabled": false}));
    };
    let item = |item: &radl::ContextualizeItem| {
        json!([item.system, item.configure, item.step, item.tool.as_deref().unwrap_or("Ansible")])
    };
    let items: Json = merged.items.iter().map(item).collect();
    let mut options = Features::new();
    merged.options.iter().for_each(|(name, value)| options.set(name, value.clone()));
    Ok(json!({"max_time": merged.max_time, "items": items, "options": options.to_json(),
        "disabled": merged.is_disabled()}))
}

/// Without the place of the fragment, and with the open end of a message that lists names.
fn same_message(got: &str, expected: &str) -> bool {
    match expected.strip_suffix(": ...") {
        Some(start) => got.starts_with(start),
        None => got == expected,
    }
}

fn check_case(group: &str, case: &Json) -> Result<(), String> {
    let outcome = run(group, &case["in"]);
    match (&outcome, case.get("error").and_then(Json::as_str)) {
        (Ok(got), None) if same(got, &case["out"]) => Ok(()),
        (Ok(got), _) => Err(format!("got {got:#}, expected {}{}", case["out"], case["error"])),
        (Err(error), Some(expected)) => {
            // The reason of a YAML parser is its own.
            let yaml = "Error parsing YAML: ";
            let matches = same_message(&error.message(), expected)
                || expected.starts_with(yaml) && error.message().starts_with(yaml);
            let same_kind = case["kind"] == error.kind().as_str();
            if matches && same_kind { Ok(()) } else { Err(format!("error {error}, expected {expected}")) }
        }
        (Err(error), None) => Err(format!("refused: {error}")),
    }
}

#[test]
fn every_binding_function_case() {
    for place in places() {
        let vectors = read_json(&place.join("semantics.json"));
        let mut failed = Vec::new();
        let mut count = 0;
        for (name, group) in vectors["groups"].as_object().unwrap() {
            for case in group["cases"].as_array().unwrap().iter().filter(|case| case["binding"] == true) {
                count += 1;
                if let Err(reason) = check_case(name, case) {
                    failed.push(format!("{}: {reason}", case["id"]));
                }
            }
        }
        assert!(count > 250, "only {count} cases");
        assert!(failed.is_empty(), "{} of {count}:\n{}", failed.len(), failed.join("\n\n"));
    }
}
