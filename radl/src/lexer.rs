//! Text to tokens.
//!
//! Three modes: sentences at the top, bodies between parentheses (where comparators, brackets and commas exist), and
//! recipes between `@begin` and `@end`, which are taken verbatim.

use crate::error::RadlError;
use crate::units::Amount;

/// The words that are never names.
pub const KEYWORDS: [&str; 13] = [
    "network",
    "ansible",
    "system",
    "soft",
    "and",
    "contains",
    "deploy",
    "configure",
    "contextualize",
    "step",
    "with",
    "option",
    "description",
];

/// Longest text that `'random(N)'` draws.
pub const MAX_RANDOM: usize = 1024;

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Le,
    Ge,
    Eq,
    Gt,
    Lt,
    LeftBracket,
    RightBracket,
    Comma,
    LeftParen,
    RightParen,
    Random(usize),
    Number(Amount),
    Text(String),
    Name(String),
    Keyword(&'static str),
    RecipeBegin,
    Recipe(String),
    RecipeEnd,
    End,
}

/// A token and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub kind: Kind,
    pub line: u32,
    pub column: u32,
    /// The first character between the previous token and this one that starts no token: character, line, column.
    pub illegal: Option<(char, u32, u32)>,
}

/// Whether a character may begin a name.
fn starts_name(c: char) -> bool {
    c.is_ascii_alphabetic() || matches!(c, '_' | '.')
}

fn continues_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '-')
}

/// Whether `text` is a name of the language (an id, a feature, a unit): not a keyword, no blanks.
#[must_use]
pub fn is_name(text: &str) -> bool {
    text.starts_with(starts_name) && text.chars().all(continues_name) && !KEYWORDS.contains(&text)
}

/// The scanner; keeps its own modes, so the parser only asks for the next token.
pub(crate) struct Lexer<'a> {
    rest: &'a str,
    depth: u32,
    in_recipe: bool,
    recipe_read: bool,
    line: u32,
    column: u32,
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { rest: text, depth: 0, in_recipe: false, recipe_read: false, line: 1, column: 1 }
    }

    /// The next token; [`Kind::End`] for ever at the end.
    ///
    /// # Errors
    /// A string without end, a number or a random text that is too large.
    pub fn next(&mut self) -> Result<Token, RadlError> {
        if self.in_recipe {
            return Ok(self.recipe());
        }
        let illegal = self.skip_blanks();
        let (line, column) = (self.line, self.column);
        let kind = self.kind()?;
        Ok(Token { kind, line, column, illegal })
    }

    /// Consumes `bytes` of the rest and keeps count of the place.
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        for c in taken.chars() {
            if c == '\n' {
                self.line = self.line.saturating_add(1);
                self.column = 1;
            } else {
                self.column = self.column.saturating_add(1);
            }
        }
        taken
    }

    /// Bytes of the rest up to the first character that is not `wanted`.
    fn run(&self, wanted: impl Fn(char) -> bool) -> usize {
        self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len())
    }

    fn skip_blanks(&mut self) -> Option<(char, u32, u32)> {
        let mut illegal = None;
        while let Some(c) = self.rest.chars().next() {
            if c == '#' {
                self.take(self.run(|c| c != '\n'));
            } else if c.is_whitespace() || c == '\u{feff}' {
                self.take(c.len_utf8());
            } else if self.starts_token(c) {
                break;
            } else {
                illegal = illegal.or(Some((c, self.line, self.column)));
                self.take(c.len_utf8());
            }
        }
        illegal
    }

    fn starts_token(&self, c: char) -> bool {
        match c {
            '(' | ')' | '\'' => true,
            '<' | '>' | '=' | '[' | ']' | ',' => self.depth > 0,
            '@' => self.rest.starts_with("@begin"),
            c => c.is_ascii_digit() || starts_name(c),
        }
    }

    fn kind(&mut self) -> Result<Kind, RadlError> {
        let Some(first) = self.rest.chars().next() else {
            return Ok(Kind::End);
        };
        match first {
            '\'' => return self.text(),
            '0'..='9' => return self.number(),
            c if starts_name(c) => {
                let name = self.take(self.run(continues_name));
                let keyword = KEYWORDS.into_iter().find(|keyword| *keyword == name);
                return Ok(keyword.map_or_else(|| Kind::Name(name.to_owned()), Kind::Keyword));
            }
            _ => {}
        }
        let (kind, length) = match first {
            '<' if self.rest.starts_with("<=") => (Kind::Le, 2),
            '>' if self.rest.starts_with(">=") => (Kind::Ge, 2),
            '<' => (Kind::Lt, 1),
            '>' => (Kind::Gt, 1),
            '=' => (Kind::Eq, 1),
            '[' => (Kind::LeftBracket, 1),
            ']' => (Kind::RightBracket, 1),
            ',' => (Kind::Comma, 1),
            '(' => {
                self.depth = self.depth.saturating_add(1);
                (Kind::LeftParen, 1)
            }
            ')' => {
                self.depth = self.depth.saturating_sub(1);
                (Kind::RightParen, 1)
            }
            _ => {
                self.in_recipe = true;
                self.recipe_read = false;
                (Kind::RecipeBegin, "@begin".len())
            }
        };
        self.take(length);
        Ok(kind)
    }

    fn number(&mut self) -> Result<Kind, RadlError> {
        let (line, column) = (self.line, self.column);
        let whole = self.take(self.run(|c| c.is_ascii_digit()));
        let too_large = || RadlError::at(line, column, "The number is too large");
        if !self.rest.starts_with('.') {
            let amount = whole.parse().map_err(|_| too_large())?;
            return Ok(Kind::Number(Amount::Integer(amount)));
        }
        self.take(1);
        let decimals = self.take(self.run(|c| c.is_ascii_digit()));
        match format!("{whole}.{decimals}0").parse() {
            Ok(amount) if f64::is_finite(amount) => Ok(Kind::Number(Amount::Float(amount))),
            _ => Err(too_large()),
        }
    }

    fn text(&mut self) -> Result<Kind, RadlError> {
        let (line, column) = (self.line, self.column);
        let mut chars = self.rest.char_indices().skip(1);
        let end = loop {
            match chars.next() {
                Some((_, '\\')) => {
                    chars.next();
                }
                Some((at, '\'')) => break at,
                Some(_) => {}
                None => {
                    let error = RadlError::at(line, column, "The string that begins here has no closing quote");
                    return Err(error.because("a quote is missing here or earlier; inside a string it is written \\'"));
                }
            }
        };
        let quoted = self.take(end + 1);
        let text = &quoted[1..end];
        if let Some(digits) = text.strip_prefix("random(").and_then(|rest| rest.strip_suffix(')'))
            && !digits.is_empty()
            && digits.bytes().all(|b| b.is_ascii_digit())
        {
            return match digits.parse() {
                Ok(length) if length <= MAX_RANDOM => Ok(Kind::Random(length)),
                _ => Err(RadlError::at(line, column, format!("A random text has at most {MAX_RANDOM} characters"))),
            };
        }
        Ok(Kind::Text(text.replace("\\'", "'")))
    }

    /// Recipe mode: first all lines up to one that begins with `@end`, then that mark.
    fn recipe(&mut self) -> Token {
        let (line, column) = (self.line, self.column);
        let ends_here = self.rest.starts_with("@end");
        let kind = if self.recipe_read || ends_here {
            self.in_recipe = false;
            if ends_here {
                self.take("@end".len());
                Kind::RecipeEnd
            } else {
                Kind::End
            }
        } else {
            self.recipe_read = true;
            let length = self.rest.find("\n@end").map_or(self.rest.len(), |at| at + 1);
            Kind::Recipe(self.take(length).to_owned())
        };
        Token { kind, line, column, illegal: None }
    }
}
