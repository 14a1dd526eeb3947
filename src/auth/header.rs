//! From the `Authorization` header (or a list of structs) to credential items (docs/spec/api.md 1.1 to 1.5).
//!
//! The line form is `key = value; key = value\nkey = value`, where `\n` is those two characters. A value with `;`, or
//! with blanks at its ends, is put in `'` or `"`; everything after the first `=` is the value, so that no password is
//! ever cut short. Values are taken as they are: nothing names a file of the server.

use super::{AuthError, Credentials, Item};
use crate::charset::utf8_or_latin1;
use indexmap::IndexMap;

/// Largest header taken, bytes.
const MAX_LENGTH: usize = 1 << 20;
/// Most items of a request.
const MAX_ITEMS: usize = 256;
/// Most keys of an item.
const MAX_KEYS: usize = 64;
/// Characters of a wrong id that is shown as a whole.
const SHORT_ID: usize = 4;

/// Reads the value of an `Authorization` header: JSON, `Basic`, `Bearer` or lines.
///
/// # Errors
/// [`AuthError::Malformed`]: what is wrong, without any value.
pub fn parse_header(value: &str) -> Result<Credentials, AuthError> {
    if value.len() > MAX_LENGTH {
        return Err(malformed("the header is too long"));
    }
    let value = value.trim();
    let items = match value.split_once(' ') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("basic") => vec![basic(rest.trim())?],
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => {
            vec![item([("type", "InfrastructureManager"), ("token", rest.trim())])]
        }
        _ if value.starts_with(['[', '{']) => json(value)?,
        _ => lines(value)?,
    };
    Credentials::from_items(items).map_err(|error| match error {
        AuthError::BadId(_) => AuthError::Malformed(error.to_string()),
        other => other,
    })
}

impl Credentials {
    /// Checks items that came as structs: their number, and that labels (`id`) can be used as cloud ids.
    ///
    /// # Errors
    /// [`AuthError::BadId`], or [`AuthError::Malformed`] when there are too many.
    pub fn from_items(items: Vec<Item>) -> Result<Self, AuthError> {
        if items.len() > MAX_ITEMS || items.iter().any(|item| item.0.len() > MAX_KEYS) {
            return Err(malformed("too many items, or keys in one of them"));
        }
        match items.iter().filter_map(|item| item.get("id")).find(|id| !id.is_empty() && !is_label(id)) {
            Some(id) => Err(AuthError::BadId(beginning(id))),
            None => Ok(Self { items }),
        }
    }
}

/// As much of a wrong id as may be told: it may be a password that stands in the wrong place.
fn beginning(id: &str) -> String {
    if id.chars().count() <= SHORT_ID {
        id.to_owned()
    } else {
        format!("{}...", id.chars().take(1).collect::<String>())
    }
}

fn malformed(text: impl Into<String>) -> AuthError {
    AuthError::Malformed(text.into())
}

fn item<const N: usize>(pairs: [(&str, &str); N]) -> Item {
    Item(pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
}

/// `[a-zA-Z_.][A-Za-z0-9_.-]*`, with any letter or digit after the first character.
fn is_label(id: &str) -> bool {
    let mut characters = id.chars();
    characters.next().is_some_and(|c| c.is_ascii_alphabetic() || matches!(c, '_' | '.'))
        && characters.all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

fn basic(encoded: &str) -> Result<Item, AuthError> {
    let decoded = openssl::base64::decode_block(encoded).unwrap_or_default();
    let text = utf8_or_latin1(&decoded);
    let Some((username, password)) = text.split_once(':') else {
        return Err(malformed("Basic needs the base64 form of username:password"));
    };
    Ok(item([("type", "InfrastructureManager"), ("username", username), ("password", password)]))
}

/// An array of objects, or one object. Files are sent with their line ends as the two characters `\n`, which JSON only
/// knows inside strings: what cannot be read as it is is read again with those undone.
fn json(text: &str) -> Result<Vec<Item>, AuthError> {
    let value: serde_json::Value = serde_json::from_str(text)
        .or_else(|error| serde_json::from_str(&text.replace("\\n", "\n")).map_err(|_| error))
        .map_err(|error| {
            malformed(format!("the JSON cannot be read at line {}, column {}", error.line(), error.column()))
        })?;
    let objects = match value {
        serde_json::Value::Array(objects) => objects,
        object => vec![object],
    };
    objects.into_iter().enumerate().map(|(index, object)| json_item(index, object)).collect()
}

fn json_item(index: usize, object: serde_json::Value) -> Result<Item, AuthError> {
    use serde_json::Value::{Array, Bool, Null, Number, Object, String};
    let Object(object) = object else {
        return Err(malformed(format!("element {index} of the JSON is not an object")));
    };
    let mut pairs = IndexMap::with_capacity(object.len());
    for (key, value) in object {
        match value {
            Null => continue,
            String(text) => pairs.insert(key, text),
            Number(number) => pairs.insert(key, number.to_string()),
            Bool(truth) => pairs.insert(key, truth.to_string()),
            Array(_) | Object(_) => {
                return Err(malformed(format!("a value of element {index} of the JSON is not text")));
            }
        };
    }
    Ok(Item(pairs))
}

fn lines(text: &str) -> Result<Vec<Item>, AuthError> {
    // A newline inside a value is sent with its backslash doubled.
    let text = text.replace("\\\\n", "\n");
    text.split("\\n")
        .map(str::trim)
        .filter(|piece| !piece.is_empty() && !piece.starts_with('#'))
        .enumerate()
        .filter_map(|(index, piece)| {
            line(piece).map_err(|reason| malformed(format!("item {index}: {reason}"))).transpose()
        })
        .collect()
}

/// One item; none for a piece without any pair, which says nothing and loses nothing.
fn line(piece: &str) -> Result<Option<Item>, &'static str> {
    let mut pairs = IndexMap::new();
    let mut bare = false;
    for part in Parts(piece) {
        let part = part?;
        let Some((key, value)) = part else {
            bare = true;
            continue;
        };
        if key.is_empty() {
            return Err("a key is missing before '='");
        }
        pairs.insert(key, value);
    }
    match (pairs.is_empty(), bare) {
        (true, _) => Ok(None),
        (false, true) => Err("a part has no '='; quote values that hold ';'"),
        (false, false) => Ok(Some(Item(pairs))),
    }
}

/// The parts of an item between `;` outside quotes: key and value, or none for a part without `=`.
struct Parts<'a>(&'a str);

impl Iterator for Parts<'_> {
    type Item = Result<Option<(String, String)>, &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.0.is_empty() {
                return None;
            }
            let mut quote = None;
            let mut key = None;
            let mut text = Trimmed::default();
            let mut end = self.0.len();
            for (position, c) in self.0.char_indices() {
                match (quote, c) {
                    (Some(open), _) if open == c => quote = None,
                    (Some(_), _) => text.push(c, true),
                    (None, '\'' | '"') => quote = Some(c),
                    (None, ';') => {
                        end = position;
                        break;
                    }
                    (None, '=') if key.is_none() => key = Some(std::mem::take(&mut text).finish()),
                    (None, _) => text.push(c, false),
                }
            }
            self.0 = self.0.get(end + 1..).unwrap_or_default();
            if quote.is_some() {
                return Some(Err("a quote is not closed; put a value that holds one quote into the other kind"));
            }
            let text = text.finish();
            match key {
                Some(key) => return Some(Ok(Some((key, text)))),
                None if text.is_empty() => {}
                None => return Some(Ok(None)),
            }
        }
    }
}

/// Text whose blank ends are cut, but for what was quoted.
#[derive(Default)]
struct Trimmed {
    text: String,
    /// Length up to the last character that must stay.
    keep: usize,
}

impl Trimmed {
    fn push(&mut self, c: char, quoted: bool) {
        if quoted || !c.is_whitespace() {
            self.text.push(c);
            self.keep = self.text.len();
        } else if self.keep > 0 {
            self.text.push(c);
        }
    }

    fn finish(mut self) -> String {
        self.text.truncate(self.keep);
        self.text
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    fn pairs(header: &str) -> Vec<Vec<(String, String)>> {
        parse_header(header).unwrap().items.into_iter().map(|item| item.0.into_iter().collect()).collect()
    }

    fn expect(header: &str, items: &[&[(&str, &str)]]) {
        let items: Vec<Vec<(String, String)>> = items
            .iter()
            .map(|pairs| pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
            .collect();
        assert_eq!(pairs(header), items, "{header}");
    }

    #[test]
    fn lines_json_basic_and_bearer_give_the_same_items() {
        let user: &[(&str, &str)] = &[("type", "InfrastructureManager"), ("username", "u"), ("password", "p:w")];
        let dummy: &[(&str, &str)] = &[("id", "d"), ("type", "Dummy")];
        expect(
            "type = InfrastructureManager; username = u; password = p:w;\\nid = d; type = Dummy;\\n",
            &[user, dummy],
        );
        expect("type=InfrastructureManager;username=u;password=p:w", &[user]);
        expect("# a comment; x\\n type = InfrastructureManager; username = 'u'; password = \"p:w\"", &[user]);
        expect(
            r#"[{"type":"InfrastructureManager","username":"u","password":"p:w"},{"id":"d","type":"Dummy"}]"#,
            &[user, dummy],
        );
        expect(r#"[\n  {"type": "InfrastructureManager", "username": "u", "password": "p:w"}\n]\n"#, &[user]);
        expect(&format!("Basic {}", openssl::base64::encode_block(b"u:p:w")), &[user]);
        expect("Bearer a.b.c", &[&[("type", "InfrastructureManager"), ("token", "a.b.c")]]);
    }

    #[test]
    fn no_value_is_ever_cut_short() {
        expect("type = T; password = pa=ss==; x = y", &[&[("type", "T"), ("password", "pa=ss=="), ("x", "y")]]);
        expect("password = 'pa;ss'", &[&[("password", "pa;ss")]]);
        expect("password = \"pa;'ss\"", &[&[("password", "pa;'ss")]]);
        expect("password = ' a '; id=; k = a 'b'c", &[&[("password", " a "), ("id", ""), ("k", "a bc")]]);
        expect("key = -----BEGIN\\\\nabc\\\\n-----END", &[&[("key", "-----BEGIN\nabc\n-----END")]]);
        expect(r#"[{"key": "-----BEGIN\nabc"}]"#, &[&[("key", "-----BEGIN\nabc")]]);
        expect("username = file(/etc/passwd)", &[&[("username", "file(/etc/passwd)")]]);
        for broken in [
            "type = T; password = pa;ss",
            "type = T; password = it's; x = y",
            "type = T; = x",
            "[{]",
            "[1]",
            "Basic %%",
        ] {
            let error = parse_header(broken).unwrap_err();
            assert!(matches!(error, AuthError::Malformed(_)), "{broken}");
            assert!(error.to_string().starts_with("No authentication data provided"), "{error}");
        }
    }

    #[test]
    fn labels_are_checked_and_pieces_without_pairs_say_nothing() {
        for header in ["", "xxx", "\\n;;\\n"] {
            expect(header, &[]);
        }
        let error = parse_header("id = 1bad; type = Dummy").unwrap_err();
        assert_eq!(error.to_string(), "No authentication data provided: Incorrect value in auth item id: 1bad");
        let error = parse_header("id = S3cret H0rse; type = Dummy").unwrap_err();
        assert!(error.to_string().ends_with("auth item id: S..."), "{error}");
        assert!(parse_header("id = _o.k-1é; type = Dummy").is_ok());
        assert!(parse_header(&"a=b\\n".repeat(MAX_ITEMS + 1)).is_err());
    }

    fn quoted(value: &str) -> String {
        // What has both kinds of quote is put together from pieces of each.
        value.split('\'').map(|piece| format!("'{piece}'")).collect::<Vec<_>>().join("\"'\"").replace('\n', "\\\\n")
    }

    proptest! {
        #[test]
        fn never_panics(header in "(\\PC|\\\\|\n|=|;|'|\"|\\[|\\{){0,60}") {
            let _ = parse_header(&header);
        }

        #[test]
        fn quoted_values_come_back(items in prop::collection::vec(
            prop::collection::vec(("k[a-z_]{0,7}", "([^\\\\\r]|\n|=|;|'|\"){0,20}"), 1..5), 1..4
        )) {
            let header = items
                .iter()
                .map(|item| item.iter().map(|(key, value)| format!("{key} = {};", quoted(value))).collect::<String>())
                .collect::<Vec<_>>()
                .join("\\n");
            let wanted: Vec<IndexMap<String, String>> = items.iter().map(|item| item.iter().cloned().collect()).collect();
            let got: Vec<_> = parse_header(&header).unwrap().items.into_iter().map(|item| item.0).collect();
            prop_assert_eq!(got, wanted);
        }

        #[test]
        fn json_values_come_back(values in prop::collection::vec("\\PC{0,20}|\n", 1..5)) {
            let object: serde_json::Map<_, _> =
                values.iter().enumerate().map(|(i, v)| (format!("k{i}"), v.clone().into())).collect();
            let header = serde_json::Value::Array(vec![object.into()]).to_string();
            let got: Vec<String> = parse_header(&header).unwrap().items.remove(0).0.into_values().collect();
            prop_assert_eq!(got, values);
        }
    }
}
