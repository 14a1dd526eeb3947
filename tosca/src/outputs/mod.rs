//! Outputs of a document, with what live machines have (docs/spec/tosca.md 10).

mod live;
mod log;

use crate::error::Error;
use crate::functions::{Entity, Evaluator, Scope};
use crate::template::Template;
use radl::Radl;
use serde_json::{Map, Value as Json};

/// A machine of the infrastructure, as far as documents are concerned.
#[derive(Debug, Clone)]
pub struct Machine<'a> {
    /// Its number in the infrastructure.
    pub id: u64,
    /// Its id in the cloud.
    pub cloud_id: Option<&'a str>,
    /// When it was created, in seconds; only the order counts.
    pub created: i64,
    /// Its RADL: its system and the networks that it is on.
    pub radl: &'a Radl,
    /// The log of its contextualization.
    pub log: &'a str,
    /// The cloud that it is in.
    pub cloud: Option<Cloud<'a>>,
}

/// A cloud, as far as functions on it are concerned.
#[derive(Clone, Default)]
pub struct Cloud<'a> {
    /// The type of its connector, as `OSCAR`.
    pub kind: &'a str,
    /// Where it is.
    pub url: Option<&'a str>,
    /// User name of the credentials.
    pub username: Option<&'a str>,
    /// Password of the credentials.
    pub password: Option<&'a str>,
    /// Bearer token of the credentials.
    pub token: Option<&'a str>,
}

impl std::fmt::Debug for Cloud<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cloud").field("kind", &self.kind).field("url", &self.url).finish_non_exhaustive()
    }
}

impl Template {
    /// The values of all outputs. `machines` are those that are not destroyed, in the order of their creation. One output
    /// that cannot be evaluated is null and keeps no other one from being told.
    #[must_use]
    pub fn outputs(&self, machines: &[Machine<'_>]) -> Map<String, Json> {
        self.evaluate_outputs(machines, |_| {})
    }

    /// As [`Template::outputs`], with the problems of those that are null for a reason of their own.
    #[must_use]
    pub fn outputs_and_problems(&self, machines: &[Machine<'_>]) -> (Map<String, Json>, Vec<Error>) {
        let mut problems = Vec::new();
        let outputs = self.evaluate_outputs(machines, |problem| problems.push(problem));
        (outputs, problems)
    }

    fn evaluate_outputs(&self, machines: &[Machine<'_>], mut failed: impl FnMut(Error)) -> Map<String, Json> {
        let live = live::Live { machines };
        let scope = Scope { entity: Entity::Outputs, is_of_type: false };
        let mut outputs = Map::new();
        for (name, value) in &self.outputs {
            let evaluated = Evaluator::new(self, &live).evaluate(value, scope);
            let value = evaluated.map(|value| value.to_json()).unwrap_or_else(|problem| {
                let problem = problem.at(value.place, &format!("outputs.{name}"));
                failed(Error::Failed(crate::Phase::Outputs, vec![problem]));
                Json::Null
            });
            outputs.insert(name.clone(), value);
        }
        outputs
    }
}
