//! Port rules as RADL writes them (docs/spec/tosca.md 6.4).

use crate::error::{Class, Problem};
use crate::yaml::Value;

/// What stands in the place of a port that is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    /// The other one.
    IsTheOther,
    /// Zero: the cloud of containers chooses.
    IsZero,
}

/// The rule of one `PortSpec`.
///
/// # Errors
/// It names no port.
pub(super) fn rule(spec: &Value, absent: Absent) -> Result<String, Problem> {
    let port = |key: &str| spec.get(key).and_then(Value::scalar);
    let protocol = port("protocol").unwrap_or_else(|| "tcp".to_owned());
    let range = spec.get("source_range").and_then(Value::as_list);
    let (source, target) = (port("source"), port("target"));
    let ports = match (range, source, target) {
        (Some([first, last]), _, _) => format!("{first}:{last}/{protocol}"),
        (_, Some(source), Some(target)) => format!("{source}/{protocol}-{target}/{protocol}"),
        (_, Some(source), None) => {
            let target = if absent == Absent::IsZero { "0" } else { &source };
            format!("{source}/{protocol}-{target}/{protocol}")
        }
        (_, None, Some(target)) => {
            let source = if absent == Absent::IsZero { "0" } else { &target };
            format!("{source}/{protocol}-{target}/{protocol}")
        }
        (_, None, None) => {
            let message = "source or target port must be specified in PortSpec type.";
            return Err(Problem::new(Class::Other, message).at(spec.place, ""));
        }
    };
    Ok(match port("remote_cidr").filter(|cidr| !cidr.is_empty()) {
        Some(cidr) => format!("{cidr}-{ports}"),
        None => ports,
    })
}

/// The rules of a map or list of `PortSpec`.
///
/// # Errors
/// One of them names no port.
pub(super) fn rules(specs: &Value, absent: Absent) -> Result<Vec<String>, Problem> {
    let of_map = specs.as_map().into_iter().flat_map(|map| map.values());
    let of_list = specs.as_list().into_iter().flatten();
    of_map.chain(of_list).map(|spec| rule(spec, absent)).collect()
}
