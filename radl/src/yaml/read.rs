//! Documents as values: scalars of the types that YAML 1.1 gives them, maps in order, aliases and merge keys resolved.
//! Unlike a tree of nodes, which keeps aliases, values repeat what an alias stands for, so what may come of a text is bounded.

use super::{
    YamlError,
    events::Events,
    fault::Fault,
    scalar,
    value::{Data, Map, Value},
};
use libyaml_safer::{Event, EventData, Mark};
use std::collections::HashMap;

/// What a document may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of its text, and of the texts that its aliases stand for.
    pub bytes: usize,
    /// How deep lists and maps may nest.
    pub depth: usize,
    /// Its values; what has an anchor is counted once more, and aliases with all that they stand for.
    pub values: usize,
}

/// The only document of a text as a value; null when there is none. Of a repeated key the last value stays.
///
/// # Errors
/// It is no YAML, holds more than one document, or goes beyond one of the bounds.
pub fn read(text: &str, bounds: &Bounds) -> Result<Value, YamlError> {
    let mut events = Events::within(text, bounds.bytes, bounds.depth);
    let mut reader = Reader { bounds, anchors: HashMap::new(), values: 0, bytes: 0 };
    reader.document(&mut events).map_err(|fault| fault.explained(text))
}

/// Makes values of the events of a text.
struct Reader<'b> {
    bounds: &'b Bounds,
    anchors: HashMap<String, Value>,
    values: usize,
    /// Bytes of texts that stand under anchors or for aliases.
    bytes: usize,
}

impl Reader<'_> {
    fn document(&mut self, events: &mut Events<'_>) -> Result<Value, Fault> {
        let mut root = Value::NULL;
        loop {
            let event = events.next()?;
            match event.data {
                EventData::StreamEnd => return Ok(root),
                EventData::StreamStart { .. } | EventData::DocumentStart { .. } | EventData::DocumentEnd { .. } => {}
                _ => root = self.value(events, event)?,
            }
        }
    }

    fn counted(&mut self, (values, bytes): (usize, usize), mark: Mark) -> Result<(), Fault> {
        let Bounds { values: most_values, bytes: most_bytes, .. } = *self.bounds;
        self.values += values;
        if self.values > most_values {
            return Err(Fault::at(format!("the document has more than {most_values} values, aliases resolved"), mark));
        }
        self.bytes += bytes;
        if self.bytes > most_bytes {
            return Err(Fault::at(format!("the aliases stand for more than {most_bytes} bytes of text"), mark));
        }
        Ok(())
    }

    /// The value that begins with an event. Its depth is that of the events, which have a limit.
    fn value(&mut self, events: &mut Events<'_>, event: Event) -> Result<Value, Fault> {
        let mark = event.start_mark;
        self.counted((1, 0), mark)?;
        let (anchor, data) = match event.data {
            EventData::Alias { anchor } => return self.alias(&anchor, mark),
            EventData::Scalar { anchor, tag, value, plain_implicit, .. } => {
                let typed = scalar::typed(tag.as_deref(), value, plain_implicit);
                (anchor, typed.map_err(|problem| Fault::at(problem, mark))?)
            }
            EventData::SequenceStart { anchor, tag, .. } => {
                check_tag(tag.as_deref(), "seq", mark)?;
                let mut items = Vec::new();
                loop {
                    let event = events.next()?;
                    if matches!(event.data, EventData::SequenceEnd) {
                        break;
                    }
                    items.push(self.value(events, event)?);
                }
                (anchor, Data::List(items))
            }
            EventData::MappingStart { anchor, tag, .. } => {
                check_tag(tag.as_deref(), "map", mark)?;
                (anchor, Data::Map(self.map(events)?))
            }
            _ => return Err(Fault::at("expected a value", mark)),
        };
        let value = Value { data, place: mark.into() };
        if let Some(anchor) = anchor {
            self.counted(value.size(), mark)?;
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn alias(&mut self, anchor: &str, mark: Mark) -> Result<Value, Fault> {
        let Some(size) = self.anchors.get(anchor).map(Value::size) else {
            return Err(
                Fault::at("found undefined alias", mark).advised("a text that begins with * must stand in quotes")
            );
        };
        self.counted(size, mark)?;
        let data = self.anchors.get(anchor).map(|known| known.data.clone()).unwrap_or_default();
        Ok(Value { data, place: mark.into() })
    }

    fn map(&mut self, events: &mut Events<'_>) -> Result<Map, Fault> {
        let (mut own, mut merged) = (Map::new(), Vec::new());
        loop {
            let event = events.next()?;
            let mark = event.start_mark;
            let key = match event.data {
                EventData::MappingEnd => break,
                EventData::Scalar { value, plain_implicit: true, .. } if value == "<<" => {
                    let event = events.next()?;
                    let mark = event.start_mark;
                    merged.extend(pairs(self.value(events, event)?, mark)?);
                    continue;
                }
                EventData::Scalar { value, anchor, .. } => {
                    if let Some(anchor) = anchor {
                        self.counted((1, value.len()), mark)?;
                        self.anchors.insert(anchor, value.as_str().into());
                    }
                    value
                }
                EventData::Alias { anchor } => match self.alias(&anchor, mark)?.scalar() {
                    Some(key) => key,
                    None => return Err(Fault::at("found an alias that is no text as the key of a map", mark)),
                },
                _ => return Err(Fault::at("found a list or map as the key of a map", mark)),
            };
            let event = events.next()?;
            let value = self.value(events, event)?;
            own.insert(key, Value { data: value.data, place: mark.into() });
        }
        if merged.is_empty() {
            return Ok(own);
        }
        // What is merged stands in front; the first of several maps wins, and what the map itself says wins over all.
        let mut map = Map::new();
        for (key, value) in merged {
            map.entry(key).or_insert(value);
        }
        map.extend(own);
        Ok(map)
    }
}

/// What `<<` merges: the pairs of a map, or of a list of maps.
fn pairs(value: Value, mark: Mark) -> Result<Vec<(String, Value)>, Fault> {
    match value.data {
        Data::Map(map) => Ok(map.into_iter().collect()),
        Data::List(items) if items.iter().all(|item| item.as_map().is_some()) => {
            Ok(items.into_iter().filter_map(|item| pairs(item, mark).ok()).flatten().collect())
        }
        _ => Err(Fault::at("expected a map or a list of maps after <<", mark)),
    }
}

fn check_tag(tag: Option<&str>, kind: &str, mark: Mark) -> Result<(), Fault> {
    match tag.map(|tag| tag.strip_prefix(scalar::STANDARD).unwrap_or(tag)) {
        None | Some("!") => Ok(()),
        Some(tag) if tag == kind => Ok(()),
        Some(_) => Err(Fault::at("found a tag that stands for nothing here", mark)),
    }
}

#[cfg(test)]
mod tests;
