//! OpenNebula's template syntax (docs.opennebula.io, "VM Template Reference"): `NAME = "value"` and
//! `NAME = [ A = "x", B = "y" ]`, a line for each attribute, every value quoted.

use std::fmt::Write as _;

/// A template that is being written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Template(String);

impl Template {
    /// Adds an attribute with one value.
    pub fn set(&mut self, name: &str, value: &str) {
        // Writing to a text never fails.
        let _ = writeln!(self.0, "{name} = {}", quoted(value));
    }

    /// Adds an attribute made of several; nothing where there are none.
    pub fn vector(&mut self, name: &str, pairs: &[(&str, String)]) {
        self.vector_with(name, pairs, "");
    }

    /// Adds an attribute made of several, and text of the operator's that is in this syntax already.
    pub fn vector_with(&mut self, name: &str, pairs: &[(&str, String)], more: &str) {
        let own = pairs.iter().map(|(key, value)| format!("{key} = {}", quoted(value)));
        let more = more.trim().trim_matches(',').trim();
        let all: Vec<_> = own.chain((!more.is_empty()).then(|| more.to_owned())).collect();
        if !all.is_empty() {
            let _ = writeln!(self.0, "{name} = [ {} ]", all.join(", "));
        }
    }

    /// Adds lines of the operator's that are in this syntax already.
    pub fn lines(&mut self, text: &str) {
        if !text.trim().is_empty() {
            let _ = writeln!(self.0, "{}", text.trim());
        }
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// A value in quotes. Quotes and backslashes would end it, or change what follows.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A name of an attribute, of whatever text a user gives: letters, digits and `_`.
pub(super) fn attribute(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let name: String = name.chars().map(plain).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_its_quotes() {
        let mut template = Template::default();
        template.set("NAME", "a\" ]\nCPU = \"8\\");
        template.vector_with("CONTEXT", &[("A", "x".to_owned())], " B = \"y\", ");
        template.vector("NONE", &[]);
        template.lines("");
        assert_eq!(template.text(), "NAME = \"a\\\" ]\nCPU = \\\"8\\\\\"\nCONTEXT = [ A = \"x\", B = \"y\" ]\n");
        assert_eq!((attribute("a-b.c"), attribute("1\"x")), ("A_B_C".to_owned(), "_1_X".to_owned()));
    }
}
