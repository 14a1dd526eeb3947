//! What templates of public catalogues use beyond the ordinary: each case is the shortest document with it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use tosca::{Error, Fetched, Situation, Surroundings, Template, Translation};

const GRYCAP: &str = "https://raw.githubusercontent.com/grycap/tosca/main/custom_types.yaml";
const IMPORTED: &str = "https://types.example/a/b/types.yaml";

/// A file of types with some that nobody can use, and an import of one in the folder above.
const TYPES: &str = "
tosca_definitions_version: tosca_simple_yaml_1_0
imports: [ ../base/types.yaml ]
policy_types:
  my.policies.Odd: { derived_from: tosca.policies.Root, action: respawn }
node_types:
  my.nodes.App: { derived_from: my.nodes.Base }
";
const BASE: &str = "
node_types:
  my.nodes.Base: { derived_from: tosca.nodes.SoftwareComponent, properties: { port: { type: integer, default: 80 } } }
";

fn parsed(topology: &str) -> Result<(Template, Translation), Error> {
    let sources = |url: &str| match url {
        IMPORTED => Fetched::Text(TYPES.to_owned()),
        "https://types.example/a/base/types.yaml" => Fetched::Text(BASE.to_owned()),
        _ => Fetched::Failed("Not Found".to_owned()),
    };
    let random = |length| "r".repeat(length);
    let surroundings =
        Surroundings { sources: &sources, template_repository: None, access_token: None, random: &random };
    let text =
        format!("tosca_definitions_version: tosca_simple_yaml_1_0\nimports: [ {IMPORTED}, {GRYCAP} ]\n{topology}");
    let template = Template::parse(&text, &surroundings)?;
    let translation = template.translate(&Situation { machines: &[], surroundings: &surroundings })?;
    Ok((template, translation))
}

#[test]
fn a_requirement_may_say_what_a_node_is_like_and_name_none() {
    let (template, translation) = parsed(
        "
topology_template:
  node_templates:
    db:
      type: tosca.nodes.DBMS
      requirements:
        - host: { node_filter: { capabilities: [ { host: { properties: [ { num_cpus: { in_range: [ 1, 4 ] } } ] } } ] } }
",
    )
    .unwrap();
    assert!(translation.radl.systems.is_empty());
    let warnings = template.warnings();
    assert!(warnings[0].contains("\"host\" of \"db\" names no node"), "{warnings:?}");
}

#[test]
fn a_requirement_with_a_relationship_of_its_own_need_not_be_declared() {
    let volumes = "
topology_template:
  node_templates:
    vm:
      type: Compute
      requirements:
        - first: { node: a, relationship: { type: AttachesTo, properties: { location: /a } } }
        - second: { node: b, relationship: { type: AttachesTo, properties: { location: /b } } }
    a: { type: BlockStorage, properties: { size: 1 GB } }
    b: { type: BlockStorage, properties: { size: 2 GB } }
";
    let (_, translation) = parsed(volumes).unwrap();
    let text = translation.radl.to_string();
    assert!(text.contains("disk.2.mount_path = '/b'"), "{text}");
    let without = volumes.replace(", relationship: { type: AttachesTo, properties: { location: /b } }", "");
    let error = parsed(&without).unwrap_err().to_string();
    assert!(error.contains("contains unknown field \"second\""), "{error}");
}

#[test]
fn what_is_wrong_with_an_imported_type_is_told_where_it_is_used() {
    let document = "
topology_template:
  node_templates:
    app: { type: my.nodes.App, requirements: [ host: vm ] }
    vm: { type: Compute }
";
    parsed(document).unwrap();
    let error =
        parsed(&format!("{document}  policies: [ odd: {{ type: my.policies.Odd }} ]\n")).unwrap_err().to_string();
    assert!(error.contains("Type \"my.policies.Odd\" contains unknown field \"action\""), "{error}");
    assert!(error.contains("https://types.example/a/b/types.yaml, line 5"), "{error}");
}

#[test]
fn every_property_is_an_attribute_and_what_inputs_hold_is_not_checked() {
    let (template, _) = parsed(
        "
topology_template:
  inputs:
    tokens: { type: map, entry_schema: { type: my.datatypes.Unknown }, default: {} }
  node_templates:
    app: { type: my.nodes.App, requirements: [ host: vm ] }
    vm: { type: Compute, capabilities: { host: { properties: { num_cpus: 2 } } } }
  outputs:
    port: { value: { get_attribute: [ app, port ] } }
    cpus: { value: { get_attribute: [ vm, host, num_cpus ] } }
",
    )
    .unwrap();
    assert_eq!(template.outputs(&[]).len(), 2);
}

#[test]
fn a_translation_tells_all_that_is_wrong_with_each_node() {
    let error = parsed(
        "
topology_template:
  node_templates:
    vm:
      type: tosca.nodes.indigo.Compute
      capabilities:
        endpoint: { properties: { ports: { web: { protocol: tcp } } } }
        os: { properties: { image: x, credential: { token: x } } }
        host: { properties: { num_cpus: { concat: [ many ] } } }
      interfaces:
        Standard:
          create: missing.yml
          configure: { implementation: https://types.example/gone.yml, inputs: { a: { concat: [ { get_input: b } ] } } }
    port: { type: tosca.nodes.network.Port, requirements: [ binding: vm, link: disk ] }
    disk: { type: BlockStorage, properties: { size: 1 GB } }
",
    )
    .unwrap_err();
    let told: Vec<(u32, &str)> =
        error.problems().iter().map(|problem| (problem.place.line, problem.path.as_str())).collect();
    for expected in [
        (11, "node_templates.vm.capabilities.host.properties.num_cpus"),
        (10, "node_templates.vm.capabilities.os.properties.credential"),
        (14, "node_templates.vm.interfaces.create"),
        (15, "node_templates.vm.interfaces.configure.inputs.a"),
        (15, "node_templates.vm.interfaces.configure"),
    ] {
        assert!(told.contains(&expected), "{expected:?}: {told:?}");
    }
    let messages = error.to_string();
    assert!(messages.contains("source or target port must be specified in PortSpec type."), "{messages}");
}
