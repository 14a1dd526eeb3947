//! Any bytes as the body of an XML-RPC call: nothing panics, and the values of what is a call can be written and read again.
#![no_main]

use dxr::{MethodResponse, Value};
use imd::api::xmlrpc::wire;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    if let Ok(call) = wire::text(body, None, usize::MAX).and_then(|text| wire::read(&text)) {
        let answer = wire::write(Ok(Value::Array(call.arguments)));
        MethodResponse::from_xml(&answer).expect("an answer is XML-RPC");
    }
});
