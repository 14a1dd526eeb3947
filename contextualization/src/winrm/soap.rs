//! Messages of WS-Management (DSP0226) and its remote shell (MS-WSMV): made from templates, read into a small tree.

use quick_xml::{
    Reader, XmlVersion,
    escape::{escape, resolve_predefined_entity},
    events::{BytesStart, Event},
};
use std::time::Duration;

/// The remote shell.
const SHELL: &str = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell";
/// Elements nest no deeper in a sane message.
const DEPTH: usize = 64;
/// How long the service may keep a request.
const OPERATION: Duration = Duration::from_secs(20);

/// What a message asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Action {
    Create,
    Delete,
    Command,
    Send,
    Receive,
    Signal,
}

impl Action {
    fn uri(self) -> String {
        match self {
            Self::Create | Self::Delete => format!("http://schemas.xmlsoap.org/ws/2004/09/transfer/{self:?}"),
            Self::Command | Self::Send | Self::Receive | Self::Signal => format!("{SHELL}/{self:?}"),
        }
    }

    fn options(self) -> &'static [(&'static str, &'static str)] {
        match self {
            // Text in both directions is UTF-8.
            Self::Create => &[("WINRS_NOPROFILE", "TRUE"), ("WINRS_CODEPAGE", "65001")],
            Self::Command => &[("WINRS_CONSOLEMODE_STDIN", "FALSE"), ("WINRS_SKIP_CMD_SHELL", "FALSE")],
            _ => &[],
        }
    }
}

/// A message to the service at `url`; `shell` names the shell it concerns, `body` is XML.
pub fn message(action: Action, url: &str, shell: Option<&str>, body: &str) -> String {
    let options: String =
        action.options().iter().map(|(name, value)| format!(r#"<w:Option Name="{name}">{value}</w:Option>"#)).collect();
    let options = if options.is_empty() { options } else { format!("<w:OptionSet>{options}</w:OptionSet>") };
    let selector = shell.map_or_else(String::new, |shell| {
        format!(r#"<w:SelectorSet><w:Selector Name="ShellId">{}</w:Selector></w:SelectorSet>"#, escape(shell))
    });
    let (to, action, id) = (escape(url), action.uri(), uuid::Uuid::new_v4());
    let seconds = OPERATION.as_secs();
    format!(
        r#"<?xml version="1.0" encoding="utf-8"?>
<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"
  xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" xmlns:rsp="{SHELL}">
<s:Header>
<a:To>{to}</a:To>
<w:ResourceURI s:mustUnderstand="true">{SHELL}/cmd</w:ResourceURI>
<a:ReplyTo>
<a:Address s:mustUnderstand="true">http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:Address>
</a:ReplyTo>
<a:Action s:mustUnderstand="true">{action}</a:Action>
<w:MaxEnvelopeSize s:mustUnderstand="true">153600</w:MaxEnvelopeSize>
<a:MessageID>uuid:{id}</a:MessageID>
<w:Locale xml:lang="en-US" s:mustUnderstand="false"/>
<w:OperationTimeout>PT{seconds}S</w:OperationTimeout>
{selector}{options}
</s:Header>
<s:Body>{body}</s:Body>
</s:Envelope>"#
    )
}

/// Body that opens a shell.
pub const CREATE: &str = "<rsp:Shell><rsp:InputStreams>stdin</rsp:InputStreams><rsp:OutputStreams>stdout stderr</rsp:OutputStreams></rsp:Shell>";

/// Body that starts a program.
pub fn command(program: &str, arguments: &[&str]) -> String {
    let arguments: String =
        arguments.iter().map(|text| format!("<rsp:Arguments>{}</rsp:Arguments>", escape(*text))).collect();
    format!("<rsp:CommandLine><rsp:Command>{}</rsp:Command>{arguments}</rsp:CommandLine>", escape(program))
}

/// Body that gives a command all of its input.
pub fn send(command: &str, input: &[u8]) -> String {
    let (command, input) = (escape(command), openssl::base64::encode_block(input));
    format!(r#"<rsp:Send><rsp:Stream Name="stdin" CommandId="{command}" End="true">{input}</rsp:Stream></rsp:Send>"#)
}

/// Body that asks for output.
pub fn receive(command: &str) -> String {
    let command = escape(command);
    format!(r#"<rsp:Receive><rsp:DesiredStream CommandId="{command}">stdout stderr</rsp:DesiredStream></rsp:Receive>"#)
}

/// Body that ends a command.
pub fn terminate(command: &str) -> String {
    let command = escape(command);
    format!(r#"<rsp:Signal CommandId="{command}"><rsp:Code>{SHELL}/signal/terminate</rsp:Code></rsp:Signal>"#)
}

/// An element of a message, without its namespace.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    /// Its own text.
    pub text: String,
    children: Vec<Element>,
}

impl Element {
    fn of(start: &BytesStart<'_>) -> Result<Self, String> {
        let mut element = Self { name: start.local_name().into_inner().to_owned(), ..Self::default() };
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|e| e.to_string())?;
            let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|e| e.to_string())?.into_owned();
            element.attributes.push((attribute.key.local_name().into_inner().to_owned(), value));
        }
        Ok(element)
    }

    /// The root of a message.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader::from_str(text);
        let mut open = vec![Self::default()];
        loop {
            let event = reader.read_event().map_err(|e| e.to_string())?;
            let depth = open.len();
            let Some(top) = open.last_mut() else { return Err("unbalanced".to_owned()) };
            match event {
                Event::Start(_) if depth > DEPTH => return Err("too deep".to_owned()),
                Event::Start(start) => open.push(Self::of(&start)?),
                Event::Empty(start) => top.children.push(Self::of(&start)?),
                Event::End(_) => {
                    let done = open.pop().unwrap_or_default();
                    open.last_mut().ok_or("unbalanced")?.children.push(done);
                }
                Event::Text(text) => top.text.push_str(&text.xml10_content()),
                Event::CData(text) => top.text.push_str(&text.xml10_content()),
                Event::GeneralRef(entity) => match entity.resolve_char_ref().map_err(|e| e.to_string())? {
                    Some(c) => top.text.push(c),
                    None => top.text.push_str(resolve_predefined_entity(&entity).unwrap_or_default()),
                },
                Event::Eof => {
                    let mut document = open.pop().unwrap_or_default();
                    let root = document.children.pop().filter(|_| open.is_empty());
                    return root.ok_or_else(|| "it is no XML document".to_owned());
                }
                Event::Decl(_) | Event::Comment(_) | Event::PI(_) | Event::DocType(_) => {}
            }
        }
    }

    /// The first element of this name below this one.
    pub fn find(&self, name: &str) -> Option<&Self> {
        self.all(name).into_iter().next()
    }

    /// All elements of this name below this one.
    pub fn all(&self, name: &str) -> Vec<&Self> {
        let mut found = Vec::new();
        for child in &self.children {
            if child.name == name {
                found.push(child);
            }
            found.extend(child.all(name));
        }
        found
    }

    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// What a fault says; none when the message is no fault.
    pub fn fault(&self) -> Option<String> {
        let fault = self.find("Fault")?;
        let texts = ["Text", "Message"].map(|name| fault.find(name).map(|e| e.text.trim()).filter(|t| !t.is_empty()));
        Some(texts.into_iter().flatten().next().unwrap_or("unknown fault").to_owned())
    }

    /// Whether it is the fault that says that nothing happened in time, after which one asks again.
    pub fn is_timeout(&self) -> bool {
        self.find("WSManFault").and_then(|fault| fault.attribute("Code")) == Some("2150858793")
    }
}

/// What PowerShell wrote to standard error as a sentence: its errors are XML, one element a line.
pub fn error_text(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines = text.split_once("#< CLIXML").and_then(|(_, xml)| Element::parse(xml.trim()).ok());
    let errors = lines.map(|root| {
        let errors = root.all("S").into_iter().filter(|line| line.attribute("S") == Some("Error"));
        errors.map(|line| line.text.replace("_x000D__x000A_", " ")).collect::<String>()
    });
    let text = errors.unwrap_or_else(|| text.into_owned());
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Action, Element, command, error_text, message, send};

    #[test]
    fn what_is_written_is_read_back() {
        let awkward = "a<b>&\"'c]]>";
        let text = message(Action::Send, "https://h:1/wsman?a&b", Some(awkward), &send(awkward, b"in"));
        let read = Element::parse(&text).unwrap();
        assert_eq!(read.find("To").unwrap().text, "https://h:1/wsman?a&b");
        assert_eq!(read.find("Selector").unwrap().text, awkward);
        assert_eq!(read.find("Stream").unwrap().attribute("CommandId"), Some(awkward));
        let read = Element::parse(&command(awkward, &[awkward]).replace("rsp:", "")).unwrap();
        assert_eq!((read.find("Command").unwrap().text.as_str(), read.all("Arguments").len()), (awkward, 1));
    }

    #[test]
    fn hostile_answers_are_errors() {
        let deep = "<a>".repeat(100_000);
        for text in ["", "plain", "<a>", "</a>", "<a></b>", "<a b=1/>", "<a>&#0;</a>", deep.as_str()] {
            assert!(Element::parse(text).is_err(), "{text:.40}");
        }
        let fault = "<s:Fault xmlns:s='x'><s:Reason><s:Text>no &amp; never</s:Text></s:Reason></s:Fault>";
        let fault = Element::parse(&format!("<e>{fault}</e>")).unwrap();
        assert_eq!(fault.fault().as_deref(), Some("no & never"));
    }

    #[test]
    fn errors_of_powershell_are_sentences() {
        let xml = "#< CLIXML\r\n<Objs><S S=\"Error\">Too short._x000D__x000A_</S><S S=\"Verbose\">x</S></Objs>";
        assert_eq!(error_text(xml.as_bytes()), "Too short.");
        assert_eq!(error_text(b"plain\x1b text\n"), "plain text");
    }
}
