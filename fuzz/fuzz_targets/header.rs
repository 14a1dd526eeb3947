//! Any `Authorization` header: nothing panics, and no secret is in an error.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|header: &str| {
    if let Ok(credentials) = imd::auth::parse_header(header) {
        let _ = credentials.clouds();
    }
});
