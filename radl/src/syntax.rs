//! What is said of a text that does not parse: where, what kind of thing was found, what could have stood there, and what
//! the slip probably is. A word may be a password that lost its quote: nothing of the text is repeated but words of the
//! language and single characters that are no part of one.

use crate::error::RadlError;
use crate::lexer::{Kind, Token};

/// What could stand at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    Sentence,
    Name,
    OpeningParenthesis,
    ClosingParenthesis,
    Number,
    Operator,
    Value,
    OptionValue,
    Feature,
    NextFeature,
    Text,
    NextText,
    Configure,
    Item,
    BeginMark,
    Recipe,
    EndMark,
}

impl Expected {
    fn words(self) -> &'static str {
        match self {
            Self::Sentence => "a sentence: network, system, ansible, configure, contextualize or deploy",
            Self::Name => "a name",
            Self::OpeningParenthesis => "'('",
            Self::ClosingParenthesis => "')'",
            Self::Number => "a number",
            Self::Operator => "one of =, <, <=, >, >=",
            Self::Value => "a number, a string or a list",
            Self::OptionValue => "a number or a string",
            Self::Feature => "a feature",
            Self::NextFeature => "'and' or ')'",
            Self::Text => "a string",
            Self::NextText => "',' or ']'",
            Self::Configure => "'configure'",
            Self::Item => "'system' or ')'",
            Self::BeginMark => "'@begin' or ')'",
            Self::Recipe => "the recipe",
            Self::EndMark => "'@end'",
        }
    }
}

/// What stands in front of the place, as far as it tells which slip it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// The unit of a number, which may be a name whose `and` was forgotten.
    Unit,
    /// A string, which a quote inside of it may have closed.
    Text,
    /// Anything else.
    Other,
}

/// A token that does not fit.
pub(crate) struct Misfit<'a> {
    /// The whole text.
    pub text: &'a str,
    pub token: &'a Token,
    pub before: Before,
    /// Line of the parenthesis that is open.
    pub opened: Option<u32>,
    /// The recipe in front, and the line it begins in.
    pub recipe: Option<(&'a str, u32)>,
    pub expected: Expected,
}

impl Misfit<'_> {
    /// The error.
    pub fn error(&self) -> RadlError {
        let expected = self.expected.words();
        let hint = self.language().or_else(|| self.hint()).map(|hint| format!("; {hint}")).unwrap_or_default();
        match (self.token.illegal, &self.token.kind) {
            (Some((c, line, column)), _) => {
                let hint = if hint.is_empty() { of_character(c).map(|hint| format!("; {hint}")) } else { Some(hint) };
                let hint = hint.unwrap_or_default();
                RadlError::syntax(line, column, &format!("found the character {}, expected {expected}{hint}", shown(c)))
            }
            // Clients know the end of the document by these words.
            (None, Kind::End) => RadlError::without_line("Parse error in: None")
                .placed(self.token.line, Some(self.token.column))
                .because(format!("the document ends here, expected {expected}{hint}")),
            (None, found) => {
                let what = format!("found {}, expected {expected}{hint}", words(found));
                RadlError::syntax(self.token.line, self.token.column, &what)
            }
        }
    }

    /// Whether it is another language altogether.
    fn language(&self) -> Option<String> {
        let text = self.text.trim_start();
        if text.starts_with(['[', '{']) {
            return Some("this looks like JSON: the JSON form of RADL is sent as application/json".to_owned());
        }
        let is_tosca = text.lines().any(|line| line.trim_start().starts_with("tosca_definitions_version"));
        is_tosca.then(|| "this looks like TOSCA, not like RADL".to_owned())
    }

    fn hint(&self) -> Option<String> {
        use Expected as E;
        use Kind as K;
        let recipe = "a recipe stands on the lines between @begin and @end";
        if self.token.illegal.is_some() {
            return (self.expected == E::BeginMark).then(|| recipe.to_owned());
        }
        let hint = match (self.expected, &self.token.kind) {
            (E::Value | E::OptionValue | E::Text, K::Name(_) | K::Keyword(_)) => {
                "strings stand in single quotes: 'text'"
            }
            (E::Text, K::Number(_)) => "the elements of a list are strings in single quotes: ['text','text']",
            (E::Text, K::RightBracket) => "no comma stands behind the last element of a list",
            (E::Feature, K::RightParen | K::End) => "'and' stands between two features, not behind the last one",
            (E::Feature, K::Keyword("and")) => "'and' stands twice",
            (E::Feature | E::Name, K::Text(_)) => "a name has no quotes",
            (E::Feature | E::Name, K::Keyword(_)) => "a word of the language is no name",
            (E::Name, K::Number(_)) => "a name begins with a letter, _ or .",
            (E::NextFeature, K::Comma) => "features are joined by 'and'",
            (E::NextFeature, K::Eq | K::Lt | K::Le | K::Gt | K::Ge) if self.before == Before::Unit => {
                "the word in front was taken for the unit of a number: 'and' is missing in front of it"
            }
            (E::NextFeature, K::Name(_)) if self.before == Before::Text => {
                "'and' stands between features; a quote inside a string is written \\'"
            }
            (E::NextFeature, K::Name(_) | K::Keyword("soft")) => "'and' stands between features",
            (E::NextFeature | E::Item | E::ClosingParenthesis, K::Keyword("option")) => {
                "the options stand before the systems"
            }
            (E::NextFeature | E::Item | E::ClosingParenthesis | E::BeginMark, K::Keyword(_) | K::End) => {
                return Some(match self.opened {
                    Some(line) => format!("the ')' is missing that closes the '(' of line {line}"),
                    None => "a ')' is missing".to_owned(),
                });
            }
            (E::Operator, _) => "a feature is written NAME = VALUE",
            (E::Number, K::LeftParen) => "soft groups are written soft WEIGHT ( features )",
            (E::Sentence, K::RightParen) => "there is no '(' that it closes",
            (E::Sentence, K::Keyword("description")) => "a description stands at the beginning",
            (E::Sentence, K::End) => "a description alone is no document",
            (E::BeginMark | E::Recipe, _) => recipe,
            (E::EndMark, K::End) => return Some(self.end_mark()),
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// Where the `@end` of a recipe is.
    fn end_mark(&self) -> String {
        let rule = "it stands at the beginning of a line";
        let Some((recipe, begun)) = self.recipe else { return rule.to_owned() };
        let mut lines = (begun..).zip(recipe.split('\n'));
        match lines.find(|(_, line)| line.trim_start().starts_with("@end")) {
            Some((line, _)) => format!("{rule}, without the blanks of line {line}"),
            None => rule.to_owned(),
        }
    }
}

/// A character that stands where no token can begin, though the next token would fit.
pub(crate) fn illegal(c: char, line: u32, column: u32) -> RadlError {
    let error = RadlError::at(line, column, format!("Illegal character {}", shown(c)));
    match of_character(c) {
        Some(hint) => error.because(hint),
        None => error,
    }
}

/// A character in quotes, visible.
fn shown(c: char) -> String {
    if c.is_control() { format!("'{}'", c.escape_default()) } else { format!("'{c}'") }
}

/// The slip that a character without meaning usually is.
fn of_character(c: char) -> Option<&'static str> {
    Some(match c {
        '"' => "strings stand in single quotes: 'text'",
        '`' | '´' | '‘' | '’' | '“' | '”' | '„' | '«' | '»' => {
            "strings stand in straight single quotes: 'text'"
        }
        '-' | '+' => "numbers have no sign, and no name begins with it",
        '<' | '>' | '=' | '[' | ']' => "it has a meaning between parentheses only",
        ',' | ';' | '&' => "features are joined by 'and', sentences by nothing",
        '{' | '}' => "features stand between ( and )",
        ':' => "a feature is written NAME = VALUE",
        '!' | '~' => "the comparisons are =, <, <=, > and >=",
        '@' => "what is to be filled in, as @input.NAME@, has to be so before the document is sent",
        _ => return None,
    })
}

/// A token in words.
fn words(kind: &Kind) -> String {
    let fixed = match kind {
        Kind::Le => "'<='",
        Kind::Ge => "'>='",
        Kind::Eq => "'='",
        Kind::Gt => "'>'",
        Kind::Lt => "'<'",
        Kind::LeftBracket => "'['",
        Kind::RightBracket => "']'",
        Kind::Comma => "','",
        Kind::LeftParen => "'('",
        Kind::RightParen => "')'",
        Kind::Random(_) | Kind::Text(_) => "a string",
        Kind::Number(_) => "a number",
        Kind::Name(_) => "a word",
        Kind::Keyword(word) => return format!("'{word}'"),
        Kind::RecipeBegin => "'@begin'",
        Kind::Recipe(_) => "the text of a recipe",
        Kind::RecipeEnd => "'@end'",
        Kind::End => "the end of the document",
    };
    fixed.to_owned()
}
