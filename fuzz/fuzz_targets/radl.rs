//! Any text, as the text form and as the JSON form: nothing panics, and what prints parses back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use radl::{Radl, merge, placement};
use std::collections::BTreeMap;

fuzz_target!(
    init: {
        // The YAML scanner reports some malformed recipes by panicking, which `radl` catches; libFuzzer would stop at
        // the hook. A panic that nobody catches still aborts.
        std::panic::set_hook(Box::new(|_| {}));
    },
    |text: &str| {
        for radl in [Radl::parse(text), Radl::from_json(text)].into_iter().flatten() {
            let _ = radl.check();
            let (printed, json) = (radl.to_text(), radl.to_json());
            let _ = Radl::from_json_value(&json);
            if radl.to_parsable_text().is_ok() {
                let mut again = Radl::parse(&printed).expect("what prints parses back");
                // Printing adds blank lines around recipes, and a body to a description without one.
                again.configures.clone_from(&radl.configures);
                if let (Some(again), Some(known)) = (&mut again.description, &radl.description) {
                    again.reference = known.reference;
                }
                assert_eq!(again.to_json(), json);
            }
            let _ = merge::add_resource(&radl, &radl, &BTreeMap::new());
            let _ = merge::reconfigure(&radl, &radl);
            let _ = (radl.inventory_json(), placement::deploy_groups(&radl).take(100).count());
        }
    }
);
