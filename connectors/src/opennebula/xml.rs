//! XML as OpenNebula writes it: elements with a text or children, no attributes that matter.

use crate::{ConnectorError, ErrorClass};
use quick_xml::{Reader, events::Event};

/// An element.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Element {
    pub name: String,
    pub text: String,
    pub children: Vec<Element>,
}

impl Element {
    /// Reads a document; its outermost element.
    ///
    /// # Errors
    /// `Transient`: it is no XML.
    pub fn parse(document: &str) -> Result<Self, ConnectorError> {
        let mut reader = Reader::from_str(document);
        let mut open = vec![Self::default()];
        loop {
            match reader.read_event() {
                Ok(Event::Start(tag)) => {
                    open.push(Self { name: tag.name().as_ref().to_owned(), ..Self::default() });
                }
                Ok(Event::Empty(tag)) => {
                    let element = Self { name: tag.name().as_ref().to_owned(), ..Self::default() };
                    open.last_mut().ok_or_else(unreadable)?.children.push(element);
                }
                Ok(Event::End(_)) => {
                    let element = open.pop().ok_or_else(unreadable)?;
                    open.last_mut().ok_or_else(unreadable)?.children.push(element);
                }
                Ok(Event::Text(text)) => {
                    open.last_mut().ok_or_else(unreadable)?.text.push_str(&text);
                }
                Ok(Event::CData(text)) => {
                    open.last_mut().ok_or_else(unreadable)?.text.push_str(&text);
                }
                Ok(Event::GeneralRef(reference)) => {
                    let escaped = format!("&{};", &*reference);
                    let text = quick_xml::escape::unescape(&escaped).map_err(|_| unreadable())?;
                    open.last_mut().ok_or_else(unreadable)?.text.push_str(&text);
                }
                Ok(Event::Eof) => break,
                Ok(_) => {}
                Err(_) => return Err(unreadable()),
            }
        }
        match (open.pop(), open.is_empty()) {
            (Some(outer), true) => outer.children.into_iter().next().ok_or_else(unreadable),
            _ => Err(unreadable()),
        }
    }

    /// The first child of this name.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text at a path of names; none where there is no such element, or it is empty.
    pub fn text(&self, path: &str) -> Option<&str> {
        let element = path.split('/').try_fold(self, |element, name| element.child(name))?;
        Some(element.text.trim()).filter(|text| !text.is_empty())
    }

    /// The number at a path.
    pub fn number<T: std::str::FromStr>(&self, path: &str) -> Option<T> {
        self.text(path)?.parse().ok()
    }

    /// All elements at a path.
    pub fn all<'a>(&'a self, path: &str) -> Vec<&'a Self> {
        path.split('/').fold(vec![self], |elements, name| {
            elements.iter().flat_map(|element| &element.children).filter(|child| child.name == name).collect()
        })
    }
}

fn unreadable() -> ConnectorError {
    ConnectorError::new(ErrorClass::Transient, "OpenNebula answers something that is no XML")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn paths_lead_to_texts() {
        let document = "<?xml version=\"1.0\"?><VM><ID>7</ID><TEMPLATE><DISK><A><![CDATA[x<y]]></A></DISK>\
            <DISK><A>p &amp; q &#33;</A></DISK></TEMPLATE><EMPTY/></VM>";
        let vm = Element::parse(document).unwrap();
        assert_eq!((vm.name.as_str(), vm.number("ID"), vm.text("EMPTY")), ("VM", Some(7), None));
        let disks: Vec<_> = vm.all("TEMPLATE/DISK").iter().map(|disk| disk.text("A").unwrap()).collect();
        assert_eq!(disks, ["x<y", "p & q !"]);
        for broken in ["", "no XML", "<VM><ID>"] {
            assert!(Element::parse(broken).is_err(), "{broken}");
        }
    }
}
