//! Attributes while a document is translated: expressions that Ansible evaluates (docs/spec/tosca.md 5.3).

use super::container;
use crate::error::{Class, Problem};
use crate::functions::{Attributes, Evaluator, Question, Scope};
use crate::template::{BINDS_TO, INDIGO_COMPUTE, Node, Role, Template};
use crate::yaml::{Data, Value};

/// Expressions for Ansible.
pub(super) struct Expressions<'a> {
    /// The digits at the end of the names of containers.
    pub suffix: &'a str,
}

impl Attributes for Expressions<'_> {
    fn value(&self, evaluator: &Evaluator<'_>, question: Question<'_>) -> Result<Value, Problem> {
        let Question { node, is_own, is_host, attribute, keys } = question;
        match (attribute, node.role) {
            ("tosca_name", _) => return Ok(node.name.as_str().into()),
            ("endpoints", Role::Container) => {
                let endpoints = container::endpoint_expressions(evaluator, node, self.suffix)?;
                return Ok(match keys.first() {
                    Some(index) => at(&endpoints, index)?,
                    None => Data::List(endpoints).into(),
                });
            }
            ("endpoint", Role::Function) => return function_endpoint(evaluator, node),
            _ => {}
        }
        let Some(host) = host_name(evaluator.template, node) else { return Ok(Value::NULL) };
        let first = format!("hostvars[groups['{host}'][0]]");
        let text = match attribute {
            "private_address" | "public_address" => {
                let name = if attribute == "private_address" { "IM_NODE_PRIVATE_IP" } else { "IM_NODE_PUBLIC_IP" };
                match (node.flat.name == INDIGO_COMPUTE, keys.first()) {
                    (true, Some(index)) => {
                        let index = index_of(index)?;
                        format!("{{{{ hostvars[groups['{host}'][{index}]]['{name}'] }}}}")
                    }
                    (true, None) => format!(
                        "{{{{ groups['{host}']|map('extract', hostvars,'{name}')|list if '{host}' in groups else []}}}}"
                    ),
                    (false, _) if is_own => format!("{{{{ {name} }}}}"),
                    (false, _) => format!("{{{{ {first}['{name}'] }}}}"),
                }
            }
            "tosca_id" if is_own => "{{ IM_NODE_VMID }}".to_owned(),
            "tosca_id" => format!("{{{{ {first}['IM_NODE_VMID'] }}}}"),
            "ip_address" if node.role == Role::Port => {
                let order = node.properties.get("order").and_then(Value::integer).unwrap_or(0);
                format!("{{{{ {first}['IM_NODE_NET_{order}_IP'] }}}}")
            }
            "ip_address" if is_host => "{{ IM_NODE_PUBLIC_IP }}".to_owned(),
            "ip_address" => format!(
                "{{{{ {first}['IM_NODE_PUBLIC_IP'] if 'IM_NODE_PUBLIC_IP' in {first} else \
                 {first}['IM_NODE_PRIVATE_IP']}}}}"
            ),
            // An addition of release 2.0 (docs/spec/tosca.md 16).
            "tls_certificates" => {
                let keys: String = keys.iter().map(|key| format!("['{key}']")).collect();
                let holder = if is_own { String::new() } else { format!("{first}['IM_NODE_TLS_CERTIFICATES']") };
                let name = if is_own { "IM_NODE_TLS_CERTIFICATES" } else { "" };
                format!("{{{{ {holder}{name}{keys} }}}}")
            }
            _ => return Ok(Value::NULL),
        };
        Ok(text.into())
    }

    fn unknown_spreads(&self) -> bool {
        false
    }
}

/// The system of a node: that of its host, of a Port that of the node it is bound to.
fn host_name<'t>(template: &'t Template, node: &'t Node) -> Option<&'t str> {
    let node = match node.role {
        Role::Port => template.node(node.related(BINDS_TO)?)?,
        _ => node,
    };
    template.host(node).map(|host| host.name.as_str())
}

fn index_of(index: &Value) -> Result<i128, Problem> {
    let expected = || {
        let message = "Illegal arguments for function \"get_attribute\". Expected an integer as the index.";
        Problem::new(Class::Value, message)
    };
    index.integer().filter(|index| *index >= 0).ok_or_else(expected)
}

fn at(items: &[Value], index: &Value) -> Result<Value, Problem> {
    let index = index_of(index)?;
    Ok(usize::try_from(index).ok().and_then(|index| items.get(index)).cloned().unwrap_or_default())
}

fn function_endpoint(evaluator: &Evaluator<'_>, node: &Node) -> Result<Value, Problem> {
    let template = evaluator.template;
    let Some(oscar) = node.direct_host().and_then(|host| template.node(host)) else { return Ok(Value::NULL) };
    let Some(name) = oscar.properties.get("dns_host") else { return Ok(Value::NULL) };
    let name = evaluator.evaluate(name, Scope::node(oscar))?;
    Ok(match super::function::host_of_text(&name) {
        Some(name) => format!("https://{name}").into(),
        None => Value::NULL,
    })
}
