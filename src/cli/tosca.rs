//! `imd tosca`: reads a TOSCA document and shows the RADL that it becomes, without a daemon.

use super::{
    ErrorFormat, Output, OutputForm,
    radl::{dump, excerpt, read},
};
use ::radl::Position;
use clap::Args;
use rand::{Rng, distr::Alphanumeric};
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};
use tosca::{
    Error,
    offline::{self, Failure, Report, Setup},
    yaml::{self, Value},
};

/// Arguments of `imd tosca`.
#[derive(Debug, Args)]
pub struct ToscaArguments {
    /// The document; - reads standard input
    file: PathBuf,
    /// Values for inputs of the document: a map in YAML or JSON
    #[arg(long, value_name = "FILE")]
    inputs: Option<PathBuf>,
    /// What surrounds the document, as a setup file of tests/vectors/tosca: files at addresses (there is no network),
    /// template repository, authorization, machines that are there
    #[arg(long, value_name = "FILE")]
    setup: Option<PathBuf>,
    /// A second document, posted to the infrastructure that the first one becomes
    #[arg(long, value_name = "FILE")]
    update: Option<PathBuf>,
    /// Show the outputs alone, evaluated on the machines of the setup
    #[arg(long, conflicts_with = "explain")]
    outputs: bool,
    /// Form to print the result in: the RADL as text, or everything as JSON
    #[arg(long, value_enum, default_value_t = OutputForm::Json)]
    to: OutputForm,
    /// How an error is told: text on standard error, or JSON on standard output
    #[arg(long, value_enum, default_value_t = ErrorFormat::Text)]
    errors: ErrorFormat,
    /// Say which node became which system, and which rule made each network and recipe
    #[arg(long)]
    explain: bool,
}

/// Reads the files and does what the arguments say.
pub(super) fn run(arguments: &ToscaArguments) -> Output {
    translated(arguments).unwrap_or_else(|error| Output { stderr: format!("imd: {error}\n"), ..Output::default() })
}

fn text_of(file: &Path) -> Result<String, String> {
    read(file).map_err(|error| format!("{}: {error}", file.display()))
}

fn translated(arguments: &ToscaArguments) -> Result<Output, String> {
    let text = text_of(&arguments.file)?;
    let inputs = match &arguments.inputs {
        None => Value::NULL,
        Some(file) => {
            let fault =
                |fault: yaml::Fault| format!("{}: line {}: {}", file.display(), fault.place.line, fault.message);
            yaml::parse(&text_of(file)?).map_err(fault)?
        }
    };
    let setup = match &arguments.setup {
        None => Json::Null,
        Some(file) => serde_json::from_str(&text_of(file)?).map_err(|error| format!("{}: {error}", file.display()))?,
    };
    let mut setup = Setup::from_json(&setup).map_err(|error| error.to_string())?;
    if arguments.outputs {
        setup.evaluate_outputs();
    }
    let update = arguments.update.as_deref().map(text_of).transpose()?;
    let random = |length| rand::rng().sample_iter(Alphanumeric).take(length).map(char::from).collect();
    Ok(match offline::run(&text, &inputs, update.as_deref(), &setup, &random) {
        Ok(report) => shown(&report, arguments),
        Err(failure) => {
            let document =
                if matches!(failure.phase, "parse_update") { update.as_deref() } else { Some(text.as_str()) };
            refused(&failure, document.unwrap_or(&text), arguments.errors)
        }
    })
}

fn shown(report: &Report, arguments: &ToscaArguments) -> Output {
    let warnings = report.translation.warnings.iter().map(|warning| format!("WARNING: {warning}\n"));
    let problems = report.outputs.iter().flat_map(|(_, problems)| problems);
    let stderr = warnings.chain(problems.map(|problem| format!("WARNING: {problem}\n"))).collect();
    let stdout = match &report.outputs {
        Some((outputs, _)) if arguments.outputs => dump(&Json::Object(outputs.clone())) + "\n",
        _ if arguments.explain => report.translation.explanation(),
        _ => match arguments.to {
            OutputForm::Radl => report.translation.radl.to_text(),
            OutputForm::Json => dump(&report.to_json()) + "\n",
        },
    };
    Output { stdout, stderr, success: true }
}

fn refused(failure: &Failure, text: &str, format: ErrorFormat) -> Output {
    let Failure { phase, error } = failure;
    let place = error.place();
    match format {
        ErrorFormat::Text => {
            let position = Position { line: place.line, column: Some(place.column).filter(|column| *column > 0) };
            // What a merged document says stands in neither of the two.
            let is_shown = place.line > 0 && !matches!(*phase, "merge" | "translate_update");
            let excerpt = if is_shown { excerpt(text, position).unwrap_or_default() } else { String::new() };
            Output { stderr: format!("{error}\n{excerpt}"), ..Output::default() }
        }
        ErrorFormat::Json => {
            let path = error.problems().first().map(|problem| problem.path.as_str());
            let problem = |problem: &tosca::Problem| {
                json!({
                    "class": problem.class.name(),
                    "message": problem.message,
                    "line": problem.place.line,
                    "column": problem.place.column,
                    "path": problem.path,
                    "expected": problem.expected,
                })
            };
            let object = json!({
                "error": error.to_string(),
                "phase": phase,
                "line": known(error),
                "path": path,
                "problems": error.problems().iter().map(problem).collect::<Vec<_>>(),
            });
            Output { stdout: dump(&object) + "\n", ..Output::default() }
        }
    }
}

/// The line of the first problem, if it is known.
fn known(error: &Error) -> Option<u32> {
    Some(error.place().line).filter(|line| *line > 0)
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use super::*;
    use std::fs;

    fn asked(folder: &Path, document: &str, change: impl FnOnce(&mut ToscaArguments)) -> Output {
        let file = folder.join("document.yaml");
        fs::write(&file, document).expect("a file");
        let mut arguments = ToscaArguments {
            file,
            inputs: None,
            setup: None,
            update: None,
            outputs: false,
            to: OutputForm::Json,
            errors: ErrorFormat::Text,
            explain: false,
        };
        change(&mut arguments);
        run(&arguments)
    }

    #[test]
    fn documents_are_translated_explained_and_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let document = "tosca_definitions_version: tosca_simple_yaml_1_3\ntopology_template:\n  inputs:\n    n: { type: \
                        integer, default: 1 }\n  node_templates:\n    vm: { type: Compute, capabilities: { host: { \
                        properties: { num_cpus: { get_input: n } } } } }\n  outputs:\n    n: { value: { get_input: n } }\n";
        let json = asked(folder.path(), document, |_| {});
        let report: Json = serde_json::from_str(&json.stdout).expect("JSON");
        assert!(json.success && report["deploys"][0]["system"] == "vm", "{json:?}");
        let inputs = folder.path().join("inputs.yaml");
        fs::write(&inputs, "n: 7").expect("a file");
        let radl = asked(folder.path(), document, |arguments| {
            (arguments.to, arguments.inputs) = (OutputForm::Radl, Some(inputs.clone()));
        });
        assert!(radl.stdout.contains("cpu.count >= 7"), "{radl:?}");
        let outputs = asked(folder.path(), document, |arguments| {
            (arguments.outputs, arguments.inputs) = (true, Some(inputs.clone()));
        });
        assert_eq!(outputs.stdout, "{\n  \"n\": 7\n}\n");
        let explained = asked(folder.path(), document, |arguments| arguments.explain = true);
        assert!(explained.stdout.contains("vm is a system, because its type tosca.nodes.Compute"), "{explained:?}");

        let wrong = document.replace("num_cpus", "cpus");
        let told = asked(folder.path(), &wrong, |_| {});
        assert!(!told.success && told.stderr.contains("contains unknown field \"cpus\""), "{told:?}");
        assert!(
            told.stderr.contains("line 6, column 64, node_templates.vm.capabilities.host.properties.cpus"),
            "{told:?}"
        );
        let told = asked(folder.path(), &wrong, |arguments| arguments.errors = ErrorFormat::Json);
        let error: Json = serde_json::from_str(&told.stdout).expect("JSON");
        assert_eq!((&error["phase"], &error["line"]), (&"parse".into(), &6.into()), "{error}");
    }
}
