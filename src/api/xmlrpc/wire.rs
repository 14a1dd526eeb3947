//! XML <-> calls and answers (http://xmlrpc.com/spec.md, with the usual `nil` and `i8`).
//!
//! `dxr` reads and writes the values. It reads by recursion and says little about what it cannot read, so that a call is
//! looked through first: well-formed, without a document type (and so without entities of its own), and neither deep
//! nor large enough to cost more than it should.

use super::misplaced::{self, Misplaced};
use crate::charset::{self, CharsetError};
use dxr::{Fault, FaultResponse, MethodCall, MethodResponse, Value};
use quick_xml::{Reader, events::Event};
use std::{borrow::Cow, fmt::Write};

/// Elements that may be open at a time. A value in an array takes three.
const MAX_DEPTH: usize = 128;
/// Bytes in which a declaration of XML ends.
const LONGEST_DECLARATION: usize = 256;
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
    #[error("not well-formed: {reason} ({place})")]
    Xml {
        /// Where.
        place: TextPosition,
        /// What is wrong there; nothing of what stands there.
        reason: &'static str,
    },
    /// No text.
    #[error(transparent)]
    Charset(#[from] CharsetError),
    /// Entities could be defined in it.
    #[error("a document type is not allowed")]
    DocumentType,
    /// Too deep.
    #[error("more than {MAX_DEPTH} elements in one another")]
    Depth,
    /// Too many elements.
    #[error("more than {MAX_ELEMENTS} elements")]
    Size,
    /// A value that is none of its type.
    #[error(transparent)]
    Value(#[from] Misplaced),
    /// XML, but no `methodCall` with values.
    #[error("not an XML-RPC method call")]
    Call,
}

/// A position in a text; both count from 1, columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextPosition {
    line: usize,
    column: usize,
}

impl TextPosition {
    /// The position of a byte.
    pub(super) fn of(text: &str, byte: u64) -> Self {
        let before = usize::try_from(byte).ok().and_then(|byte| text.get(..byte)).unwrap_or(text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        Self { line: before.matches('\n').count() + 1, column: line.chars().count() + 1 }
    }
}

impl std::fmt::Display for TextPosition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// The text of a body, of at most `limit` bytes in UTF-8: in the `charset` that the request names, else in the one that
/// the XML does.
///
/// # Errors
/// An unknown character set, no text in it, or too much of it.
pub fn text<'a>(body: &'a [u8], charset: Option<&str>, limit: usize) -> Result<Cow<'a, str>, Malformed> {
    let declared = charset.map_or_else(|| declared(body), |name| Some(name.to_owned()));
    Ok(charset::decode(body, declared.as_deref(), limit)?)
}

/// The character set in the declaration of XML that can be read before it is known.
fn declared(body: &[u8]) -> Option<String> {
    let end = body.windows(2).take(LONGEST_DECLARATION).position(|pair| pair == b"?>")?;
    let mut reader = Reader::from_str(std::str::from_utf8(&body[..end + 2]).ok()?);
    match reader.read_event() {
        Ok(Event::Decl(declaration)) => Some(declaration.encoding()?.ok()?.into_owned()),
        _ => None,
    }
}

/// Reads a call.
///
/// # Errors
/// The text is no call.
pub fn read(text: &str) -> Result<Call, Malformed> {
    look_through(text)?;
    let misread = || misplaced::find(text).map_or(Malformed::Call, Malformed::Value);
    let call = MethodCall::from_xml(text).map_err(|_| misread())?;
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
            Ok(Event::Eof) if depth == 0 => return Ok(()),
            Ok(Event::Eof) => {
                let place = TextPosition::of(text, reader.buffer_position());
                return Err(Malformed::Xml { place, reason: "it ends too early" });
            }
            Ok(_) => {}
            Err(error) => {
                let place = TextPosition::of(text, reader.error_position());
                return Err(Malformed::Xml { place, reason: reason(&error) });
            }
        }
        if depth > MAX_DEPTH {
            return Err(Malformed::Depth);
        }
        if elements > MAX_ELEMENTS {
            return Err(Malformed::Size);
        }
    }
}

/// What is wrong with XML. The reader's own words repeat what stands there, which may be half a password with a `<`.
fn reason(error: &quick_xml::Error) -> &'static str {
    match error {
        quick_xml::Error::Syntax(_) => "a tag, comment or section is not closed",
        quick_xml::Error::IllFormed(_) => "an end tag does not fit the element that is open",
        _ => "this is no XML",
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
        let call = read(&text)?;
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
            let read = super::text(text.as_bytes(), None, 1000).and_then(|text| read(&text));
            assert_eq!(read, Ok(Call { name: "M".to_owned(), arguments: vec![] }), "{text}");
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
        assert_eq!(read(entities), Err(Malformed::DocumentType));
        assert_eq!(arguments("<param><value><string>&b;</string></value></param>"), Err(Malformed::Call));
        for text in
            ["<methodCall><methodName>M</methodName>", "<a></b>", "<a", "<methodCall><methodName>M</x></methodCall>"]
        {
            assert!(matches!(read(text), Err(Malformed::Xml { .. })), "{text}: {:?}", read(text));
        }
        for text in ["", "x", "<methodCall/>", "<methodResponse><params/></methodResponse>"] {
            assert_eq!(read(text), Err(Malformed::Call), "{text}");
        }
        let refused = |values: &str| arguments(values).unwrap_err().to_string();
        for (value, expected) in [
            ("<int>secret</int>", "a whole number of 32 bits"),
            ("<int>2147483648</int>", "a whole number of 32 bits"),
            ("<i8>9223372036854775808</i8>", "a whole number of 64 bits"),
            ("<boolean>secret</boolean>", "0 or 1"),
            ("<double>secret</double>", "a number"),
            ("<base64>*secret</base64>", "base64"),
            ("<dateTime.iso8601>secret</dateTime.iso8601>", "a time such as 20260131T12:00:00"),
            ("<secret>red</secret>", "a type of XML-RPC"),
        ] {
            let values = format!("<param><value>x</value></param>\n<param><value>{value}</value></param>");
            assert_eq!(refused(&values), format!("argument 2: expected {expected} (line 2, column 15)"), "{value}");
        }
        let lost = refused("<param>\n<value><string>pa<secret</string></value></param>");
        assert_eq!(lost, "not well-formed: an end tag does not fit the element that is open (line 2, column 34)");
    }

    #[test]
    fn character_sets_that_are_declared() {
        let call = |encoding: &str| {
            format!(
                "<?xml version=\"1.0\" encoding=\"{encoding}\"?>\n<methodCall><methodName>sé</methodName></methodCall>"
            )
        };
        let one_byte = |text: String| text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect::<Vec<_>>();
        let two_bytes =
            |text: String, bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<_>>();
        for (body, charset) in [
            (call("UTF-8").into_bytes(), None),
            (call("utf8").into_bytes(), None),
            (call("nothing").into_bytes(), Some("utf-8")),
            (one_byte(call("iso-8859-1")), None),
            (one_byte(call("Windows-1252")), None),
            (one_byte(call("utf-8")), Some("latin1")),
            (two_bytes(call("UTF-16"), u16::to_le_bytes), None),
            (two_bytes(call("UTF-16"), u16::to_be_bytes), Some("utf-16")),
            (two_bytes(format!("\u{feff}{}", call("utf-16")), u16::to_be_bytes), None),
        ] {
            let text = text(&body, charset, 1000).unwrap();
            assert_eq!(read(&text).unwrap().name, "sé", "{charset:?} {body:?}");
        }
        let refused = |body: &[u8]| text(body, None, 1000).unwrap_err().to_string();
        assert_eq!(refused(call("x-none").as_bytes()), "The character set 'x-none' is not known, send UTF-8.");
        assert_eq!(refused(b"<a>\xff</a>"), "The request body is not UTF-8 (byte 3).");
        let ascii = call("UTF-16").replace('é', "e");
        assert_eq!(read(&text(ascii.as_bytes(), None, 1000).unwrap()).unwrap().name, "se");
        // What is small before it is read does not become large.
        let deep = format!("<methodCall><a>{}", "<a>".repeat(200));
        let deep = text(&two_bytes(deep, u16::to_le_bytes), None, 10_000).map(|text| read(&text));
        assert_eq!(deep, Ok(Err(Malformed::Depth)));
        let long = two_bytes(format!("<a>{}</a>", "日".repeat(400)), u16::to_le_bytes);
        assert_eq!(text(&long, None, 1000), Err(CharsetError::TooLarge(1000).into()));
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
            let _ = text(&bytes, None, 1000).map(|text| read(&text));
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
            let _ = read(&pieces.concat());
        }

        #[test]
        fn values_come_back(arguments in prop::collection::vec(value(), 0..4)) {
            let call = MethodCall { name: "M".into(), params: arguments.clone() };
            prop_assert_eq!(read(&call.to_xml().unwrap()).unwrap().arguments, arguments.clone());
            let answer = write(Ok(Value::Array(arguments.clone())));
            prop_assert_eq!(MethodResponse::from_xml(&answer).unwrap().value, Value::Array(arguments));
        }
    }
}
