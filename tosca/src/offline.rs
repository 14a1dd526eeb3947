//! A document with everything that surrounds it in one go, without a daemon: what the command line shows, and what the
//! conformance vectors are checked with (tests/vectors/tosca/README.md).

use crate::error::{Class, Error, Problem};
use crate::outputs::{Cloud, Machine};
use crate::sources::{Fetched, Surroundings};
use crate::template::Template;
use crate::translate::{Situation, Translation};
use crate::update::Stage;
use crate::yaml::{self, Data, Value};
use radl::Radl;
use serde_json::{Map, Value as Json, json};
use std::collections::HashMap;

/// What surrounds a document: the setup file of the vectors.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    resources: HashMap<String, String>,
    template_repository: Option<String>,
    access_token: Option<String>,
    machines: Option<Vec<OwnedMachine>>,
}

#[derive(Debug, Clone)]
struct OwnedMachine {
    id: u64,
    cloud_id: Option<String>,
    created: i64,
    radl: Radl,
    log: String,
    cloud: Option<Json>,
}

/// Why a setup cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the setup: {0}")]
pub struct SetupError(String);

/// Why there is no report, and when it came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Failure {
    /// `parse`, `translate`, `parse_update`, `merge` or `translate_update`.
    pub phase: &'static str,
    /// The problems.
    pub error: Error,
}

/// What becomes of a document.
#[derive(Debug, Clone)]
pub struct Report {
    /// The translation, of the merged document when there was an update.
    pub translation: Translation,
    /// The template that it comes from.
    pub template: Template,
    /// The translation of the first document when there was an update.
    pub first: Option<Translation>,
    /// The outputs, when machines are given, with what is wrong with those that are null.
    pub outputs: Option<(Map<String, Json>, Vec<Error>)>,
}

impl Setup {
    /// Reads a setup: `resources`, `tosca_repo`, `auth` and `inventory`.
    ///
    /// # Errors
    /// It is not as the vectors describe it.
    pub fn from_json(json: &Json) -> Result<Self, SetupError> {
        let mut setup = Self::default();
        for (url, text) in json.get("resources").and_then(Json::as_object).into_iter().flatten() {
            let text = text.as_str().ok_or_else(|| SetupError(format!("resources: {url} has to be a text")))?;
            setup.resources.insert(url.clone(), text.to_owned());
        }
        let text = |json: &Json, key: &str| json.get(key).and_then(Json::as_str).map(str::to_owned);
        setup.template_repository = text(json, "tosca_repo");
        let entries = json.get("auth").and_then(Json::as_array).into_iter().flatten();
        let mut own = entries.filter(|entry| text(entry, "type").as_deref() == Some("InfrastructureManager"));
        setup.access_token = own.find_map(|entry| text(entry, "token"));
        if let Some(inventory) = json.get("inventory") {
            let vms = inventory.get("vms").and_then(Json::as_array);
            let vms = vms.ok_or_else(|| SetupError("inventory.vms has to be a list".to_owned()))?;
            let mut machines = vms.iter().map(machine).collect::<Result<Vec<_>, _>>()?;
            machines.sort_by_key(|machine| machine.id);
            setup.machines = Some(machines);
        }
        Ok(setup)
    }

    /// Outputs are evaluated, though there is no machine.
    pub fn evaluate_outputs(&mut self) {
        self.machines.get_or_insert_default();
    }

    fn machines(&self) -> Vec<Machine<'_>> {
        self.machines.iter().flatten().map(OwnedMachine::borrowed).collect()
    }
}

impl OwnedMachine {
    fn borrowed(&self) -> Machine<'_> {
        let cloud = self.cloud.as_ref().map(|cloud| {
            let auth = |key: &str| cloud.get("auth")?.get(key)?.as_str();
            let text = |key: &str| cloud.get(key)?.as_str();
            Cloud {
                kind: text("type").unwrap_or_default(),
                url: text("url"),
                username: auth("username"),
                password: auth("password"),
                token: auth("token"),
            }
        });
        Machine {
            id: self.id,
            cloud_id: self.cloud_id.as_deref(),
            created: self.created,
            radl: &self.radl,
            log: &self.log,
            cloud,
        }
    }
}

fn machine(vm: &Json) -> Result<OwnedMachine, SetupError> {
    let text = |key: &str| vm.get(key).and_then(Json::as_str).map(str::to_owned);
    let id = vm.get("im_id").and_then(Json::as_u64).ok_or_else(|| SetupError("im_id has to be a number".to_owned()))?;
    let radl = vm.get("radl").ok_or_else(|| SetupError(format!("the machine {id} has no radl")))?;
    let radl =
        Radl::from_json_value(radl).map_err(|error| SetupError(format!("the radl of the machine {id}: {error}")))?;
    Ok(OwnedMachine {
        id,
        cloud_id: text("id"),
        created: vm.get("creation_date").and_then(Json::as_f64).unwrap_or_default() as i64,
        radl,
        log: text("cont_out").unwrap_or_default(),
        cloud: vm.get("cloud").cloned(),
    })
}

/// Gives inputs of a document other values.
///
/// # Errors
/// The document declares no input of that name.
pub fn set_inputs(document: &mut Value, values: &Value) -> Result<(), Error> {
    let mut inputs = document;
    for key in ["topology_template", "inputs"] {
        let Data::Map(map) = &mut inputs.data else { return unknown_inputs(values) };
        let Some(next) = map.get_mut(key) else { return unknown_inputs(values) };
        inputs = next;
    }
    let mut problems = Vec::new();
    for (name, value) in values.as_map().into_iter().flatten() {
        let Data::Map(declared) = &mut inputs.data else { return unknown_inputs(values) };
        match declared.get_mut(name).map(|input| &mut input.data) {
            Some(Data::Map(input)) => drop(input.insert("default".to_owned(), value.clone())),
            _ => problems.push(unknown_input(name)),
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::Refused(problems)) }
}

fn unknown_input(name: &str) -> Problem {
    Problem::new(Class::UnknownInput, format!("Unknown input \"{name}\"."))
}

fn unknown_inputs(values: &Value) -> Result<(), Error> {
    let problems: Vec<Problem> = values.as_map().into_iter().flatten().map(|(name, _)| unknown_input(name)).collect();
    if problems.is_empty() { Ok(()) } else { Err(Error::Refused(problems)) }
}

/// Reads and translates a document, and an update of what became of it. `inputs` gives inputs of the document other
/// values; `random` is asked for that many characters.
///
/// # Errors
/// The document or the update is refused.
pub fn run(
    text: &str,
    inputs: &Value,
    update: Option<&str>,
    setup: &Setup,
    random: &dyn Fn(usize) -> String,
) -> Result<Report, Failure> {
    let fail = |phase| move |error| Failure { phase, error };
    let sources = |url: &str| match setup.resources.get(url) {
        Some(text) => Fetched::Text(text.clone()),
        None => Fetched::Failed("Not Found".to_owned()),
    };
    let surroundings = Surroundings {
        sources: &sources,
        template_repository: setup.template_repository.as_deref(),
        access_token: setup.access_token.as_deref(),
        random,
    };
    let mut document = yaml::parse(text).map_err(|fault| fail("parse")(fault.into()))?;
    set_inputs(&mut document, inputs).map_err(fail("parse"))?;
    let template = Template::from_document(document, &surroundings).map_err(fail("parse"))?;
    let created = Situation { machines: &[], surroundings: &surroundings };
    let translation = template.translate(&created).map_err(fail("translate"))?;
    let machines = setup.machines();
    let Some(update) = update else {
        let outputs = setup.machines.as_ref().map(|_| template.outputs_and_problems(&machines));
        return Ok(Report { translation, template, first: None, outputs });
    };
    let updated = template.updated(update, &surroundings).map_err(|(stage, error)| match stage {
        Stage::Document => Failure { phase: "parse_update", error },
        Stage::Merged => Failure { phase: "merge", error },
    })?;
    let running = Situation { machines: &machines, surroundings: &surroundings };
    let later = updated.translate(&running).map_err(fail("translate_update"))?;
    let outputs = setup.machines.as_ref().map(|_| updated.outputs_and_problems(&machines));
    Ok(Report { translation: later, template: updated, first: Some(translation), outputs })
}

impl Report {
    /// The object that the vectors call *Expected*.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let radl = &self.translation.radl;
        let deploy =
            |deploy: &radl::Deploy| json!({"system": deploy.system, "vm_number": deploy.number, "cloud": deploy.cloud});
        let mut report = json!({
            "radl": radl_json(radl),
            "deploys": radl.deploys.iter().map(deploy).collect::<Vec<_>>(),
            "remove_list": self.translation.remove,
            "radl_check": radl.check().map_or_else(|error| Json::from(error.to_string()), |()| Json::Bool(true)),
            "document": self.template.document().to_json(),
        });
        if let Some(object) = report.as_object_mut() {
            if let Some((outputs, _)) = &self.outputs {
                object.insert("outputs".to_owned(), Json::Object(outputs.clone()));
            }
            if let Some(first) = &self.first {
                object.insert("first".to_owned(), json!({"radl": radl_json(&first.radl)}));
            }
        }
        report
    }
}

/// The JSON form of the RADL. Whether the certificate of a MinIO server is verified is a truth value in the reference's
/// form of a translation; RADL knows numbers only.
fn radl_json(radl: &Radl) -> Json {
    let mut json = radl.to_json();
    for object in json.as_array_mut().into_iter().flatten().filter_map(Json::as_object_mut) {
        for (key, value) in object.iter_mut() {
            if key.starts_with("minio.") && key.ends_with(".verify") {
                *value = Json::Bool(value.as_i64() == Some(1));
            }
        }
    }
    json
}
