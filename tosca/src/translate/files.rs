//! What operations run: recipes and scripts, where they are, and files that they need (docs/spec/tosca.md 7.5).

use super::Translator;
use super::plays::{self, Play, tree_of};
use crate::error::{Class, Problem};
use crate::functions::Scope;
use crate::sources::{Fetched, beside, is_address, is_web_address};
use crate::template::Node;
use crate::types::Artifact;
use crate::yaml::{Data, Value};
use radl::yaml as tree;
use std::sync::Arc;

/// Where names of recipes that are no address are looked for.
const ARTIFACTS: &str = "https://raw.githubusercontent.com/grycap/tosca/main/artifacts/";

/// What an operation runs.
#[derive(Debug)]
pub(super) enum Recipe {
    /// Plays.
    Plays(Vec<Play>),
    /// A script with its file name.
    Script {
        /// Name of the file.
        name: String,
        /// Its content.
        text: String,
    },
}

impl<'a> Translator<'a> {
    /// The artifact of a name: of the node, else of a node that it is directly related to.
    pub(super) fn artifact(&self, node: &'a Node, name: &str) -> Option<(&'a Node, &'a Artifact)> {
        let template = self.template;
        let related = node.links.iter().filter_map(|link| template.node(&link.target));
        std::iter::once(node).chain(related).find_map(|owner| Some((owner, owner.artifacts.get(name)?)))
    }

    /// The address or name of the file of an artifact.
    pub(super) fn file_of(&self, owner: &Node, file: &Value, repository: Option<&str>) -> Result<String, Problem> {
        let file = self.evaluator.evaluate(file, Scope::node(owner))?.scalar().unwrap_or_default();
        let Some(repository) = repository else { return Ok(file) };
        let url = self.template.repositories.get(repository).ok_or_else(|| {
            let message = format!("referenced repository \"{repository}\" in \"{}\" not found.", owner.name);
            Problem::new(Class::Key, message).expecting("one of repositories")
        })?;
        Ok(format!("{}/{file}", url.trim_end_matches('/')))
    }

    /// What an implementation runs; none while it was not fetched yet.
    pub(super) fn implementation(&mut self, node: &'a Node, value: &Value) -> Result<Option<Arc<Recipe>>, Problem> {
        let place = |problem: Problem| problem.at(value.place, "");
        let name = match &value.data {
            Data::Map(map) if map.contains_key("file") => {
                let repository = value.get("repository").and_then(Value::scalar);
                let file = value.get("file").cloned().unwrap_or_default();
                self.file_of(node, &file, repository.as_deref()).map_err(place)?
            }
            _ => {
                let text = self.evaluator.evaluate(value, Scope::node(node)).map_err(place)?;
                let text = text.scalar().unwrap_or_default();
                match self.artifact(node, &text) {
                    Some((owner, artifact)) => {
                        self.file_of(owner, &artifact.file, artifact.repository.as_deref()).map_err(place)?
                    }
                    None => text,
                }
            }
        };
        let missing = |url: &str| {
            let text = format!("Implementation file: '{name}' is not located in the artifacts remote url '{url}'.");
            Problem::new(Class::Other, text).at(value.place, "")
        };
        let url = match is_address(&name) {
            true => name.clone(),
            false => beside(ARTIFACTS, &name)
                .filter(|url| url.len() > ARTIFACTS.len() && url.starts_with(ARTIFACTS))
                .ok_or_else(|| missing(ARTIFACTS))?,
        };
        if let Some(known) = self.recipes.get(&url) {
            return Ok(Some(Arc::clone(known)));
        }
        let failed = |reason: &str| match is_address(&name) {
            true => {
                let text = format!("Error downloading the implementation script '{name}': {reason}");
                Problem::new(Class::Url, text).at(value.place, "")
            }
            false => missing(&url),
        };
        if !is_web_address(&url) {
            return Err(failed("only http and https addresses can be fetched"));
        }
        let text = match self.situation.surroundings.sources.text(&url) {
            Fetched::Text(text) => text,
            Fetched::Failed(reason) => return Err(failed(&reason)),
            Fetched::NotYet => {
                self.problems.want(&url);
                return Ok(None);
            }
        };
        let recipe = match is_recipe(&url) {
            true => Recipe::Plays(plays::read(&text).map_err(|reason| {
                let message = format!("Error parsing YAML of the implementation script '{name}': {reason}");
                Problem::new(Class::Other, message).at(value.place, "")
            })?),
            false => Recipe::Script { name: basename(&url).to_owned(), text },
        };
        let recipe = Arc::new(recipe);
        self.recipes.insert(url, Arc::clone(&recipe));
        Ok(Some(recipe))
    }
}

/// Whether the file at an address is a recipe, by its name.
fn is_recipe(url: &str) -> bool {
    let path = path_of(url);
    path.ends_with(".yml") || path.ends_with(".yaml")
}

fn path_of(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

/// The last part of an address.
pub(super) fn basename(url: &str) -> &str {
    path_of(url).rsplit('/').next().unwrap_or_default()
}

/// The tasks that copy a script to a machine and run it.
pub(super) fn script_tasks(node: &str, operation: &str, name: &str, text: &str, inputs: &[(String, Value)]) -> Play {
    let file = format!("/tmp/{name}");
    // One simple line is written as it always was; anything else arrives as it is, and Ansible does not look into it.
    let is_simple = !text.contains(['\n', '\r', '\'', '"', '\\']) && !text.contains("{{") && !text.contains("{%");
    let copy = match is_simple {
        true => tree::Node::text(&format!("dest={file} content='{text}' mode=0755")),
        false => tree::Node::map([
            ("dest", tree::Node::text(&file)),
            ("content", tree::Node::inert(text)),
            ("mode", tree::Node::text("0755")),
        ]),
    };
    let title = format!("Copy contents of script of interface {node}_{operation}");
    let copy = tree::Node::map([("name", tree::Node::text(&title)), ("copy", copy)]);
    let mut run = vec![("name", tree::Node::text(&format!("{node}_{operation}"))), ("shell", tree::Node::text(&file))];
    if !inputs.is_empty() {
        run.push(("environment", tree::Node::map(inputs.iter().map(|(name, value)| (name, tree_of(value))))));
    }
    vec![(tree::Node::plain("tasks"), tree::Node::list(vec![copy, tree::Node::map(run)]))]
}

/// The task that fetches the file of an artifact.
pub(super) fn download_task(uri: &str) -> tree::Node {
    let get = format!("dest=/tmp/{} url='{uri}'", basename(uri));
    let name = format!("Download artifact {uri}");
    tree::Node::map([("name", tree::Node::text(&name)), ("get_url", tree::Node::text(&get))])
}
