//! YAML as a tree of nodes that keeps what plain data would lose: tags (`!vault`, `!unsafe`), anchors, aliases, scalar
//! styles, repeated keys. Ansible reads YAML 1.1.

use super::{MAX_DEPTH, source::source};
use libyaml_safer::{
    Emitter, Encoding, Event, EventData, MappingStyle, Parser, ScalarStyle, SequenceStyle, VersionDirective,
};

/// One node with its tag and anchor as written.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Explicit tag.
    pub tag: Option<String>,
    /// Anchor that aliases refer to.
    pub anchor: Option<String>,
    /// The content.
    pub kind: Kind,
}

/// Content of a node.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A scalar and how it was written.
    Scalar(String, ScalarStyle),
    /// A list.
    Sequence(Vec<Node>),
    /// Pairs in order, repeated keys included.
    Mapping(Vec<(Node, Node)>),
    /// `*anchor`
    Alias(String),
}

/// Why a text is not usable YAML.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum YamlError {
    /// It cannot be parsed.
    #[error("Error parsing YAML: {0}")]
    Syntax(String),
    /// It is nested too deeply.
    #[error("the YAML text is nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
    /// It holds more than one document.
    #[error("the YAML text holds more than one document")]
    SeveralDocuments,
}

impl Node {
    fn of(kind: Kind) -> Self {
        Self { tag: None, anchor: None, kind }
    }

    /// A scalar whose type YAML decides (`yes`, `3`); for texts of our own.
    #[must_use]
    pub fn plain(value: &str) -> Self {
        Self::of(Kind::Scalar(value.to_owned(), ScalarStyle::Plain))
    }

    /// A text, quoted; Ansible templates it.
    #[must_use]
    pub fn text(value: &str) -> Self {
        Self::of(Kind::Scalar(value.to_owned(), ScalarStyle::DoubleQuoted))
    }

    /// A text that Ansible never templates.
    #[must_use]
    pub fn inert(value: &str) -> Self {
        Self { tag: Some("!unsafe".to_owned()), ..Self::text(value) }
    }

    /// A list.
    #[must_use]
    pub fn list(items: Vec<Self>) -> Self {
        Self::of(Kind::Sequence(items))
    }

    /// A map with text keys.
    #[must_use]
    pub fn map<K: AsRef<str>>(pairs: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::of(Kind::Mapping(pairs.into_iter().map(|(k, v)| (Self::text(k.as_ref()), v)).collect()))
    }

    /// A map of these pairs.
    #[must_use]
    pub fn mapping(pairs: Vec<(Self, Self)>) -> Self {
        Self::of(Kind::Mapping(pairs))
    }

    /// JSON data whose texts are inert.
    #[must_use]
    pub fn inert_json(value: &serde_json::Value) -> Self {
        use serde_json::Value;
        match value {
            Value::String(s) => Self::inert(s),
            Value::Array(items) => Self::list(items.iter().map(Self::inert_json).collect()),
            Value::Object(map) => Self::map(map.iter().map(|(k, v)| (k, Self::inert_json(v)))),
            other => Self::plain(&other.to_string()),
        }
    }

    /// The text of a scalar.
    #[must_use]
    pub fn scalar(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(value, _) => Some(value),
            _ => None,
        }
    }

    /// Whether there is nothing in it: empty text, null, empty list or map.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match &self.kind {
            Kind::Scalar(value, ScalarStyle::Plain) => matches!(value.as_str(), "" | "~" | "null" | "Null" | "NULL"),
            Kind::Scalar(value, _) => value.is_empty(),
            Kind::Sequence(items) => items.is_empty(),
            Kind::Mapping(pairs) => pairs.is_empty(),
            Kind::Alias(_) => false,
        }
    }

    /// Whether it is a scalar without quotes and tag, whose text says its type.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.tag.is_none() && matches!(self.kind, Kind::Scalar(_, ScalarStyle::Plain))
    }

    /// The last value under `key` of a map.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Kind::Mapping(pairs) = &self.kind else { return None };
        pairs.iter().rev().find(|(k, _)| k.scalar() == Some(key)).map(|(_, v)| v)
    }

    /// Calls `visit` with every key of every map below and in this node.
    pub fn each_key(&self, visit: &mut impl FnMut(&str)) {
        match &self.kind {
            Kind::Mapping(pairs) => {
                for (key, value) in pairs {
                    if let Some(key) = key.scalar() {
                        visit(key);
                    }
                    value.each_key(visit);
                }
            }
            Kind::Sequence(items) => items.iter().for_each(|item| item.each_key(visit)),
            Kind::Scalar(..) | Kind::Alias(_) => {}
        }
    }
}

/// The document of a text; none when it is empty.
///
/// # Errors
/// [`YamlError`].
pub fn parse(text: &str) -> Result<Option<Node>, YamlError> {
    let text = source(text);
    let mut input = text.as_bytes();
    let mut parser = Parser::new();
    parser.set_input_string(&mut input);
    let mut root = None;
    loop {
        match next(&mut parser)? {
            EventData::StreamEnd => return Ok(root),
            EventData::StreamStart { .. } | EventData::DocumentStart { .. } | EventData::DocumentEnd { .. } => {}
            _ if root.is_some() => return Err(YamlError::SeveralDocuments),
            event => root = Some(node(&mut parser, event, 0)?),
        }
    }
}

fn next<R: std::io::BufRead>(parser: &mut Parser<R>) -> Result<EventData, YamlError> {
    parser.parse().map(|event| event.data).map_err(|e| YamlError::Syntax(e.to_string()))
}

fn node<R: std::io::BufRead>(parser: &mut Parser<R>, event: EventData, depth: usize) -> Result<Node, YamlError> {
    if depth > MAX_DEPTH {
        return Err(YamlError::TooDeep);
    }
    match event {
        EventData::Alias { anchor } => Ok(Node::of(Kind::Alias(anchor))),
        EventData::Scalar { anchor, tag, value, style, .. } => {
            Ok(Node { tag, anchor, kind: Kind::Scalar(value, style) })
        }
        EventData::SequenceStart { anchor, tag, .. } => {
            let mut items = Vec::new();
            loop {
                match next(parser)? {
                    EventData::SequenceEnd => return Ok(Node { tag, anchor, kind: Kind::Sequence(items) }),
                    event => items.push(node(parser, event, depth + 1)?),
                }
            }
        }
        EventData::MappingStart { anchor, tag, .. } => {
            let mut pairs = Vec::new();
            loop {
                match next(parser)? {
                    EventData::MappingEnd => return Ok(Node { tag, anchor, kind: Kind::Mapping(pairs) }),
                    event => {
                        let key = node(parser, event, depth + 1)?;
                        let event = next(parser)?;
                        pairs.push((key, node(parser, event, depth + 1)?));
                    }
                }
            }
        }
        other => Err(YamlError::Syntax(format!("unexpected {other:?}"))),
    }
}

/// The node as a YAML text.
///
/// # Errors
/// [`YamlError::Syntax`] when the node cannot be written, such as an invalid tag.
pub fn emit(root: &Node) -> Result<String, YamlError> {
    let mut out = Vec::new();
    {
        let mut emitter = Emitter::new();
        emitter.set_output_string(&mut out);
        emitter.set_unicode(true);
        emitter.set_width(-1);
        let mut send = |event| emitter.emit(event).map_err(|e| YamlError::Syntax(e.to_string()));
        send(Event::stream_start(Encoding::Utf8))?;
        send(Event::document_start(None::<VersionDirective>, &[], false))?;
        write(&mut send, root)?;
        send(Event::document_end(true))?;
        send(Event::stream_end())?;
        emitter.flush().map_err(|e| YamlError::Syntax(e.to_string()))?;
    }
    String::from_utf8(out).map_err(|e| YamlError::Syntax(e.to_string()))
}

fn write(send: &mut impl FnMut(Event) -> Result<(), YamlError>, node: &Node) -> Result<(), YamlError> {
    let (anchor, tag) = (node.anchor.as_deref(), node.tag.as_deref());
    let implicit = tag.is_none();
    match &node.kind {
        Kind::Alias(anchor) => send(Event::alias(anchor)),
        Kind::Scalar(value, style) => {
            // A block scalar cannot carry every text; the emitter then takes double quotes.
            let plain = implicit && *style == ScalarStyle::Plain;
            let quoted = implicit && *style != ScalarStyle::Plain;
            send(Event::scalar(anchor, tag, value, plain, quoted || (implicit && value.is_empty()), *style))
        }
        Kind::Sequence(items) => {
            send(Event::sequence_start(anchor, tag, implicit, SequenceStyle::Block))?;
            items.iter().try_for_each(|item| write(send, item))?;
            send(Event::sequence_end())
        }
        Kind::Mapping(pairs) => {
            send(Event::mapping_start(anchor, tag, implicit, MappingStyle::Block))?;
            for (key, value) in pairs {
                write(send, key)?;
                write(send, value)?;
            }
            send(Event::mapping_end())
        }
    }
}
