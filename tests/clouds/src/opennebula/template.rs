//! Reads OpenNebula's template syntax: `NAME = value`, `NAME = "value"`, `NAME = [ A = "x", B = y ]`.

/// What stands behind a name.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    One(String),
    Many(Vec<(String, String)>),
}

/// A template in its order.
pub type Template = Vec<(String, Attribute)>;

/// Reads a template; none where it has another syntax.
pub fn parse(text: &str) -> Option<Template> {
    let mut rest = text.trim_start();
    let mut template = Vec::new();
    while !rest.is_empty() {
        let (name, after) = name(rest)?;
        rest = after.trim_start().strip_prefix('=')?.trim_start();
        if let Some(inside) = rest.strip_prefix('[') {
            rest = inside.trim_start();
            let mut pairs = Vec::new();
            loop {
                let (key, after) = self::name(rest)?;
                let (value, after) = value(after.trim_start().strip_prefix('=')?.trim_start(), ",]")?;
                pairs.push((key, value));
                rest = after.trim_start();
                if let Some(next) = rest.strip_prefix(',') {
                    rest = next.trim_start();
                } else {
                    rest = rest.strip_prefix(']')?;
                    break;
                }
            }
            template.push((name, Attribute::Many(pairs)));
        } else {
            let (value, after) = value(rest, "\n")?;
            rest = after;
            template.push((name, Attribute::One(value)));
        }
        rest = rest.trim_start();
    }
    Some(template)
}

fn name(text: &str) -> Option<(String, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')).unwrap_or(text.len());
    (end > 0).then(|| (text[..end].to_ascii_uppercase(), &text[end..]))
}

fn value<'a>(text: &'a str, ends: &str) -> Option<(String, &'a str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c| ends.contains(c)).unwrap_or(text.len());
        return Some((text[..end].trim().to_owned(), &text[end..]));
    };
    let mut out = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, &quoted[at + 1..])),
            '\\' => out.push(chars.next()?.1),
            _ => out.push(c),
        }
    }
    None
}

/// The first value of a name in a vector.
pub fn of<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}
