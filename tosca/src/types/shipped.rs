//! The sets of types that the program carries, and the addresses they are known under (docs/spec/tosca.md 2.3 and 18).

use super::Types;
use super::definition::definitions;
use crate::error::Problems;
use crate::yaml;
use std::sync::LazyLock;

static NORMATIVE: LazyLock<Types> = LazyLock::new(|| read(include_str!("normative.yaml")));
static GRYCAP: LazyLock<Types> = LazyLock::new(|| read(include_str!("grycap.yaml")));
static INDIGO: LazyLock<Types> = LazyLock::new(|| read(include_str!("indigo.yaml")));

/// A shipped set. That each of them reads without a problem is tested.
fn read(text: &str) -> Types {
    let document = yaml::parse(text).unwrap_or_default();
    let mut problems = Problems::default();
    definitions(&document, &mut problems)
}

/// The types that every document can use.
#[must_use]
pub fn normative() -> &'static Types {
    &NORMATIVE
}

/// The set that an address stands for, at whatever branch or tag; none for other addresses.
#[must_use]
pub fn well_known(url: &str) -> Option<&'static Types> {
    let path = url.strip_prefix("https://raw.githubusercontent.com/")?.strip_suffix("/custom_types.yaml")?;
    // A reference may hold slashes (`refs/heads/main`, `stable/v4.0.1`), but a file in a folder of the main branch may not be
    // taken for the set.
    let is_reference = |path: &str| {
        let plain = !path.is_empty() && !path.split('/').any(|part| part.is_empty() || part == ".." || part == ".");
        plain && !["main/", "master/"].iter().any(|branch| path.starts_with(branch))
    };
    let (set, reference) = if let Some(reference) = path.strip_prefix("grycap/tosca/") {
        (&GRYCAP, reference)
    } else if let Some(path) = path.strip_prefix("grycap/ec3/") {
        // The former place of the same set.
        (&GRYCAP, path.strip_suffix("/tosca")?)
    } else {
        (&INDIGO, path.strip_prefix("indigo-dc/tosca-types/")?)
    };
    is_reference(reference).then(|| &**set)
}

/// All shipped types, of all sets, for the schema of documents.
pub(crate) fn all() -> [(&'static str, &'static Types); 3] {
    [("normative", &NORMATIVE), ("grycap", &GRYCAP), ("indigo", &INDIGO)]
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use super::*;
    use crate::types::Kind;

    #[test]
    fn the_shipped_sets_read_without_a_problem_and_are_whole() {
        for (text, known) in [
            (include_str!("normative.yaml"), &Types::default()),
            (include_str!("grycap.yaml"), &*NORMATIVE),
            (include_str!("indigo.yaml"), &*NORMATIVE),
        ] {
            let mut problems = Problems::default();
            let set = definitions(&yaml::parse(text).expect("YAML"), &mut problems);
            assert_eq!(problems.into_list(), Vec::new());
            for (name, definition) in Kind::ALL.iter().flat_map(|kind| set.of(*kind)) {
                assert_eq!(definition.problems, Vec::new(), "{name}");
            }
            let mut types = known.clone();
            types.extend(&set);
            for kind in Kind::ALL {
                for (name, _) in set.of(kind) {
                    let flat = types.flat(kind, name).unwrap_or_else(|problem| panic!("{name}: {problem}"));
                    for capability in flat.capabilities.values() {
                        assert!(types.get(Kind::Capability, capability).is_some(), "{name}: {capability}");
                    }
                    let schemas = flat.properties.values().map(|property| &property.schema);
                    for schema in schemas {
                        assert!(super::super::is_known_type(&types, schema), "{name}: {schema:?}");
                    }
                }
            }
        }
        assert_eq!([&*NORMATIVE, &GRYCAP, &INDIGO].map(|set| set.of(Kind::Node).count()), [16, 48, 72]);
    }

    #[test]
    fn well_known_addresses_are_those_of_any_branch_and_of_no_other_file() {
        let raw = "https://raw.githubusercontent.com/";
        for known in [
            "grycap/tosca/main/custom_types.yaml",
            "grycap/tosca/v1.2/custom_types.yaml",
            "grycap/tosca/refs/heads/main/custom_types.yaml",
            "grycap/ec3/tosca/tosca/custom_types.yaml",
            "grycap/ec3/tosca_ha/tosca/custom_types.yaml",
            "indigo-dc/tosca-types/master/custom_types.yaml",
            "indigo-dc/tosca-types/stable/v4.0.1/custom_types.yaml",
        ] {
            assert!(well_known(&format!("{raw}{known}")).is_some(), "{known}");
        }
        for other in [
            "grycap/tosca/main/x/custom_types.yaml",
            "someone/tosca/main/custom_types.yaml",
            "grycap/tosca/../x/custom_types.yaml",
            "grycap/ec3/tosca/custom_types.yaml",
        ] {
            assert!(well_known(&format!("{raw}{other}")).is_none(), "{other}");
        }
    }
}
