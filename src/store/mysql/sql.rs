//! Statements as text, so that many of them go to the server in one packet. What somebody may have chosen is written in
//! hexadecimal, which no mode of the server reads in another way; sealed values, which nobody can choose and which are
//! most of the text, in quotes, which the server reads in a fraction of the time.

/// A value in a statement.
#[derive(Clone, Copy)]
pub(super) enum Literal<'a> {
    /// A whole number of any of the types used.
    Number(i128),
    /// Text or bytes.
    Bytes(&'a [u8]),
    /// A sealed value.
    Sealed(&'a [u8]),
    /// A variable of the session, by number.
    Variable(usize),
    /// No value.
    Null,
}

macro_rules! numbers {
    ($($type:ty)*) => {$(
        impl From<$type> for Literal<'_> {
            fn from(number: $type) -> Self {
                Self::Number(number.into())
            }
        }
    )*};
}
numbers!(u64 i64 u32 u8 bool);

impl<'a> From<&'a [u8]> for Literal<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a str> for Literal<'a> {
    fn from(text: &'a str) -> Self {
        Self::Bytes(text.as_bytes())
    }
}

impl<'a, T: Into<Self>> From<Option<T>> for Literal<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Literal::Null, Into::into)
    }
}

impl Literal<'_> {
    fn write(self, text: &mut Vec<u8>) {
        match self {
            Self::Number(number) => text.extend(number.to_string().into_bytes()),
            Self::Variable(number) => text.extend(format!("@made{number}").into_bytes()),
            Self::Null => text.extend(b"NULL"),
            Self::Bytes(bytes) => {
                text.extend(b"x'");
                text.extend(hex::encode(bytes).into_bytes());
                text.push(b'\'');
            }
            // As the sessions read it: see `SESSION`.
            Self::Sealed(bytes) => {
                text.reserve(bytes.len() + bytes.len() / 32 + 16);
                text.extend(b"_binary'");
                for part in bytes.split_inclusive(|byte| matches!(byte, b'\'' | b'\\' | 0)) {
                    match part {
                        [plain @ .., 0] => {
                            text.extend(plain);
                            text.extend(b"\\0");
                        }
                        [plain @ .., special @ (b'\'' | b'\\')] => {
                            text.extend(plain);
                            text.extend([b'\\', *special]);
                        }
                        plain => text.extend(plain),
                    }
                }
                text.push(b'\'');
            }
        }
    }
}

/// A statement: each `?` of the template is replaced by the next value.
pub(super) fn statement(template: &str, values: &[Literal<'_>]) -> Vec<u8> {
    let mut text = Vec::with_capacity(template.len() + 16);
    let mut values = values.iter();
    for (index, part) in template.split('?').enumerate() {
        if index > 0 {
            values.next().unwrap_or(&Literal::Null).write(&mut text);
        }
        text.extend(part.as_bytes());
    }
    text
}

/// A list of values for `IN`.
pub(super) fn list<'a>(values: impl IntoIterator<Item = Literal<'a>>) -> String {
    let mut text = Vec::new();
    for value in values {
        if !text.is_empty() {
            text.push(b',');
        }
        value.write(&mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// How long a statement of many rows becomes before another one is begun, bytes.
const ROWS: usize = 1 << 20;

/// Statements that insert rows, as few as there can be: `head row, row, row tail`.
pub(super) struct Inserts {
    head: &'static str,
    tail: &'static str,
    statements: Vec<Vec<u8>>,
}

impl Inserts {
    pub(super) fn new(head: &'static str, tail: &'static str) -> Self {
        Self { head, tail, statements: Vec::new() }
    }

    /// Length of a statement that inserts this row alone.
    pub(super) fn length(&self, row: &[u8]) -> usize {
        self.head.len() + row.len() + self.tail.len()
    }

    /// Adds a row, such as `(1,2)`. No statement becomes longer than `limit` by having others before.
    pub(super) fn push(&mut self, row: &[u8], limit: usize) {
        match self.statements.last_mut() {
            Some(last) if last.len() + row.len() + self.tail.len() < limit.min(ROWS) => last.push(b','),
            _ => self.statements.push(self.head.into()),
        }
        if let Some(last) = self.statements.last_mut() {
            last.extend(row);
        }
    }

    /// The statements, whose rows are forgotten.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Vec<u8>> + use<> {
        let tail = self.tail.as_bytes();
        std::mem::take(&mut self.statements).into_iter().map(move |mut statement| {
            statement.extend(tail);
            statement
        })
    }
}

/// Packets of at most `limit` bytes that hold the statements in order, as many in each as it takes. A statement that is
/// longer gets a packet of its own.
pub(super) fn packets(statements: impl IntoIterator<Item = Vec<u8>>, limit: usize) -> Vec<Vec<u8>> {
    let mut packets: Vec<Vec<u8>> = Vec::new();
    for statement in statements {
        match packets.last_mut() {
            Some(last) if last.len() + statement.len() < limit => {
                last.push(b';');
                last.extend(statement);
            }
            _ => packets.push(statement),
        }
    }
    packets
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn values_are_written_so_that_nothing_ends_them_early() {
        let text = statement(
            "a = ? AND b = ? AND c = ?, ?, ?",
            &["it's \\? ".into(), (-7_i64).into(), Literal::Null, u64::MAX.into(), b"".as_slice().into()],
        );
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "a = x'69742773205c3f20' AND b = -7 AND c = NULL, 18446744073709551615, x''"
        );
        let sealed = statement("?", &[Literal::Sealed(b"\\'a\0\xff\n''")]);
        assert_eq!(sealed, b"_binary'\\\\\\'a\\0\xff\n\\'\\''");
        assert_eq!(list([1_u8.into(), true.into(), Literal::Variable(3)]), "1,1,@made3");
    }

    #[test]
    fn many_rows_make_few_statements_and_packets() {
        let bytes = vec![0; 1000];
        let mut inserts = Inserts::new("INSERT INTO t VALUES ", " ON DUPLICATE KEY");
        for number in 0..2000_u64 {
            inserts.push(&statement("(?, ?)", &[number.into(), bytes[..].into()]), 16 << 20);
        }
        let statements: Vec<_> = inserts.take().collect();
        assert_eq!(statements.len(), 4);
        assert!(statements.iter().all(|text| text.len() < ROWS + 50 && text.ends_with(b"') ON DUPLICATE KEY")));
        let total: usize = statements.iter().map(|text| text.iter().filter(|byte| **byte == b'(').count()).sum();
        assert_eq!(total, 2000);
        assert_eq!(packets(statements.clone(), 3 << 20).len(), 2);
        assert_eq!(packets(statements, 10).len(), 4);
    }
}
