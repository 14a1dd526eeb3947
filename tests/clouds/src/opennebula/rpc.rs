//! XML-RPC as `oned` speaks it, and which methods there are: an unknown one is a fault, and so are other arguments than
//! those of its signature.

use quick_xml::{Reader, escape::escape, events::Event};

/// An argument.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Int(i32),
    Bool(bool),
    Text(String),
}

impl Value {
    fn kind(&self) -> char {
        match self {
            Self::Int(_) => 'i',
            Self::Bool(_) => 'b',
            Self::Text(_) => 's',
        }
    }
}

/// Arguments after the session, a letter for each: the signatures of the XML-RPC API's reference.
const METHODS: [(&str, &[&str]); 22] = [
    ("one.system.version", &[""]),
    ("one.user.info", &["i", "ib"]),
    ("one.vm.allocate", &["s", "sb"]),
    ("one.vm.info", &["i", "ib"]),
    ("one.vm.action", &["si"]),
    ("one.vm.resize", &["isb"]),
    ("one.vm.attach", &["is"]),
    ("one.vm.attachnic", &["is"]),
    ("one.vm.detachnic", &["ii"]),
    ("one.vm.recover", &["ii"]),
    ("one.vm.disksaveas", &["iissi"]),
    ("one.vmpool.info", &["iiii", "iiiis"]),
    ("one.vmpool.infoextended", &["iiii", "iiiis"]),
    ("one.vnpool.info", &["iii"]),
    ("one.vn.info", &["i", "ib"]),
    ("one.imagepool.info", &["iii"]),
    ("one.image.info", &["i", "ib"]),
    ("one.image.delete", &["i", "ib"]),
    ("one.secgrouppool.info", &["iii"]),
    ("one.secgroup.allocate", &["s"]),
    ("one.secgroup.update", &["isi"]),
    ("one.secgroup.delete", &["i"]),
];

/// A request: its method, its session and the arguments behind it; else the code and text of the fault.
pub fn request(body: &str) -> Result<(String, String, Vec<Value>), (i32, String)> {
    let (method, mut values) = read(body).ok_or_else(|| (-503, "Call XML not a proper XML-RPC call".to_owned()))?;
    let known = METHODS.iter().find(|(name, _)| *name == method);
    let (_, signatures) = known.ok_or_else(|| (-506, format!("Method '{method}' not defined")))?;
    if values.is_empty() {
        return Err((-501, "Not enough parameters".to_owned()));
    }
    let Value::Text(session) = values.remove(0) else { return Err((-501, "The session is no string".to_owned())) };
    let kinds: String = values.iter().map(Value::kind).collect();
    if signatures.contains(&kinds.as_str()) {
        Ok((method, session, values))
    } else {
        Err((-501, format!("{method} takes other parameters than '{kinds}'")))
    }
}

fn read(body: &str) -> Option<(String, Vec<Value>)> {
    let mut reader = Reader::from_str(body);
    let (mut method, mut values, mut kind, mut text) = (None, Vec::new(), None, String::new());
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) => {
                text.clear();
                match tag.name().as_ref() {
                    "value" => kind = Some("string".to_owned()),
                    name @ ("i4" | "int" | "boolean" | "string") => kind = Some(name.to_owned()),
                    _ => {}
                }
            }
            Event::Empty(tag) if matches!(tag.name().as_ref(), "string" | "value") => {
                text.clear();
                kind = Some("string".to_owned());
                if tag.name().as_ref() == "value" {
                    values.push(Value::Text(String::new()));
                }
            }
            Event::Text(part) => text.push_str(&part),
            Event::CData(part) => text.push_str(&part),
            Event::GeneralRef(name) => text.push_str(&quick_xml::escape::unescape(&format!("&{};", &*name)).ok()?),
            Event::End(tag) => match tag.name().as_ref() {
                "methodName" => method = Some(text.trim().to_owned()),
                "value" => values.push(match kind.take()?.as_str() {
                    "i4" | "int" => Value::Int(text.trim().parse().ok()?),
                    "boolean" => Value::Bool(text.trim() == "1"),
                    _ => Value::Text(text.clone()),
                }),
                _ => {}
            },
            Event::Eof => return Some((method?, values)),
            _ => {}
        }
    }
}

/// A result of a call.
#[derive(Debug, Clone)]
pub enum Outcome {
    Number(i32),
    Document(String),
}

/// The document of a reply.
pub fn reply(result: Result<Outcome, (i32, String)>) -> String {
    let value = |kind: &str, text: &str| format!("<value><{kind}>{}</{kind}></value>", escape(text));
    let values = match result {
        Ok(Outcome::Number(number)) => [value("boolean", "1"), value("i4", &number.to_string()), value("i4", "0")],
        Ok(Outcome::Document(text)) => [value("boolean", "1"), value("string", &text), value("i4", "0")],
        Err((code, text)) => [value("boolean", "0"), value("string", &text), value("i4", &code.to_string())],
    };
    let data = values.concat();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<methodResponse>\r\n<params>\r\n<param><value><array><data>\r\n\
         {data}</data></array></value></param>\r\n</params>\r\n</methodResponse>\r\n"
    )
}

/// The document of a fault of the protocol.
pub fn fault((code, text): (i32, String)) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<methodResponse>\r\n<fault>\r\n<value><struct>\r\n<member><name>\
         faultCode</name>\r\n<value><i4>{code}</i4></value></member>\r\n<member><name>faultString</name>\r\n<value><string>\
         {}</string></value></member>\r\n</struct></value>\r\n</fault>\r\n</methodResponse>\r\n",
        escape(&text)
    )
}
