//! Any document to import: it is taken in or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = imd::engine::exchange::import::read(text, 0);
});
