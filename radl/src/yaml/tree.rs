//! YAML as a tree of nodes that keeps what plain data would lose: tags (`!vault`, `!unsafe`), anchors, aliases, scalar
//! styles, repeated keys. Ansible reads YAML 1.1.

use super::{
    YamlError,
    events::Events,
    fault::{Fault, position},
};
use crate::error::Position;
use libyaml_safer::{Emitter, Encoding, Event, EventData, MappingStyle, ScalarStyle, SequenceStyle, VersionDirective};
use std::panic::catch_unwind;

/// One node with its tag and anchor as written.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where it begins in the text that it was read from; none of a node that was made otherwise.
    pub position: Option<Position>,
    /// Explicit tag.
    pub tag: Option<String>,
    /// Anchor that aliases refer to.
    pub anchor: Option<String>,
    /// What it is.
    pub kind: NodeKind,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeKind {
    /// A scalar and how it was written.
    Scalar(String, ScalarStyle),
    /// A list.
    Sequence(Vec<Node>),
    /// Pairs in order, repeated keys included.
    Mapping(Vec<(Node, Node)>),
    /// `*anchor`
    Alias(String),
}

/// Where a node stands is no part of what it says.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        (&self.tag, &self.anchor, &self.kind) == (&other.tag, &other.anchor, &other.kind)
    }
}

impl Node {
    fn of(kind: NodeKind) -> Self {
        Self { position: None, tag: None, anchor: None, kind }
    }

    /// A scalar whose type YAML decides (`yes`, `3`); for texts of our own.
    #[must_use]
    pub fn plain(value: &str) -> Self {
        Self::of(NodeKind::Scalar(value.to_owned(), ScalarStyle::Plain))
    }

    /// A text, quoted; Ansible templates it.
    #[must_use]
    pub fn text(value: &str) -> Self {
        Self::of(NodeKind::Scalar(value.to_owned(), ScalarStyle::DoubleQuoted))
    }

    /// A text that Ansible never templates.
    #[must_use]
    pub fn inert(value: &str) -> Self {
        Self { tag: Some("!unsafe".to_owned()), ..Self::text(value) }
    }

    /// A list.
    #[must_use]
    pub fn list(items: Vec<Self>) -> Self {
        Self::of(NodeKind::Sequence(items))
    }

    /// A map with text keys.
    #[must_use]
    pub fn map<K: AsRef<str>>(pairs: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::of(NodeKind::Mapping(pairs.into_iter().map(|(k, v)| (Self::text(k.as_ref()), v)).collect()))
    }

    /// A map of these pairs.
    #[must_use]
    pub fn mapping(pairs: Vec<(Self, Self)>) -> Self {
        Self::of(NodeKind::Mapping(pairs))
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
            NodeKind::Scalar(value, _) => Some(value),
            _ => None,
        }
    }

    /// Whether there is nothing in it: empty text, null, empty list or map.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match &self.kind {
            NodeKind::Scalar(value, ScalarStyle::Plain) => {
                matches!(value.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            NodeKind::Scalar(value, _) => value.is_empty(),
            NodeKind::Sequence(items) => items.is_empty(),
            NodeKind::Mapping(pairs) => pairs.is_empty(),
            NodeKind::Alias(_) => false,
        }
    }

    /// Whether it is a scalar without quotes and tag, whose text says its type.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.tag.is_none() && matches!(self.kind, NodeKind::Scalar(_, ScalarStyle::Plain))
    }

    /// The last value under `key` of a map.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        let NodeKind::Mapping(pairs) = &self.kind else { return None };
        pairs.iter().rev().find(|(k, _)| k.scalar() == Some(key)).map(|(_, v)| v)
    }

    /// Calls `visit` with every key of every map below and in this node.
    pub fn each_key(&self, visit: &mut impl FnMut(&str)) {
        match &self.kind {
            NodeKind::Mapping(pairs) => {
                for (key, value) in pairs {
                    if let Some(key) = key.scalar() {
                        visit(key);
                    }
                    value.each_key(visit);
                }
            }
            NodeKind::Sequence(items) => items.iter().for_each(|item| item.each_key(visit)),
            NodeKind::Scalar(..) | NodeKind::Alias(_) => {}
        }
    }
}

/// The document of a text; none when it is empty.
///
/// # Errors
/// What the parser refuses, a second document, and what is beyond the limits, with its place in the text.
pub fn parse(text: &str) -> Result<Option<Node>, YamlError> {
    root(&mut Events::of(text)).map_err(|fault| fault.explained(text))
}

fn root(events: &mut Events<'_>) -> Result<Option<Node>, Fault> {
    let mut root = None;
    loop {
        let event = events.next()?;
        match event.data {
            EventData::StreamEnd => return Ok(root),
            EventData::StreamStart { .. } | EventData::DocumentStart { .. } | EventData::DocumentEnd { .. } => {}
            _ => root = Some(node(events, event)?),
        }
    }
}

/// The node that begins with an event. Its depth is that of the events, which have a limit.
fn node(events: &mut Events<'_>, event: Event) -> Result<Node, Fault> {
    let position = Some(position(event.start_mark));
    let (tag, anchor, kind) = match event.data {
        EventData::Alias { anchor } => (None, None, NodeKind::Alias(anchor)),
        EventData::Scalar { anchor, tag, value, style, .. } => {
            // The tag `!` says that the text is a string, as quotes do.
            let style = if tag.as_deref() == Some("!") && style == ScalarStyle::Plain {
                ScalarStyle::SingleQuoted
            } else {
                style
            };
            (tag, anchor, NodeKind::Scalar(value, style))
        }
        EventData::SequenceStart { anchor, tag, .. } => {
            let mut items = Vec::new();
            loop {
                let event = events.next()?;
                if matches!(event.data, EventData::SequenceEnd) {
                    break;
                }
                items.push(node(events, event)?);
            }
            (tag, anchor, NodeKind::Sequence(items))
        }
        EventData::MappingStart { anchor, tag, .. } => {
            let mut pairs = Vec::new();
            loop {
                let event = events.next()?;
                if matches!(event.data, EventData::MappingEnd) {
                    break;
                }
                let key = node(events, event)?;
                let value = events.next()?;
                pairs.push((key, node(events, value)?));
            }
            (tag, anchor, NodeKind::Mapping(pairs))
        }
        _ => return Err(Fault::at("expected a value", event.start_mark)),
    };
    Ok(Node { position, tag: tag.filter(|tag| tag != "!"), anchor, kind })
}

/// The node as a YAML text.
///
/// # Errors
/// When the node cannot be written, such as one with an invalid tag.
pub fn emit(root: &Node) -> Result<String, YamlError> {
    // Tags come from texts of anybody, and libyaml's emitter was written to be trusted with its events.
    let written = catch_unwind(|| text(root)).unwrap_or_else(|_| Err("the nodes cannot be written".to_owned()));
    written.map_err(|problem| Fault::of(problem).explained(""))
}

fn text(root: &Node) -> Result<String, String> {
    let mut out = Vec::new();
    {
        let mut emitter = Emitter::new();
        emitter.set_output_string(&mut out);
        emitter.set_unicode(true);
        emitter.set_width(-1);
        let mut send = |event| emitter.emit(event).map_err(|e| e.to_string());
        send(Event::stream_start(Encoding::Utf8))?;
        send(Event::document_start(None::<VersionDirective>, &[], false))?;
        write(&mut send, root)?;
        send(Event::document_end(true))?;
        send(Event::stream_end())?;
        emitter.flush().map_err(|e| e.to_string())?;
    }
    String::from_utf8(out).map_err(|e| e.to_string())
}

fn write(send: &mut impl FnMut(Event) -> Result<(), String>, node: &Node) -> Result<(), String> {
    let (anchor, tag) = (node.anchor.as_deref(), node.tag.as_deref());
    let implicit = tag.is_none();
    match &node.kind {
        NodeKind::Alias(anchor) => send(Event::alias(anchor)),
        NodeKind::Scalar(value, style) => {
            // A style cannot carry every text: the emitter then takes quotes. What cannot be plain is a string anyway.
            let plain = implicit && *style == ScalarStyle::Plain;
            send(Event::scalar(anchor, tag, value, plain, implicit, *style))
        }
        NodeKind::Sequence(items) => {
            send(Event::sequence_start(anchor, tag, implicit, SequenceStyle::Block))?;
            items.iter().try_for_each(|item| write(send, item))?;
            send(Event::sequence_end())
        }
        NodeKind::Mapping(pairs) => {
            send(Event::mapping_start(anchor, tag, implicit, MappingStyle::Block))?;
            for (key, value) in pairs {
                write(send, key)?;
                write(send, value)?;
            }
            send(Event::mapping_end())
        }
    }
}
