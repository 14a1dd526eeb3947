//! XML <-> calls and answers (http://xmlrpc.com/spec.md, with the usual `nil` and `i8`).
//!
//! `dxr` reads and writes the values. It reads by recursion and says little about what it cannot read, so that a call is
//! looked through first: well-formed, in UTF-8, without a document type (and so without entities of its own), and neither
//! deep nor large enough to cost more than it should.

use dxr::{Fault, FaultResponse, MethodCall, MethodResponse, Value};
use quick_xml::{Reader, events::Event};
use std::fmt::Write;

/// Elements that may be open at a time. A value in an array takes three.
const MAX_DEPTH: usize = 128;
/// Elements of a call. The largest allowed list of credentials needs a quarter of them.
const MAX_ELEMENTS: usize = 200_000;

/// A call: the name of a method, and what it is called with.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Name of the method.
    pub name: String,
    /// Its arguments.
    pub arguments: Vec<Value>,
}

/// Why bytes are not a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not XML.
    #[error("not well-formed at byte {at}: {reason}")]
    Xml {
        /// Where.
        at: u64,
        /// What is wrong there.
        reason: String,
    },
    /// Not in UTF-8.
    #[error("only UTF-8 is read")]
    Encoding,
    /// Entities could be defined in it.
    #[error("a document type is not allowed")]
    DocumentType,
    /// Too deep.
    #[error("more than {MAX_DEPTH} elements in one another")]
    Depth,
    /// Too many elements.
    #[error("more than {MAX_ELEMENTS} elements")]
    Size,
    /// XML, but no `methodCall` with values.
    #[error("not an XML-RPC method call, or a value that is none of its type")]
    Call,
}

/// Reads a call.
///
/// # Errors
/// The bytes are no call.
pub fn read(body: &[u8]) -> Result<Call, Malformed> {
    let text = std::str::from_utf8(body).map_err(|_| Malformed::Encoding)?;
    let text = text.trim_start_matches('\u{feff}');
    look_through(text)?;
    let call = MethodCall::from_xml(text).map_err(|_| Malformed::Call)?;
    Ok(Call { name: call.name.trim().to_owned(), arguments: call.params })
}

fn look_through(text: &str) -> Result<(), Malformed> {
    let mut reader = Reader::from_str(text);
    let (mut depth, mut elements) = (0_usize, 0_usize);
    loop {
        match reader.read_event() {
            Ok(Event::Start(_)) => {
                depth += 1;
                elements += 1;
            }
            Ok(Event::Empty(_)) => elements += 1,
            Ok(Event::End(_)) => depth = depth.saturating_sub(1),
            Ok(Event::DocType(_)) => return Err(Malformed::DocumentType),
            Ok(Event::Decl(declaration)) => {
                let is_utf8 = |name: &str| ["utf-8", "us-ascii"].iter().any(|known| name.eq_ignore_ascii_case(known));
                if declaration.encoding().is_some_and(|name| !name.is_ok_and(|name| is_utf8(&name))) {
                    return Err(Malformed::Encoding);
                }
            }
            Ok(Event::Eof) if depth == 0 => return Ok(()),
            Ok(Event::Eof) => {
                return Err(Malformed::Xml { at: reader.buffer_position(), reason: "it ends too early".to_owned() });
            }
            Ok(_) => {}
            Err(error) => return Err(Malformed::Xml { at: reader.error_position(), reason: error.to_string() }),
        }
        if depth > MAX_DEPTH {
            return Err(Malformed::Depth);
        }
        if elements > MAX_ELEMENTS {
            return Err(Malformed::Size);
        }
    }
}

/// Writes an answer: the result of a call, or the fault instead of one.
#[must_use]
pub fn write(outcome: Result<Value, Fault>) -> String {
    let written = match outcome {
        Ok(value) => MethodResponse { value }.to_xml(),
        Err(fault) => FaultResponse { fault }.to_xml(),
    };
    let body = written.unwrap_or_else(|error| {
        tracing::error!(%error, "an answer cannot be written as XML");
        "<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>1</int></value></member>\
         <member><name>faultString</name><value><string>The answer cannot be written as XML.</string></value></member>\
         </struct></value></fault></methodResponse>"
            .to_owned()
    });
    let mut text = String::with_capacity(body.len() + 32);
    text.push_str("<?xml version='1.0'?>\n");
    push_allowed(&mut text, &body);
    text
}

/// Logs hold colours and other control characters, which no XML may have, and line ends that a reader would change.
fn push_allowed(text: &mut String, body: &str) {
    let is_special = |c: char| matches!(c, '\0'..'\t' | '\u{b}'..' ' | '\u{fffe}' | '\u{ffff}');
    for piece in body.split_inclusive(is_special) {
        match piece.chars().next_back() {
            Some(special) if is_special(special) => {
                text.push_str(&piece[..piece.len() - special.len_utf8()]);
                if special == '\r' {
                    // Writing to a String does not fail.
                    let _ = write!(text, "&#13;");
                } else {
                    text.push('\u{fffd}');
                }
            }
            _ => text.push_str(piece),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn arguments(values: &str) -> Result<Vec<Value>, Malformed> {
        let text = format!(
            "<?xml version='1.0'?><methodCall><methodName>M</methodName><params>{values}</params></methodCall>"
        );
        let call = read(text.as_bytes())?;
        assert_eq!(call.name, "M");
        Ok(call.arguments)
    }

    fn argument(value: &str) -> Value {
        arguments(&format!("\n<param>\n  {value}\n</param>\n")).unwrap().remove(0)
    }

    #[test]
    fn calls_as_clients_write_them() {
        let string = |text: &str| Value::String(text.to_owned());
        for (xml, value) in [
            ("<value><string>a &lt;b&gt; &#65;&#x42;&amp;</string></value>", string("a <b> AB&")),
            ("<value>bare</value>", string("bare")),
            ("<value></value>", string("")),
            ("<value/>", string("")),
            ("<value><string/></value>", string("")),
            ("<value><string></string></value>", string("")),
            ("<value><string> \n x\n</string></value>", string(" \n x\n")),
            ("<value><string><![CDATA[<a> &amp;]]></string></value>", string("<a> &amp;")),
            ("<value><string>a<!-- no -->b</string></value>", string("ab")),
            ("<value><int>-3</int></value>", Value::Integer(-3)),
            ("<value><i4>3</i4></value>", Value::Integer(3)),
            ("<value><i8>4294967296</i8></value>", Value::Long(4_294_967_296)),
            ("<value><boolean>1</boolean></value>", Value::Boolean(true)),
            ("<value><double>1.5</double></value>", Value::Double(1.5)),
            ("<value><nil/></value>", Value::Nil),
            ("<value><array><data/></array></value>", Value::Array(vec![])),
            (
                "<value>\n <array>\n <data>\n <value><int>1</int></value>\n <value>\n<string>a</string>\n</value>\n </data> </array>\n </value>",
                Value::Array(vec![Value::Integer(1), string("a")]),
            ),
            (
                "<value><struct>\n<member>\n<name>k</name>\n<value><nil></nil></value>\n</member>\n</struct></value>",
                Value::Struct(BTreeMap::from([("k".to_owned(), Value::Nil)])),
            ),
        ] {
            assert_eq!(argument(xml), value, "{xml}");
        }
        for text in [
            "<methodCall><methodName>M</methodName></methodCall>",
            "\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<methodCall>\n <methodName> M </methodName>\n <params/>\n</methodCall>\n",
        ] {
            assert_eq!(read(text.as_bytes()), Ok(Call { name: "M".to_owned(), arguments: vec![] }), "{text}");
        }
    }

    #[test]
    fn what_is_no_call_is_refused_with_the_reason() {
        let nested = |times: usize| {
            let (open, close) = ("<value><array><data>".repeat(times), "</data></array></value>".repeat(times));
            arguments(&format!("<param>{open}{close}</param>"))
        };
        assert!(nested(40).is_ok());
        assert_eq!(nested(50), Err(Malformed::Depth));
        let many = |times: usize| {
            arguments(&format!(
                "<param><value><array><data>{}</data></array></value></param>",
                "<value/>".repeat(times)
            ))
        };
        assert!(many(1000).is_ok());
        assert_eq!(many(MAX_ELEMENTS), Err(Malformed::Size));
        let entities = "<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'aaaa'><!ENTITY b SYSTEM 'file:///etc/passwd'>]>\
                        <methodCall><methodName>&a;</methodName></methodCall>";
        assert_eq!(read(entities.as_bytes()), Err(Malformed::DocumentType));
        assert_eq!(arguments("<param><value><string>&b;</string></value></param>"), Err(Malformed::Call));
        assert_eq!(read(b"\xff<methodCall/>"), Err(Malformed::Encoding));
        let latin = "<?xml version='1.0' encoding='iso-8859-1'?><methodCall><methodName>M</methodName></methodCall>";
        assert_eq!(read(latin.as_bytes()), Err(Malformed::Encoding));
        for text in
            ["<methodCall><methodName>M</methodName>", "<a></b>", "<a", "<methodCall><methodName>M</x></methodCall>"]
        {
            assert!(matches!(read(text.as_bytes()), Err(Malformed::Xml { .. })), "{text}: {:?}", read(text.as_bytes()));
        }
        for text in ["", "x", "<methodCall/>", "<methodResponse><params/></methodResponse>"] {
            assert_eq!(read(text.as_bytes()), Err(Malformed::Call), "{text}");
        }
        for value in [
            "<value><int>x</int></value>",
            "<value><int>2147483648</int></value>",
            "<value><boolean>yes</boolean></value>",
            "<value><base64>*</base64></value>",
            "<value><colour>red</colour></value>",
        ] {
            assert_eq!(arguments(&format!("<param>{value}</param>")), Err(Malformed::Call), "{value}");
        }
    }

    #[test]
    fn answers_are_xml_whatever_is_in_them() {
        let text = "\u{1b}[31mred\u{1b}[0m\r\n\tok & <é>\u{0}\u{ffff}";
        let written = write(Ok(Value::Array(vec![Value::Boolean(true), Value::String(text.to_owned())])));
        assert_eq!(
            written,
            "<?xml version='1.0'?>\n<methodResponse><params><param><value><array><data><value><boolean>1</boolean></value>\
             <value><string>\u{fffd}[31mred\u{fffd}[0m&#13;\n\tok &amp; &lt;é&gt;\u{fffd}\u{fffd}</string></value></data></array></value>\
             </param></params></methodResponse>"
        );
        let fault = write(Err(Fault::new(1, "<class 'X'>:y".to_owned())));
        assert_eq!(FaultResponse::from_xml(&fault).unwrap().fault, Fault::new(1, "<class 'X'>:y".to_owned()));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i32>().prop_map(Value::Integer),
            any::<i64>().prop_map(Value::Long),
            any::<bool>().prop_map(Value::Boolean),
            "[^\0-\x08\x0b-\x1f\u{fffe}\u{ffff}]{0,20}".prop_map(Value::String),
            (-1e9..1e9).prop_map(Value::Double),
            Just(Value::Nil),
        ];
        leaf.prop_recursive(4, 30, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
                prop::collection::btree_map("[a-z_.]{1,8}", inner, 0..5).prop_map(Value::Struct),
            ]
        })
    }

    proptest! {
        #[test]
        fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }

        #[test]
        fn text_like_calls_never_panics(pieces in prop::collection::vec(prop::sample::select(vec![
            "<methodCall>", "</methodCall>", "<methodName>", "GetVersion", "</methodName>", "<params>", "</params>", "<param>",
            "</param>", "<value>", "</value>", "<value/>", "<array>", "</array>", "<data>", "</data>", "<struct>", "</struct>",
            "<member>", "</member>", "<name>", "</name>", "<int>", "</int>", "1", "-", "<string>", "</string>", "<nil/>",
            "<base64>", "</base64>", "<boolean>", "</boolean>", "<double>", "</double>", "&lt;", "&x;", "&#0;", "<![CDATA[",
            "]]>", "<!--", "-->", "<?xml version='1.0'?>", "<!DOCTYPE a>", "\n", " ", "é", "<dateTime.iso8601>",
            "</dateTime.iso8601>", "<i8>", "</i8>",
        ]), 0..60)) {
            let _ = read(pieces.concat().as_bytes());
        }

        #[test]
        fn values_come_back(arguments in prop::collection::vec(value(), 0..4)) {
            let call = MethodCall { name: "M".into(), params: arguments.clone() };
            prop_assert_eq!(read(call.to_xml().unwrap().as_bytes()).unwrap().arguments, arguments.clone());
            let answer = write(Ok(Value::Array(arguments.clone())));
            prop_assert_eq!(MethodResponse::from_xml(&answer).unwrap().value, Value::Array(arguments));
        }
    }
}
