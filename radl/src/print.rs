//! Documents to text.

use crate::error::RadlError;
use crate::features::{Constraint, Features, Operator, Value};
use crate::lexer::is_name;
use crate::model::{Configure, Contextualize, ContextualizeItem, Deploy, Network, Radl, System};
use crate::units::Amount;
use std::fmt;

impl fmt::Display for Radl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(description) = &self.description {
            writeln!(f, "description {} ({})", description.id, features(&description.features))?;
        }
        let ansible = self.ansible_hosts.iter().map(|a| format!("ansible {} ({})", a.id, features(&a.features)));
        let networks = self.networks.iter().map(Network::to_string);
        let systems = self.systems.iter().map(System::to_string);
        let configures = self.configures.iter().map(Configure::to_string);
        // The place of the contextualize sentence is kept, empty, when there is none.
        let contextualize = self.contextualize.as_ref().map(Contextualize::to_string).unwrap_or_default();
        let deploys = self.deploys.iter().map(Deploy::to_string);
        let sentences: Vec<String> =
            ansible.chain(networks).chain(systems).chain(configures).chain([contextualize]).chain(deploys).collect();
        f.write_str(&sentences.join("\n"))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.reference {
            return write!(f, "network {} ", self.id);
        }
        write!(f, "network {} ( {} )", self.id, features(&self.features))
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.reference {
            return write!(f, "system {} ", self.name);
        }
        writeln!(f, "system {} (\n{}\n)", self.name, features(&self.features))
    }
}

impl fmt::Display for Configure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.recipe {
            _ if self.reference => write!(f, "configure {}", self.name),
            None => write!(f, "configure {} ()", self.name),
            Some(recipe) => write!(f, "configure {} (\n@begin\n{recipe}\n@end\n)", self.name),
        }
    }
}

impl fmt::Display for Contextualize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = if self.max_time > 0 { self.max_time.to_string() } else { String::new() };
        if self.items.is_empty() && self.options.is_empty() {
            let space = if time.is_empty() { "" } else { " " };
            return write!(f, "contextualize {time}{space}()");
        }
        writeln!(f, "contextualize {time} (")?;
        for (name, value) in &self.options {
            writeln!(f, "option {}", feature(name, value))?;
        }
        let items: Vec<String> = self.items.iter().map(ContextualizeItem::to_string).collect();
        write!(f, "{}\n)", items.join("\n"))
    }
}

impl fmt::Display for ContextualizeItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "system {} configure {} ", self.system, self.configure)?;
        if self.step != 0 {
            write!(f, "step {}", self.step)?;
        }
        f.write_str(" ")?;
        self.tool.as_ref().map_or(Ok(()), |tool| write!(f, "with {tool}"))
    }
}

impl fmt::Display for Deploy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "deploy {} {}", self.system, self.number)?;
        self.cloud.as_ref().map_or(Ok(()), |cloud| write!(f, " {cloud}"))
    }
}

impl Radl {
    /// The text form. Always succeeds, also for what the text form has no words for (negative numbers, objects of the
    /// JSON form, a step together with a tool, ...): see [`Radl::to_parsable_text`].
    #[must_use]
    pub fn to_text(&self) -> String {
        self.to_string()
    }

    /// The text form, only if it parses back to this document.
    ///
    /// # Errors
    /// What the text form cannot carry.
    pub fn to_parsable_text(&self) -> Result<String, RadlError> {
        printable::document(self)?;
        Ok(self.to_text())
    }
}

impl Features {
    /// The constraints in print order, each in text form; a soft group is one of them.
    #[must_use]
    pub fn constraints(&self) -> Vec<String> {
        let mut texts = Vec::with_capacity(self.values.len() + self.softs.len());
        let softs = || self.softs.iter().map(|s| format!("soft {} ( {} )", amount(s.weight), features(&s.features)));
        for (at, (name, value)) in self.values.iter().enumerate() {
            if at == self.before_softs {
                texts.extend(softs());
            }
            texts.extend(value_constraints(name, value));
        }
        if self.before_softs >= self.values.len() {
            texts.extend(softs());
        }
        texts
    }
}

/// The text between the parentheses.
pub(crate) fn features(features: &Features) -> String {
    features.constraints().join(" and\n")
}

/// All constraints on one name.
pub(crate) fn feature(name: &str, value: &Value) -> String {
    value_constraints(name, value).join(" and\n")
}

fn value_constraints(name: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Number { lower: Some(lower), upper: Some(upper) } => {
            let one = lower.operator == Operator::Eq && upper.operator == Operator::Eq && lower.same_amount(upper);
            let mut texts = vec![bound(name, lower)];
            if !one {
                texts.push(bound(name, upper));
            }
            texts
        }
        Value::Number { lower, upper } => lower.iter().chain(upper).map(|side| bound(name, side)).collect(),
        Value::Text { operator, text, .. } => vec![version(name, *operator, text)],
        Value::Versions { lower, upper } => {
            [lower, upper].map(|side| version(name, side.operator, &side.text)).to_vec()
        }
        Value::List { items, .. } => {
            let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
            vec![format!("{name} = [{}]", items.join(","))]
        }
        Value::Contains(groups) => {
            groups.values().map(|group| format!("{name} contains ({})", features(group))).collect()
        }
        Value::Object(object) => {
            vec![format!("{name} = {}", serde_json::Value::Object(serde_json::Map::clone(object)))]
        }
    }
}

fn version(name: &str, operator: Operator, text: &str) -> String {
    format!("{name} {} {}", operator.as_str(), quoted(text))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "\\'"))
}

/// One constraint on a number.
pub(crate) fn bound(name: &str, bound: &Constraint) -> String {
    let unit = bound.unit.as_deref().unwrap_or("");
    format!("{name} {} {}{unit}", bound.operator.as_str(), amount(bound.amount))
}

/// A number in plain decimals, with a dot if it is not an integer.
pub(crate) fn amount(amount: Amount) -> String {
    match amount {
        Amount::Integer(whole) => whole.to_string(),
        Amount::Float(decimal) => {
            let text = decimal.to_string();
            if text.contains('.') || !decimal.is_finite() { text } else { text + ".0" }
        }
    }
}

impl Constraint {
    /// Whether both say the same amount in base units.
    pub(crate) fn same_amount(&self, other: &Self) -> bool {
        let unit = |bound: &Self| bound.unit.clone().unwrap_or_default();
        crate::units::compare(self.amount, &unit(self), other.amount, &unit(other)).is_eq()
    }
}

/// What the text form can carry.
mod printable {
    use super::{Amount, Configure, Features, Radl, RadlError, Value, is_name};

    pub fn document(radl: &Radl) -> Result<(), RadlError> {
        if let Some(description) = &radl.description {
            name(&description.id)?;
            features(&description.features)?;
            if radl.is_description_only() {
                return refuse("a description alone");
            }
        }
        for host in &radl.ansible_hosts {
            name(&host.id)?;
            features(&host.features)?;
        }
        for network in &radl.networks {
            name(&network.id)?;
            features(&network.features)?;
        }
        for system in &radl.systems {
            name(&system.name)?;
            features(&system.features)?;
        }
        radl.configures.iter().try_for_each(configure)?;
        for item in radl.contextualize.iter().flat_map(|c| &c.items) {
            name(&item.system)?;
            name(&item.configure)?;
            // `ansible` in lower case is a word of the language that may stand here.
            item.tool.as_deref().filter(|tool| *tool != "ansible").map_or(Ok(()), name)?;
            if item.step < 0 {
                return refuse("a contextualize item with a negative step");
            }
        }
        for (option, value) in radl.contextualize.iter().flat_map(|c| &c.options) {
            name(option)?;
            self::value(option, value)?;
            if matches!(value, Value::List { .. } | Value::Contains(_) | Value::Object(_) | Value::Versions { .. })
                || super::value_constraints(option, value).len() != 1
                || matches!(value, Value::Number { lower, upper }
                    if lower.iter().chain(upper).any(|bound| bound.unit.is_some()))
            {
                return refuse(&format!("the value of the option {option}"));
            }
        }
        if radl.contextualize.as_ref().is_some_and(|c| c.max_time < 0) {
            return refuse("a negative time");
        }
        for deploy in &radl.deploys {
            name(&deploy.system)?;
            deploy.cloud.as_deref().map_or(Ok(()), name)?;
            if deploy.number < 0 {
                return refuse("a negative number of machines");
            }
        }
        Ok(())
    }

    fn refuse<T>(what: &str) -> Result<T, RadlError> {
        Err(RadlError::without_line(format!("The text form has no words for {what}; use the JSON form")))
    }

    fn name(name: &str) -> Result<(), RadlError> {
        if is_name(name) { Ok(()) } else { refuse(&format!("the name '{name}'")) }
    }

    /// A unit is a name that no second dot of the number could begin.
    fn unit(unit: &str) -> Result<(), RadlError> {
        if unit.starts_with('.') { refuse(&format!("the unit '{unit}'")) } else { name(unit) }
    }

    fn configure(configure: &Configure) -> Result<(), RadlError> {
        name(&configure.name)?;
        let marked = configure.recipe.iter().any(|recipe| recipe.split('\n').any(|line| line.starts_with("@end")));
        if marked { refuse(&format!("a recipe line that begins with @end (in {})", configure.name)) } else { Ok(()) }
    }

    fn features(features: &Features) -> Result<(), RadlError> {
        for (name, value) in features.iter() {
            self::name(name)?;
            self::value(name, value)?;
        }
        for group in features.softs() {
            amount("a weight", group.weight)?;
            self::features(&group.features)?;
        }
        Ok(())
    }

    fn value(name: &str, value: &Value) -> Result<(), RadlError> {
        match value {
            Value::Number { lower, upper } => lower.iter().chain(upper).try_for_each(|bound| {
                bound.unit.as_deref().map_or(Ok(()), unit)?;
                amount(name, bound.amount)
            }),
            Value::Text { text, .. } => self::text(name, text),
            Value::Versions { lower, upper } => [lower, upper].iter().try_for_each(|side| text(name, &side.text)),
            Value::List { items, .. } => items.iter().try_for_each(|item| text(name, item)),
            Value::Contains(groups) => groups.values().try_for_each(features),
            Value::Object(_) => refuse(&format!("the object in {name}")),
        }
    }

    fn amount(name: &str, amount: Amount) -> Result<(), RadlError> {
        let fits = match amount {
            Amount::Integer(whole) => whole >= 0,
            Amount::Float(decimal) => decimal.is_finite() && decimal.is_sign_positive(),
        };
        if fits { Ok(()) } else { refuse(&format!("the number in {name}")) }
    }

    /// A backslash takes the next character with it, so it may stand neither before a quote nor at the end; and a text
    /// that reads `random(N)` would be drawn anew.
    fn text(name: &str, text: &str) -> Result<(), RadlError> {
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if c == '\\' && matches!(chars.next(), None | Some('\'')) {
                return refuse(&format!("the backslash in {name}"));
            }
        }
        let digits = text.strip_prefix("random(").and_then(|rest| rest.strip_suffix(')'));
        if digits.is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit())) {
            return refuse(&format!("the text in {name}"));
        }
        Ok(())
    }
}
