//! Any text as YAML: nothing panics, what can be checked can be read, and what is written is read as it was written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use radl::yaml;

fuzz_target!(
    init: {
        // The YAML scanner reports some malformed texts by panicking, which `radl` catches; libFuzzer would stop at the
        // hook. A panic that nobody catches still aborts.
        std::panic::set_hook(Box::new(|_| {}));
    },
    |text: &str| {
        let read = yaml::parse(text);
        for reader in [yaml::Reader::Ansible, yaml::Reader::CloudInit] {
            let is_template = text.trim_start().starts_with(yaml::CLOUD_TEMPLATE);
            assert!(yaml::check_for(reader, text).is_err() || read.is_ok() || is_template);
        }
        let _ = (yaml::shape(text), yaml::counterpart(text, (2, 3), text));
        let Ok(Some(node)) = read else { return };
        if let Ok(written) = yaml::emit(&node) {
            // Some texts get quotes where they had none; then they keep them.
            let again = yaml::parse(&written).expect("what is written is read").expect("it is not empty");
            assert_eq!(yaml::emit(&again).expect("what was read is written"), written);
        }
    }
);
