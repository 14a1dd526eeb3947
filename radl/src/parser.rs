//! Tokens to documents: the grammar.

use crate::constraints::Conflict;
use crate::error::RadlError;
use crate::features::{Constraint, Features, Operator, SoftGroup, Value};
use crate::lexer::{Kind, Lexer, Token};
use crate::merge::{self, TakenIds};
use crate::model::{
    AnsibleHost, Configure, Contextualize, ContextualizeItem, Deploy, Description, NOT_WHOLE, Network, Radl, System,
};
use crate::syntax::{self, Before, Expected, Misfit};
use crate::units::{self, Amount};
use indexmap::IndexMap;
use rand::Rng;
use rand::distr::Alphanumeric;

/// How deep parentheses (and objects of the JSON form) may nest.
pub const MAX_DEPTH: usize = 64;

/// Parses the text form; `rng` draws the `'random(N)'` values.
///
/// # Errors
/// The first syntax error, contradiction or duplicate.
pub fn parse(text: &str, rng: &mut impl Rng) -> Result<Radl, RadlError> {
    let mut lexer = Lexer::new(text);
    let token = lexer.next()?;
    let (before, open) = (Before::Other, Vec::new());
    let parser = Parser { text, lexer, token, before, open, rng, ids: TakenIds::default(), contextualize: Vec::new() };
    parser.document().map_err(|error| error.located_in(text))
}

/// A feature of a body that is still open.
struct Parsed {
    line: u32,
    column: u32,
    content: Content,
}

enum Content {
    Constraint(String, Value),
    Soft(SoftGroup),
}

struct Parser<'a, R> {
    text: &'a str,
    lexer: Lexer<'a>,
    /// The token to be looked at next.
    token: Token,
    before: Before,
    /// Lines of the parentheses that are open.
    open: Vec<u32>,
    rng: &'a mut R,
    ids: TakenIds,
    contextualize: Vec<Contextualize>,
}

impl<R: Rng> Parser<'_, R> {
    /// Takes the current token, which fits here. Characters in front of it that start no token are an error now: where
    /// the token does not fit either, its own syntax error is the one reported.
    fn take(&mut self) -> Result<Token, RadlError> {
        if let Some((c, line, column)) = self.token.illegal {
            return Err(syntax::illegal(c, line, column));
        }
        let next = self.lexer.next()?;
        let taken = std::mem::replace(&mut self.token, next);
        self.before = if matches!(taken.kind, Kind::Text(_)) { Before::Text } else { Before::Other };
        Ok(taken)
    }

    fn unexpected<T>(&self, expected: Expected) -> Result<T, RadlError> {
        self.unexpected_in(None, expected)
    }

    /// The error of a token that was not expected, where it may come behind the text of a recipe.
    fn unexpected_in<T>(&self, recipe: Option<(&str, u32)>, expected: Expected) -> Result<T, RadlError> {
        let (text, token, before, opened) = (self.text, &self.token, self.before, self.open.last().copied());
        Err(Misfit { text, token, before, opened, recipe, expected }.error())
    }

    fn open_parenthesis(&mut self) -> Result<(), RadlError> {
        if self.token.kind != Kind::LeftParen {
            return self.unexpected(Expected::OpeningParenthesis);
        }
        if self.open.len() >= MAX_DEPTH {
            let text = format!("Parentheses nest deeper than {MAX_DEPTH}");
            return Err(RadlError::at(self.token.line, self.token.column, text));
        }
        let line = self.take()?.line;
        self.open.push(line);
        Ok(())
    }

    /// The closing parenthesis; `expected` says what else could stand in its place.
    fn close_parenthesis(&mut self, expected: Expected) -> Result<(), RadlError> {
        if self.token.kind != Kind::RightParen {
            return self.unexpected(expected);
        }
        self.take()?;
        self.open.pop();
        Ok(())
    }

    fn at_keyword(&self, word: &str) -> bool {
        matches!(self.token.kind, Kind::Keyword(keyword) if keyword == word)
    }

    fn name(&mut self) -> Result<String, RadlError> {
        self.name_or(Expected::Name)
    }

    fn name_or(&mut self, expected: Expected) -> Result<String, RadlError> {
        match self.token.kind {
            Kind::Name(_) => match self.take()?.kind {
                Kind::Name(name) => Ok(name),
                _ => self.unexpected(expected),
            },
            _ => self.unexpected(expected),
        }
    }

    fn number(&mut self) -> Result<Amount, RadlError> {
        match self.token.kind {
            Kind::Number(amount) => self.take().map(|_| amount),
            _ => self.unexpected(Expected::Number),
        }
    }

    /// A number that `check` wants whole.
    fn whole(&mut self) -> Result<i64, RadlError> {
        Ok(match self.number()? {
            Amount::Integer(whole) => whole,
            Amount::Float(_) => NOT_WHOLE,
        })
    }

    fn document(mut self) -> Result<Radl, RadlError> {
        let mut radl = Radl::default();
        while self.at_keyword("description") {
            let description = self.description()?;
            let line = description.line;
            if radl.description.replace(description).is_some() {
                return Err(RadlError::plain("Description can only be defined once.").placed(line, Some(1)));
            }
        }
        if radl.description.is_some() && self.token.kind == Kind::End {
            return self.unexpected(Expected::Sentence);
        }
        while self.token.kind != Kind::End {
            self.sentence(&mut radl)?;
        }
        self.take()?;
        radl.contextualize = merge::contextualize(self.contextualize);
        Ok(radl)
    }

    fn sentence(&mut self, radl: &mut Radl) -> Result<(), RadlError> {
        let Kind::Keyword(word) = self.token.kind else {
            return self.unexpected(Expected::Sentence);
        };
        let (line, column) = (self.token.line, self.token.column);
        let id = match word {
            "network" => {
                self.take()?;
                let id = self.name()?;
                let (features, reference) = self.optional_body()?;
                radl.networks.push(Network { id, features, reference, line });
                radl.networks.last().map(|network| network.id.as_str())
            }
            "system" => {
                self.take()?;
                let name = self.name()?;
                let (features, reference) = self.optional_body()?;
                radl.systems.push(System { name, features, reference, line });
                radl.systems.last().map(|system| system.name.as_str())
            }
            "ansible" => {
                self.take()?;
                let id = self.name()?;
                let features = self.body()?;
                radl.ansible_hosts.push(AnsibleHost { id, features, line });
                radl.ansible_hosts.last().map(|host| host.id.as_str())
            }
            "configure" => {
                let configure = self.configure()?;
                radl.configures.push(configure);
                radl.configures.last().map(|configure| configure.name.as_str())
            }
            "contextualize" => {
                let contextualize = self.contextualize()?;
                self.contextualize.push(contextualize);
                None
            }
            "deploy" => {
                let deploy = self.deploy()?;
                radl.deploys.push(deploy);
                None
            }
            _ => return self.unexpected(Expected::Sentence),
        };
        let taken = id.map_or(Ok(()), |id| self.ids.take(word, id));
        taken.map_err(|error| error.placed(line, Some(column)))
    }

    fn description(&mut self) -> Result<Description, RadlError> {
        let line = self.take()?.line;
        let id = self.name()?;
        let (features, reference) = self.optional_body()?;
        Ok(Description { id, features, reference, line })
    }

    fn optional_body(&mut self) -> Result<(Features, bool), RadlError> {
        if self.token.kind == Kind::LeftParen { Ok((self.body()?, false)) } else { Ok((Features::new(), true)) }
    }

    fn configure(&mut self) -> Result<Configure, RadlError> {
        let line = self.take()?.line;
        let name = self.name()?;
        if self.token.kind != Kind::LeftParen {
            return Ok(Configure { name, recipe: None, reference: true, line });
        }
        self.open_parenthesis()?;
        let recipe = if self.token.kind == Kind::RecipeBegin { Some(self.recipe()?) } else { None };
        let expected = if recipe.is_none() { Expected::BeginMark } else { Expected::ClosingParenthesis };
        self.close_parenthesis(expected)?;
        Ok(Configure { name, recipe, reference: false, line })
    }

    /// `@begin ... @end`
    fn recipe(&mut self) -> Result<String, RadlError> {
        self.take()?;
        if !matches!(self.token.kind, Kind::Recipe(_)) {
            return self.unexpected(Expected::Recipe);
        }
        let Token { kind, line, .. } = self.take()?;
        let recipe = if let Kind::Recipe(recipe) = kind { recipe } else { String::new() };
        if self.token.kind != Kind::RecipeEnd {
            return self.unexpected_in(Some((&recipe, line)), Expected::EndMark);
        }
        self.take()?;
        Ok(recipe)
    }

    fn deploy(&mut self) -> Result<Deploy, RadlError> {
        let line = self.take()?.line;
        let system = self.name()?;
        let number = self.whole()?;
        let cloud = match self.token.kind {
            Kind::Name(_) => Some(self.name()?),
            _ => None,
        };
        Ok(Deploy { system, number, cloud, line })
    }

    fn contextualize(&mut self) -> Result<Contextualize, RadlError> {
        let line = self.take()?.line;
        let max_time = if let Kind::Number(_) = self.token.kind { self.whole()? } else { 0 };
        let mut contextualize = Contextualize { max_time, line, ..Contextualize::default() };
        self.open_parenthesis()?;
        while self.at_keyword("option") {
            self.take()?;
            let (line, name) = (self.token.line, self.name()?);
            let operator = self.operator()?;
            let value = match self.token.kind {
                Kind::Number(amount) => {
                    self.take()?;
                    number_value(operator, amount, None, line)
                }
                Kind::Text(_) => self.text_value(operator, line)?,
                _ => return self.unexpected(Expected::OptionValue),
            };
            contextualize.options.insert(name, value);
        }
        let mut items = Vec::new();
        while self.at_keyword("system") {
            items.push(self.item()?);
        }
        self.close_parenthesis(Expected::Item)?;
        contextualize.add_items(items);
        Ok(contextualize)
    }

    fn item(&mut self) -> Result<ContextualizeItem, RadlError> {
        let line = self.take()?.line;
        let system = self.name()?;
        if !self.at_keyword("configure") {
            return self.unexpected(Expected::Configure);
        }
        self.take()?;
        let configure = self.name()?;
        let mut item = ContextualizeItem { system, configure, line, ..ContextualizeItem::default() };
        // Each at most once, in either order.
        let (mut step, mut tool) = (false, false);
        loop {
            if !step && self.at_keyword("step") {
                self.take()?;
                item.step = self.whole()?;
                step = true;
            } else if !tool && self.at_keyword("with") {
                self.take()?;
                // In lower case the name is a word of the language.
                let named = if self.at_keyword("ansible") {
                    self.take()?;
                    "ansible".to_owned()
                } else {
                    self.name()?
                };
                item.tool = Some(named);
                tool = true;
            } else {
                return Ok(item);
            }
        }
    }

    /// `( features )`, with the constraints combined.
    fn body(&mut self) -> Result<Features, RadlError> {
        self.open_parenthesis()?;
        let mut parsed = Vec::new();
        if self.token.kind != Kind::RightParen {
            if !self.at_keyword("and") {
                parsed.push(self.feature()?);
            }
            while self.at_keyword("and") {
                self.take()?;
                parsed.push(self.feature()?);
            }
        }
        self.close_parenthesis(Expected::NextFeature)?;
        let mut features = Features::new();
        for Parsed { line, column, content } in parsed {
            match content {
                Content::Soft(group) => features.add_soft(group),
                Content::Constraint(name, value) => {
                    features.add(&name, value, Conflict::Error).map_err(|error| error.with_column(line, column))?
                }
            }
        }
        Ok(features)
    }

    fn feature(&mut self) -> Result<Parsed, RadlError> {
        let (line, column) = (self.token.line, self.token.column);
        if self.at_keyword("soft") {
            self.take()?;
            let weight = self.number()?;
            let features = self.body()?;
            return Ok(Parsed { line, column, content: Content::Soft(SoftGroup { weight, features }) });
        }
        let name = self.name_or(Expected::Feature)?;
        let value = if self.at_keyword("contains") {
            self.take()?;
            let group = self.body()?;
            let key = group.text("name").unwrap_or_default().to_owned();
            Value::Contains(Box::new(IndexMap::from([(key, group)])))
        } else {
            let operator = self.operator()?;
            self.value(operator, line)?
        };
        Ok(Parsed { line, column, content: Content::Constraint(name, value) })
    }

    fn operator(&mut self) -> Result<Operator, RadlError> {
        let operator = match self.token.kind {
            Kind::Eq => Operator::Eq,
            Kind::Lt => Operator::Lt,
            Kind::Le => Operator::Le,
            Kind::Gt => Operator::Gt,
            Kind::Ge => Operator::Ge,
            _ => return self.unexpected(Expected::Operator),
        };
        self.take()?;
        Ok(operator)
    }

    fn value(&mut self, operator: Operator, line: u32) -> Result<Value, RadlError> {
        match self.token.kind {
            Kind::Number(amount) => {
                let (number_line, column) = (self.token.line, self.token.column);
                self.take()?;
                let unit = match &self.token.kind {
                    Kind::Name(name) if !name.starts_with('.') => Some(self.name()?),
                    _ => None,
                };
                if unit.is_some() {
                    self.before = Before::Unit;
                }
                if !units::in_range(amount, unit.as_deref().unwrap_or("")) {
                    return Err(RadlError::at(number_line, column, "The amount is too large in base units"));
                }
                Ok(number_value(operator, amount, unit, line))
            }
            Kind::Random(length) => {
                self.take()?;
                let text = (0..length).map(|_| char::from(self.rng.sample(Alphanumeric))).collect();
                Ok(Value::Text { operator, text, line })
            }
            Kind::Text(_) => self.text_value(operator, line),
            Kind::LeftBracket => self.list(line),
            _ => self.unexpected(Expected::Value),
        }
    }

    fn text_value(&mut self, operator: Operator, line: u32) -> Result<Value, RadlError> {
        match self.take()?.kind {
            Kind::Text(text) => Ok(Value::Text { operator, text, line }),
            _ => self.unexpected(Expected::Text),
        }
    }

    fn list(&mut self, line: u32) -> Result<Value, RadlError> {
        self.take()?;
        let mut items = Vec::new();
        let mut item_due = matches!(self.token.kind, Kind::Text(_));
        loop {
            if item_due {
                if !matches!(self.token.kind, Kind::Text(_)) {
                    return self.unexpected(Expected::Text);
                }
                if let Kind::Text(text) = self.take()?.kind {
                    items.push(text);
                }
            }
            match self.token.kind {
                Kind::Comma => {
                    self.take()?;
                    item_due = true;
                }
                Kind::RightBracket => {
                    self.take()?;
                    return Ok(Value::List { items, line });
                }
                _ if items.is_empty() => return self.unexpected(Expected::Text),
                _ => return self.unexpected(Expected::NextText),
            }
        }
    }
}

/// A single constraint on a number: `=` sets both bounds.
pub(crate) fn number_value(operator: Operator, amount: Amount, unit: Option<String>, line: u32) -> Value {
    let bound = Some(Box::new(Constraint { operator, amount, unit, line }));
    match operator {
        Operator::Eq => Value::Number { lower: bound.clone(), upper: bound },
        Operator::Ge | Operator::Gt => Value::Number { lower: bound, upper: None },
        Operator::Le | Operator::Lt => Value::Number { lower: None, upper: bound },
    }
}
