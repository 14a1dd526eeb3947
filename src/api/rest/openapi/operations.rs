//! What the description of the API says of each operation: parameters, bodies, answers.

use super::super::routes::Operation;

/// A query parameter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Query {
    pub(super) name: &'static str,
    pub(super) kind: QueryKind,
    pub(super) required: bool,
    pub(super) about: &'static str,
}

/// Values of a query parameter.
#[derive(Debug, Clone, Copy)]
pub(super) enum QueryKind {
    /// A word of yes or no, and its default.
    Flag(bool),
    /// Free text.
    Text,
    /// A whole number from 0.
    Number,
}

/// Types a request body may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// None.
    None,
    /// A document in one of its languages; may be missing.
    Document,
    /// JSON of the schema of this name.
    Json(&'static str),
}

/// Shapes of answers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answer {
    /// Text only.
    Text,
    /// Text, or the same under a name in JSON.
    Named(&'static str),
    /// One URI.
    Uri,
    /// URIs.
    Uris,
    /// JSON of the schema of this name only.
    Json(&'static str),
    /// Text or JSON of the schema of this name.
    TextOr(&'static str),
    /// JSON of the schema of this name, or CSV.
    JsonOrCsv(&'static str),
    /// Server-sent events.
    Events,
    /// This document, or a page.
    Description,
}

/// What is said of an operation.
#[derive(Debug, Clone)]
pub(super) struct About {
    pub(super) summary: &'static str,
    pub(super) query: Vec<Query>,
    pub(super) body: Body,
    pub(super) answer: Answer,
}

const fn flag(name: &'static str, default: bool, about: &'static str) -> Query {
    Query { name, kind: QueryKind::Flag(default), required: false, about }
}

const fn text(name: &'static str, about: &'static str) -> Query {
    Query { name, kind: QueryKind::Text, required: false, about }
}

const ASYNC: Query = flag("async", false, "Answer once the work is safely stored");
const CONTEXT: Query = flag("context", true, "Contextualize afterwards");

/// What is said of an operation; none for what is not offered.
pub(super) fn about(operation: Operation) -> Option<About> {
    use Operation as O;
    let read = |summary, answer| About { summary, query: vec![], body: Body::None, answer };
    let act = |summary| About { summary, query: vec![], body: Body::None, answer: Answer::Text };
    Some(match operation {
        O::Describe => read("This description, or a page for browsers", Answer::Description),
        O::DescribeForPrograms => read("This description", Answer::Json("Description")),
        O::Version => read("Version of the contract", Answer::Named("version")),
        O::Health => read("Whether the process serves", Answer::Text),
        O::Readiness => read("Whether the daemon can do its work", Answer::Text),
        O::Metrics => read("Metrics in the text format of Prometheus", Answer::Text),
        O::List => About {
            query: vec![text("filter", "Regular expression searched in the documents")],
            ..read("Your infrastructures, newest first", Answer::Uris)
        },
        O::Create => About {
            summary: "Create an infrastructure, or estimate what it would use (dry_run)",
            query: vec![ASYNC, flag("dry_run", false, "Make nothing: answer what would be used")],
            body: Body::Document,
            answer: Answer::Uri,
        },
        O::Import => About {
            summary: "Take in an exported infrastructure",
            query: vec![],
            body: Body::Json("Export"),
            answer: Answer::Uri,
        },
        O::Machines => read("Machines of an infrastructure", Answer::Uris),
        O::Add => About { summary: "Add machines", query: vec![CONTEXT], body: Body::Document, answer: Answer::Uris },
        O::Destroy => About {
            query: vec![flag("force", false, "Although a cloud fails or machines are being launched"), ASYNC],
            ..act("Delete an infrastructure with all machines")
        },
        O::Log => About {
            query: vec![flag("headeronly", false, "Without the logs of machines")],
            ..read("Log of the contextualization", Answer::Named("contmsg"))
        },
        O::Document => read("The stored document", Answer::Named("radl")),
        O::State => read("State of the infrastructure and its machines", Answer::Json("InfrastructureState")),
        O::Tosca => read("The TOSCA document it was made from", Answer::Named("tosca")),
        O::Outputs => read("Outputs of the TOSCA document", Answer::Json("Outputs")),
        O::Export => About {
            query: vec![flag("delete", false, "Forget it here; its machines go on")],
            ..read("The whole infrastructure as a document for import", Answer::Json("Data"))
        },
        O::Owners => read("Names of the owners", Answer::TextOr("Owners")),
        O::ChangeOwners => About {
            summary: "Add an owner",
            query: vec![flag("overwrite", false, "The only one from now on")],
            body: Body::Json("Credentials"),
            answer: Answer::Text,
        },
        O::Events => About {
            query: vec![Query {
                name: "after",
                kind: QueryKind::Number,
                required: false,
                about: "Number of the last event seen; Last-Event-ID counts before it",
            }],
            ..read("States and log lines as they happen", Answer::Events)
        },
        O::StartAll => act("Start all machines"),
        O::StopAll => act("Stop all machines"),
        O::Reconfigure => About {
            summary: "Contextualize again, with new recipes or credentials if a document is given",
            query: vec![text("vm_list", "Numbers of the machines that run the user's recipes, with commas")],
            body: Body::Document,
            answer: Answer::Text,
        },
        O::Machine => read("Document of a machine", Answer::TextOr("RADL")),
        O::Alter => About {
            summary: "Change sizes of a machine or add disks",
            query: vec![],
            body: Body::Document,
            answer: Answer::TextOr("RADL"),
        },
        O::Remove => About { query: vec![CONTEXT], ..act("Delete machines: numbers with commas") },
        O::MachineLog => read("Log of a machine", Answer::Named("contmsg")),
        O::MachineError => read("Why a machine failed, null when it did not", Answer::Json("MachineError")),
        O::MachineProperty => read("One value of the machine's system", Answer::TextOr("Property")),
        O::Start => act("Start a machine"),
        O::Stop => act("Stop a machine"),
        O::Reboot => act("Reboot a machine"),
        O::Snapshot => About {
            query: vec![
                Query { name: "image_name", kind: QueryKind::Text, required: true, about: "Name of the new image" },
                flag("auto_delete", false, "The image goes with the infrastructure"),
            ],
            ..act("Make an image of a disk; answers its URL")
        },
        O::CloudImages => About {
            query: vec![text("filters", "key=value with commas")],
            ..read("Images of a cloud of yours", Answer::Json("Images"))
        },
        O::CloudQuotas => read("Limits of your account in a cloud", Answer::Json("Quotas")),
        O::Statistics => About {
            query: vec![
                text("init_date", "First day of creation, YYYY-MM-DD"),
                text("end_date", "Day after the last one"),
            ],
            ..read("Statistics of your infrastructures, deleted ones too", Answer::JsonOrCsv("Statistics"))
        },
        O::OtherProperty
        | O::OtherAction
        | O::MachineCommand
        | O::OtherMachineAction
        | O::OtherCloudProperty
        | O::Catalogue
        | O::StaticFile => return None,
    })
}
