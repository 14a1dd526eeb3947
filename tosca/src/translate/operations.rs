//! Operations of nodes and relationships as `configure` sections (docs/spec/tosca.md 7).

use super::Translator;
use super::files::{Recipe, basename, download_task, script_tasks};
use super::free_name;
use super::plays::Plays;
use crate::error::{Class, Problem};
use crate::functions::{Entity, Scope};
use crate::template::{Link, Node};
use crate::types::Operation;
use crate::yaml::Value;

/// The operations that are run, in their order.
const ORDER: &[&str] = &[
    "create",
    "pre_configure_source",
    "pre_configure_target",
    "configure",
    "post_configure_source",
    "post_configure_target",
    "start",
    "add_target",
    "add_source",
    "target_changed",
    "remove_target",
];

/// What is run for a node.
struct Run<'a> {
    name: &'static str,
    operation: &'a Operation,
    /// The relationship that it belongs to; none for an operation of the node itself.
    link: Option<(&'a Node, &'a Link)>,
}

impl Run<'_> {
    fn owner<'n>(&'n self, node: &'n Node) -> &'n str {
        self.link.map_or(&node.name, |(_, link)| &link.relationship.name)
    }
}

impl<'a> Translator<'a> {
    /// The `configure` of a node, and the item that runs it.
    pub(super) fn configure(&mut self, node: &'a Node) -> Result<(), Problem> {
        let template = self.template;
        let Some(host) = template.host(node) else {
            if node.operations.values().any(|operation| !operation.is_of_type) {
                self.draft
                    .warnings
                    .push(format!("{} runs on no Compute node: its operations have no effect", node.name));
            }
            return Ok(());
        };
        let runs = self.runs(node);
        if runs.is_empty() {
            return Ok(());
        }
        let mut plays = Plays::default();
        for run in &runs {
            let added = self.add(node, run, &mut plays);
            self.noted(node, added);
        }
        let level = self.levels.level(&node.name)?;
        let recipe = plays.into_text().map_err(|reason| {
            Problem::new(Class::Other, format!("The recipe of {} cannot be written: {reason}", node.name))
        })?;
        let Some(recipe) = recipe else {
            if self.problems.wanted.is_empty() {
                self.draft.warnings.push(format!("the recipes of {} hold no plays and have no effect", node.name));
            }
            return Ok(());
        };
        let id = self.configure_id(node, &host.name, &runs);
        let names: Vec<&str> = runs.iter().map(|run| run.name).collect();
        self.draft.because(
            &id,
            format!(
                "is the recipe of {} for its operations {}, run in step {level} on {} (7)",
                node.name,
                names.join(", "),
                host.name
            ),
        );
        self.draft.configures.insert(id.clone(), Some(recipe));
        self.draft.add_item(&host.name, &id, level);
        Ok(())
    }

    /// Operations in their order: those of the node, and those of relationships that run at this end of them.
    fn runs(&self, node: &'a Node) -> Vec<Run<'a>> {
        let template = self.template;
        let mut runs = Vec::new();
        for &name in ORDER {
            if matches!(name, "create" | "configure" | "start") {
                let operation = node.operations.get(name).filter(|operation| operation.implementation.is_some());
                runs.extend(operation.map(|operation| Run { name, operation, link: None }));
                continue;
            }
            // Sources run what ends so, and `add_source`; targets run the others.
            let at_source = name.ends_with("_source");
            let outgoing = node.links.iter().map(|link| (node, link)).filter(|_| at_source);
            let incoming = self.index.incoming.get(node.name.as_str()).into_iter().flatten().filter(|_| !at_source);
            let incoming = incoming.filter_map(|(source, at)| Some((*source, source.links.get(*at)?)));
            for (source, link) in outgoing.chain(incoming) {
                let other = if at_source { template.node(&link.target) } else { Some(source) };
                let own = link.relationship.operations.get(name);
                let operation = own.or_else(|| other?.operations.get(name));
                let operation = operation.filter(|operation| operation.implementation.is_some());
                runs.extend(operation.map(|operation| Run { name, operation, link: Some((source, link)) }));
            }
        }
        runs
    }

    fn add(&mut self, node: &'a Node, run: &Run<'a>, plays: &mut Plays) -> Result<(), Problem> {
        let Some(implementation) = &run.operation.implementation else { return Ok(()) };
        let path = format!("node_templates.{}.interfaces.{}", node.name, run.name);
        let entity = run.link.map_or(Entity::Node(node), |(source, link)| Entity::Link(source, link));
        let scope = Scope { entity, is_of_type: run.operation.is_of_type };
        let mut inputs = Vec::new();
        for (input, value) in &run.operation.inputs {
            let evaluated = match self.fetched_artifact(node, value) {
                Ok(Some(uri)) => {
                    plays.downloads.push(download_task(&uri));
                    Ok(Value::from(format!("/tmp/{}", basename(&uri))))
                }
                Ok(None) => self.evaluator.evaluate(value, scope),
                Err(problem) => Err(problem),
            };
            let not_valid = || {
                let (name, owner) = (run.name, run.owner(node));
                Problem::new(
                    Class::Value,
                    format!("input value for {input} in interface {name} of node {owner} not valid"),
                )
            };
            let valid = evaluated.and_then(|value| if value.is_null() { Err(not_valid()) } else { Ok(value) });
            match valid.map_err(|problem| problem.at(value.place, &format!("{path}.inputs.{input}"))) {
                Ok(value) => inputs.push((input.clone(), value)),
                Err(problem) => self.noted(node, Err(problem)),
            }
        }
        let recipe =
            self.implementation(node, implementation).map_err(|problem| problem.at(run.operation.place, &path))?;
        match recipe.as_deref() {
            Some(Recipe::Plays(part)) => {
                plays.parts.push(part.clone());
                plays.add_vars(inputs);
            }
            Some(Recipe::Script { name, text }) => {
                plays.parts.push(vec![script_tasks(&node.name, run.name, name, text, &inputs)]);
            }
            None => {}
        }
        Ok(())
    }

    /// The address of the artifact that an input asks for.
    fn fetched_artifact(&self, node: &'a Node, value: &Value) -> Result<Option<String>, Problem> {
        let call = value.as_map().filter(|map| map.len() == 1).and_then(|map| map.get("get_artifact"));
        let Some(arguments) = call.and_then(Value::as_list) else { return Ok(None) };
        let Some(name) = arguments.get(1).and_then(Value::scalar) else {
            let message =
                "Expected arguments: \"node-template-name\", \"artifact name\" for function \"get_artifact\".";
            return Err(Problem::new(Class::Value, message).at(value.place, ""));
        };
        match self.artifact(node, &name) {
            Some((owner, artifact)) => self.file_of(owner, &artifact.file, artifact.repository.as_deref()).map(Some),
            None => Ok(Some(name)),
        }
    }

    /// The id of a `configure` (docs/spec/tosca.md 7.4): outputs name it. Where two nodes come to the same one, the second
    /// is named after itself.
    fn configure_id(&self, node: &Node, host: &str, runs: &[Run<'a>]) -> String {
        let plain = || match node.name == host {
            true => format!("{host}_conf"),
            false => format!("{}_{host}_conf", node.name),
        };
        let last_two = runs.get(runs.len().saturating_sub(2)..).unwrap_or_default();
        let id = if last_two.iter().any(|run| run.link.is_some()) {
            let last = runs.last().map_or(node.name.as_str(), |run| run.owner(node));
            let before = if last_two.len() > 1 { last_two.first().map(|run| run.owner(node)) } else { None };
            let before = before.unwrap_or(&node.name);
            let at_host = if last == host { String::new() } else { format!("_{host}") };
            let after = if before == last { String::new() } else { format!("_{before}") };
            format!("{last}{at_host}{after}_conf")
        } else {
            plain()
        };
        let is_taken = |id: &str| self.draft.configures.contains_key(id);
        if is_taken(&id) { free_name(&plain(), is_taken) } else { id }
    }
}
