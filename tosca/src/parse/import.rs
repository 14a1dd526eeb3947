//! Imports: of types, and of whole templates (docs/spec/tosca.md 2).

use super::Reader;
use crate::error::{Class, Error, Problem};
use crate::sources::{Surroundings, beside, is_address};
use crate::types::{Kind, Types, definitions, well_known};
use crate::yaml::{self, Data, Map, Place, Value};
use indexmap::IndexMap;
use std::collections::HashSet;

/// How many files a document may import, those that its imports import included.
const MAX_FILES: usize = 64;
/// How deep imports may lead to others.
const MAX_DEPTH: usize = 8;

/// Keys of an imported file.
const FILE_KEYS: &[&str] = &[
    "tosca_definitions_version",
    "description",
    "imports",
    "dsl_definitions",
    "repositories",
    "metadata",
    "topology_template",
    "node_types",
    "capability_types",
    "relationship_types",
    "data_types",
    "interface_types",
    "policy_types",
    "group_types",
    "artifact_types",
    // What public files of types have, too.
    "template_name",
    "template_author",
    "template_version",
    "tosca_default_namespace",
];

/// One entry of a list of imports.
struct Import {
    name: Option<String>,
    file: String,
    repository: Option<String>,
    prefix: Option<String>,
    place: Place,
}

/// A file that is being looked through.
struct File<'f> {
    /// Its address; none for the document itself.
    url: Option<&'f str>,
    depth: usize,
}

impl Reader<'_> {
    /// Adds the types of all imports, and gives those that the imports import: they win over all others.
    pub(super) fn imports(&mut self, list: Option<&Value>, repositories: &IndexMap<String, String>) -> Types {
        let (mut nested, mut seen) = (Types::default(), HashSet::new());
        let file = File { url: None, depth: 0 };
        let types = self.types_of_imports(list, repositories, &file, &mut seen, &mut nested);
        self.types.extend(&types);
        nested
    }

    fn types_of_imports(
        &mut self,
        list: Option<&Value>,
        repositories: &IndexMap<String, String>,
        file: &File<'_>,
        seen: &mut HashSet<String>,
        nested: &mut Types,
    ) -> Types {
        let mut types = Types::default();
        let Some(list) = list else { return types };
        let Some(items) = list.as_list() else {
            self.problems.mismatch("\"imports\"", "list", list, "imports");
            return types;
        };
        let mut names = HashSet::new();
        for (at, item) in items.iter().enumerate() {
            for import in self.entries(item, &format!("imports[{at}]")) {
                let path = format!("imports[{at}]");
                let refuse = |message: String| Problem::new(Class::Import, message).at(import.place, &path);
                if let Some(name) = import.name.as_ref().filter(|name| !names.insert((*name).clone())) {
                    self.problems.add(refuse(format!("Duplicate import name \"{name}\" was found.")));
                    continue;
                }
                let url = match address(&import, repositories, file.url) {
                    Ok(url) => url,
                    Err(message) => {
                        self.problems.add(refuse(message));
                        continue;
                    }
                };
                if !seen.insert(url.clone()) {
                    continue;
                }
                if seen.len() > MAX_FILES || file.depth >= MAX_DEPTH {
                    let message = format!(
                        "Import of template \"{url}\": more than {MAX_FILES} files, or {MAX_DEPTH} levels of them"
                    );
                    self.problems.add(refuse(message));
                    return types;
                }
                let own = match well_known(&url) {
                    Some(known) => known.clone(),
                    None => match self.surroundings.fetch(&url) {
                        Ok(text) => self.file(&text, &url, file.depth, seen, nested, &import),
                        Err(None) => {
                            self.problems.want(&url);
                            continue;
                        }
                        Err(Some(problem)) => {
                            self.problems.add(problem.at(import.place, &path));
                            continue;
                        }
                    },
                };
                types.extend(&prefixed(own, import.prefix.as_deref()));
            }
        }
        types
    }

    /// The types of an imported file; what is wrong with it is told at the import.
    fn file(
        &mut self,
        text: &str,
        url: &str,
        depth: usize,
        seen: &mut HashSet<String>,
        nested: &mut Types,
        import: &Import,
    ) -> Types {
        let outside = std::mem::take(&mut self.problems);
        let mut types = match yaml::parse(text) {
            Err(fault) => {
                let message = format!("Import of template \"{url}\": {}", fault.message);
                self.problems.add(Problem::new(Class::Import, message).at(fault.place, ""));
                Types::default()
            }
            Ok(document) => {
                match document.as_map() {
                    Some(map) => self.known_keys(&format!("Import of template \"{url}\""), map, FILE_KEYS, ""),
                    None => self.problems.mismatch(&format!("Import of template \"{url}\""), "map", &document, ""),
                }
                self.version(&document, false, "");
                let repositories = self.repositories(&document);
                let file = File { url: Some(url), depth: depth + 1 };
                let imported = self.types_of_imports(document.get("imports"), &repositories, &file, seen, nested);
                nested.extend(&imported);
                definitions(&document, &mut self.problems)
            }
        };
        let at_import = |problem: Problem| {
            // Lines of the imported file are none of the document.
            let detail = if problem.place.line > 0 { format!(", line {}", problem.place.line) } else { String::new() };
            let path = format!("{url}{detail}: {}", problem.path);
            Problem { place: import.place, path, ..problem }
        };
        let inside = std::mem::replace(&mut self.problems, outside);
        inside.wanted.iter().for_each(|url| self.problems.want(url));
        inside.into_list().into_iter().for_each(|problem| self.problems.add(at_import(problem)));
        types.map_problems(&at_import);
        // Values are checked against data types wherever they stand, so there is no single place where one is used.
        let of_data = types.of(Kind::Data).flat_map(|(_, definition)| &definition.problems);
        of_data.for_each(|problem| self.problems.add(problem.clone()));
        types
    }

    fn entries(&mut self, item: &Value, path: &str) -> Vec<Import> {
        let plain = |name: Option<&String>, file: &str, place| Import {
            name: name.cloned(),
            file: file.to_owned(),
            repository: None,
            prefix: None,
            place,
        };
        if let Some(url) = item.as_text() {
            return vec![plain(None, url, item.place)];
        }
        let Some(map) = item.as_map() else {
            self.problems.mismatch("\"imports\"", "string or map", item, path);
            return Vec::new();
        };
        // The form of version 1.3: the keys of an entry without a name around them.
        if map.len() > 1 && map.contains_key("file") {
            return self.long_form(None, item, path).into_iter().collect();
        }
        let entry = |(name, value): (&String, &Value)| match value.as_text() {
            Some(file) => Some(plain(Some(name), file, value.place)),
            None => self.long_form(Some(name), value, path),
        };
        map.iter().filter_map(entry).collect()
    }

    fn long_form(&mut self, name: Option<&String>, value: &Value, path: &str) -> Option<Import> {
        let what = format!("Import of template \"{}\"", name.map_or("", String::as_str));
        let Some(map) = value.as_map() else {
            self.problems.mismatch(&what, "string or map", value, path);
            return None;
        };
        self.known_keys(&what, map, &["file", "repository", "namespace_prefix", "namespace_uri"], path);
        let text = |key| value.get(key).and_then(Value::scalar);
        let Some(file) = text("file") else {
            let name = name.map_or("", String::as_str);
            let message = format!("A template file name is not provided with import definition \"{name}\".");
            self.problems.add(Problem::new(Class::Validation, message).at(value.place, path));
            return None;
        };
        Some(Import {
            name: name.cloned(),
            file,
            repository: text("repository"),
            prefix: text("namespace_prefix"),
            place: value.place,
        })
    }
}

/// The address of an import.
fn address(import: &Import, repositories: &IndexMap<String, String>, base: Option<&str>) -> Result<String, String> {
    let file = &import.file;
    if let Some(repository) = &import.repository {
        let name = import.name.as_deref().unwrap_or_default();
        let url = repositories.get(repository).ok_or_else(|| {
            format!("referenced repository \"{repository}\" in import definition \"{name}\" not found.")
        })?;
        return Ok(format!("{}/{file}", url.trim_end_matches('/')));
    }
    let relative = || format!("Relative file name \"{file}\" cannot be used in a pre-parsed input template.");
    match base {
        None if is_address(file) => Ok(file.clone()),
        None => Err(relative()),
        Some(base) => beside(base, file).ok_or_else(relative),
    }
}

/// The types with a prefix in front of their names, and of those that they derive from among them.
fn prefixed(types: Types, prefix: Option<&str>) -> Types {
    let Some(prefix) = prefix else { return types };
    let mut renamed = Types::default();
    for kind in Kind::ALL {
        for (name, definition) in types.of(kind) {
            let own_parent = definition.parent.as_ref().filter(|parent| types.get(kind, parent).is_some());
            let new = format!("{prefix}.{name}");
            match own_parent {
                Some(parent) => {
                    let mut definition = (**definition).clone();
                    definition.parent = Some(format!("{prefix}.{parent}"));
                    renamed.insert(kind, new, definition);
                }
                None => renamed.insert_shared(kind, new, definition.clone()),
            }
        }
    }
    renamed
}

/// The document with the whole template that it imports, if it does (docs/spec/tosca.md 2.4).
pub(super) fn whole_template(document: Value, surroundings: &Surroundings<'_>) -> Result<Value, Error> {
    let import = match document.get("imports").and_then(Value::as_list) {
        Some([import]) => import.get("template_file"),
        _ => None,
    };
    let Some(import) = import else { return Ok(document) };
    let (name, place) = (import.to_string(), import.place);
    let forbid = |class, message: String| Error::Forbidden(Problem::new(class, message).at(place, "imports"));
    let url = match surroundings.template_repository {
        Some(repository) if is_address(&name) && !inside(repository, &name) => {
            let text = format!("The TOSCA template must be imported from the TOSCA repository: {repository}");
            return Err(forbid(Class::Import, text));
        }
        Some(repository) => {
            beside(&format!("{}/", repository.trim_end_matches('/')), &name).filter(|url| inside(repository, url))
        }
        None => Some(name.clone()).filter(|name| is_address(name)),
    };
    let Some(url) = url else {
        let text = format!("Relative file name \"{name}\" cannot be used in a pre-parsed input template.");
        return Err(forbid(Class::Import, text));
    };
    let text = match surroundings.fetch(&url) {
        Ok(text) => text,
        Err(None) => return Err(Error::Wanted(vec![url])),
        Err(Some(problem)) => return Err(Error::Refused(vec![problem.at(place, "imports")])),
    };
    let base = yaml::parse(&text)
        .map_err(|fault| forbid(Class::Import, format!("Import of template \"{url}\": {}", fault.message)))?;
    let Some(topology) = document.get("topology_template").and_then(Value::as_map) else {
        let problem = Problem::new(Class::MissingField, "Template is missing required field \"topology_template\".");
        return Err(Error::Refused(vec![problem.at(place, "topology_template")]));
    };
    let merged = merged(&document, topology, &base);
    Ok(merged)
}

/// Whether an address lies in a repository, and not only begins like it.
fn inside(repository: &str, url: &str) -> bool {
    let plain = !url.split('/').any(|part| part == "..");
    plain && url.strip_prefix(repository.trim_end_matches('/')).is_some_and(|rest| rest.starts_with('/'))
}

/// The document on top of the template that it imports: inputs, outputs and nodes are replaced or added by name, the rest
/// of the topology and the types of the template are kept, and what is around them is the document's.
fn merged(document: &Value, topology: &Map, base: &Value) -> Value {
    let section = |holder: &Value, name: &str| holder.get(name).and_then(Value::as_map).cloned();
    let mut result = document.as_map().cloned().unwrap_or_default();
    for name in ["imports", "repositories", "dsl_definitions", "relationship_templates"] {
        match base.get(name) {
            Some(value) if name == "imports" || !result.contains_key(name) => {
                drop(result.insert(name.to_owned(), value.clone()))
            }
            None if name == "imports" => drop(result.shift_remove(name)),
            _ => {}
        }
    }
    for kind in Kind::ALL {
        let mut types = section(base, kind.section()).unwrap_or_default();
        types.extend(section(document, kind.section()).unwrap_or_default());
        if !types.is_empty() {
            result.insert(kind.section().to_owned(), Data::Map(types).into());
        }
    }
    let mut whole = section(base, "topology_template").unwrap_or_default();
    for (name, own) in topology {
        let known = whole.get(name).and_then(Value::as_map).cloned();
        let value = match (name.as_str(), known, own.as_map()) {
            ("inputs", Some(known), Some(own)) => Data::Map(merged_inputs(known, own)).into(),
            ("outputs" | "node_templates" | "groups" | "relationship_templates", Some(mut known), Some(own)) => {
                known.extend(own.clone());
                Data::Map(known).into()
            }
            _ => own.clone(),
        };
        whole.insert(name.clone(), value);
    }
    result.insert("topology_template".to_owned(), Data::Map(whole).into());
    Data::Map(result).into()
}

/// Inputs with other values: `name: value`, or `name: {default: value}`; what is not known is added as it is.
fn merged_inputs(mut known: Map, own: &Map) -> Map {
    for (name, value) in own {
        let Some(input) = known.get_mut(name) else {
            known.insert(name.clone(), value.clone());
            continue;
        };
        let is_definition = |map: &Map| map.contains_key("default") && !map.contains_key("type");
        let new = match value.as_map() {
            Some(map) if map.contains_key("type") => {
                *input = value.clone();
                continue;
            }
            Some(map) if is_definition(map) => map.get("default").cloned().unwrap_or_default(),
            _ => value.clone(),
        };
        if let Data::Map(input) = &mut input.data
            && !new.is_null()
        {
            input.insert("default".to_owned(), new);
        }
    }
    known
}
