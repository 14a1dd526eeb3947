//! A client of XML-RPC, and what its tests share (docs/spec/api.md 3).

use crate::support::{Answer, Server};
use dxr::{FaultResponse, MethodCall, MethodResponse, Value};
use std::collections::BTreeMap;

/// The path most clients use.
pub const PATH: &str = "/RPC2";

/// A string.
pub fn string(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// A struct.
pub fn structure(members: &[(&str, Value)]) -> Value {
    Value::Struct(members.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect::<BTreeMap<_, _>>())
}

/// A struct of strings.
pub fn item(members: &[(&str, &str)]) -> Value {
    structure(&members.iter().map(|(name, text)| (*name, string(text))).collect::<Vec<_>>())
}

/// An array.
pub fn array<const N: usize>(values: [Value; N]) -> Value {
    Value::Array(values.into())
}

/// The item of a user.
pub fn user(name: &str) -> Value {
    item(&[("type", "InfrastructureManager"), ("username", name), ("password", "pass")])
}

/// Credentials of the user of the other tests.
pub fn auth() -> Value {
    array([user("user"), item(&[("id", "dummy"), ("type", "Dummy")])])
}

/// The XML of a call.
pub fn xml(method: &str, arguments: &[Value]) -> String {
    let call = MethodCall { name: method.into(), params: arguments.to_vec() };
    format!("<?xml version='1.0'?>\n{}", call.to_xml().unwrap())
}

impl Server {
    /// URL of a path of XML-RPC.
    pub fn rpc_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.xmlrpc)
    }

    /// Posts a body, which is answered.
    pub async fn post_xml(&self, body: impl Into<reqwest::Body>) -> Answer {
        Answer::of(self.client.post(self.rpc_url(PATH)).header("content-type", "text/xml").body(body)).await
    }

    /// What a call gives, its pair taken apart; a fault is a failure of the test.
    pub async fn try_call(&self, method: &str, arguments: &[Value]) -> Result<Value, String> {
        let answer = self.post_xml(xml(method, arguments)).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "text/xml"), "{method}");
        assert!(answer.text.starts_with("<?xml version='1.0'?>\n<methodResponse>"), "{}", answer.text);
        let response = MethodResponse::from_xml(&answer.text).unwrap_or_else(|_| panic!("{method}: {}", answer.text));
        let Value::Array(pair) = response.value else { panic!("{method}: {}", answer.text) };
        match <[Value; 2]>::try_from(pair) {
            Ok([Value::Boolean(true), value]) => Ok(value),
            Ok([Value::Boolean(false), Value::String(message)]) => Err(message),
            other => panic!("{method}: not a pair: {other:?}"),
        }
    }

    /// The value of a call that must succeed.
    pub async fn call(&self, method: &str, arguments: &[Value]) -> Value {
        self.try_call(method, arguments).await.unwrap_or_else(|message| panic!("{method}: {message}"))
    }

    /// The text of a call that must succeed with one.
    pub async fn call_text(&self, method: &str, arguments: &[Value]) -> String {
        match self.call(method, arguments).await {
            Value::String(text) => text,
            other => panic!("{method}: not a text: {other:?}"),
        }
    }

    /// The message of a call that must be refused.
    pub async fn refused(&self, method: &str, arguments: &[Value]) -> String {
        match self.try_call(method, arguments).await {
            Err(message) => message,
            Ok(value) => panic!("{method} was not refused: {value:?}"),
        }
    }

    /// The string of the fault that a body is answered with.
    pub async fn fault(&self, body: impl Into<reqwest::Body>) -> String {
        let answer = self.post_xml(body).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "text/xml"), "{}", answer.text);
        let fault = FaultResponse::from_xml(&answer.text).unwrap_or_else(|_| panic!("no fault: {}", answer.text)).fault;
        assert_eq!(fault.code(), 1, "{}", fault.string());
        fault.string().to_owned()
    }

    /// Makes an infrastructure of the test document by XML-RPC and waits until it is configured; its id.
    pub async fn create_by_call(&self, number: u32) -> String {
        let id = self.call_text("CreateInfrastructure", &[string(&crate::support::document(number)), auth()]).await;
        self.wait_for(&format!("/infrastructures/{id}"), "configured").await;
        id
    }
}
