//! Any text as a TOSCA document: nothing panics, and nothing takes long.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tosca::{NoSources, Situation, Surroundings, Template, yaml};

fuzz_target!(
    init: {
        // The YAML scanner reports some malformed texts by panicking, which `tosca` catches; libFuzzer would stop at the
        // hook. A panic that nobody catches still aborts.
        std::panic::set_hook(Box::new(|_| {}));
    },
    |text: &str| {
        let random = |length| "r".repeat(length);
        let surroundings =
            Surroundings { sources: &NoSources, template_repository: None, access_token: None, random: &random };
        // Most texts lack the version, without which nothing else is looked at.
        for text in [text.to_owned(), format!("tosca_definitions_version: tosca_simple_yaml_1_3\n{text}")] {
            let Ok(document) = yaml::parse(&text) else { continue };
            let Ok(template) = Template::from_document(document, &surroundings) else { continue };
            let _ = template.outputs(&[]);
            if let Ok(translation) = template.translate(&Situation { machines: &[], surroundings: &surroundings }) {
                let _ = (translation.radl.check(), translation.radl.to_json());
            }
            let _ = template.updated(&text, &surroundings);
        }
    }
);
