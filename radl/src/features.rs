//! Feature lists: an ordered map from a name to a value, as they stand between the parentheses of a sentence.

use crate::{
    entries::Entries,
    units::{self, Amount},
};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// How a feature compares with its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Operator {
    /// `=`
    #[serde(rename = "=")]
    Eq,
    /// `<`
    #[serde(rename = "<")]
    Lt,
    /// `<=`
    #[serde(rename = "<=")]
    Le,
    /// `>`
    #[serde(rename = ">")]
    Gt,
    /// `>=`
    #[serde(rename = ">=")]
    Ge,
}

impl Operator {
    /// The operator as written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
        }
    }
}

/// One bound of a number: operator, amount and unit as written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Constraint {
    /// The operator as written.
    pub operator: Operator,
    /// The amount, in `unit`.
    pub amount: Amount,
    /// The unit as written, none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Line of the document (from 1); 0 when unknown.
    #[serde(default)]
    pub line: u32,
}

/// One bound of a range of versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionBound {
    /// The operator as written.
    pub operator: Operator,
    /// The version.
    pub text: String,
    /// Line of the document (from 1); 0 when unknown.
    #[serde(default)]
    pub line: u32,
}

/// The value of a feature. Texts are what a machine has many of: what is rare stands behind a pointer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// An interval of numbers; at least one side is set.
    Number {
        /// Lower bound, or the exact value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lower: Option<Box<Constraint>>,
        /// Upper bound, or the exact value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        upper: Option<Box<Constraint>>,
    },
    /// A text with its operator (`=` except for versions).
    Text {
        /// The operator as written.
        operator: Operator,
        /// The text.
        text: String,
        /// Line of the document (from 1); 0 when unknown.
        #[serde(default)]
        line: u32,
    },
    /// A list of texts.
    List {
        /// The texts.
        items: Vec<String>,
        /// Line of the document (from 1); 0 when unknown.
        #[serde(default)]
        line: u32,
    },
    /// A range of versions, when two constraints on one version are needed to say it.
    Versions {
        /// Lower bound.
        lower: Box<VersionBound>,
        /// Upper bound.
        upper: Box<VersionBound>,
    },
    /// Groups of features keyed by their inner `name` (empty for an unnamed group).
    Contains(Box<IndexMap<String, Features>>),
    /// An object of the JSON form, which the text form has no words for; kept as it came.
    Object(Box<serde_json::Map<String, serde_json::Value>>),
}

// A daemon keeps thousands of them per machine.
const _: () = assert!(size_of::<Value>() <= 40);

/// Features that are wished for, with a weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SoftGroup {
    /// The weight, as written.
    pub weight: Amount,
    /// The wished features.
    pub features: Features,
}

/// An ordered list of features.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Features {
    pub(crate) values: Entries<Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) softs: Vec<SoftGroup>,
    /// How many features stand before the soft groups; all groups print together, where the first one stood.
    #[serde(default)]
    pub(crate) before_softs: usize,
}

impl Features {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The value under `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// Whether `name` has a value.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Names and values in document order, without soft groups.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter()
    }

    /// The soft groups in document order.
    #[must_use]
    pub fn softs(&self) -> &[SoftGroup] {
        &self.softs
    }

    /// The text under `name`, none when absent or of another kind.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.values.get(name)? {
            Value::Text { text, .. } => Some(text),
            Value::Versions { lower, .. } => Some(&lower.text),
            _ => None,
        }
    }

    /// The texts under `name`: those of a list, or the single one.
    pub fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        let items = match self.values.get(name) {
            Some(Value::List { items, .. }) => items.as_slice(),
            _ => &[],
        };
        items.iter().map(String::as_str).chain(self.text(name))
    }

    /// The lower bound of the number under `name` if set, else the upper one.
    #[must_use]
    pub fn bound(&self, name: &str) -> Option<&Constraint> {
        match self.values.get(name)? {
            Value::Number { lower, upper } => lower.as_deref().or(upper.as_deref()),
            _ => None,
        }
    }

    /// The number under `name` read in `unit` (none: base units): the lower bound if set, else the upper one. Whole
    /// numbers stay whole, rounded to the nearest with ties to even.
    #[must_use]
    pub fn amount(&self, name: &str, unit: Option<&str>) -> Option<Amount> {
        let bound = self.bound(name)?;
        Some(units::convert(bound.amount, bound.unit.as_deref().unwrap_or(""), unit))
    }

    /// The number under `name` read in `unit` (empty: base units): the lower bound if set, else the upper one.
    #[must_use]
    pub fn number(&self, name: &str, unit: &str) -> Option<f64> {
        let bound = self.bound(name)?;
        let own = bound.unit.as_deref().unwrap_or("");
        Some(bound.amount.as_f64() * units::unit_factor(own) as f64 / units::unit_factor(unit) as f64)
    }

    /// The number under `name` read in `unit` (empty: base units), rounded to the nearest integer (ties to even): the lower
    /// bound if set, else the upper one.
    #[must_use]
    pub fn integer(&self, name: &str, unit: &str) -> Option<i64> {
        match self.amount(name, Some(unit))? {
            Amount::Integer(whole) => Some(whole),
            Amount::Float(decimal) => Some(decimal.round_ties_even() as i64),
        }
    }

    /// The groups of the contains-set under `name`, in order.
    pub fn groups(&self, name: &str) -> impl Iterator<Item = &Features> {
        match self.values.get(name) {
            Some(Value::Contains(groups)) => Some(groups.values()),
            _ => None,
        }
        .into_iter()
        .flatten()
    }

    /// Sets `name` to a text with operator `=`; a known name keeps its place.
    pub fn set_text(&mut self, name: &str, text: &str) {
        let value = Value::Text { operator: Operator::Eq, text: text.to_owned(), line: 0 };
        self.values.insert(name, value);
    }

    /// Sets `name` to exactly `amount` in `unit` (empty: none); a known name keeps its place.
    pub fn set_number(&mut self, name: &str, amount: impl Into<Amount>, unit: &str) {
        let unit = (!unit.is_empty()).then(|| unit.to_owned());
        let bound = Some(Box::new(Constraint { operator: Operator::Eq, amount: amount.into(), unit, line: 0 }));
        self.values.insert(name, Value::Number { lower: bound.clone(), upper: bound });
    }

    /// Sets `name` to a value as it is; a known name keeps its place.
    pub fn set(&mut self, name: &str, value: Value) {
        self.values.insert(name, value);
    }

    /// Removes `name`; the others keep their order.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let (at, value) = self.values.remove(name)?;
        if at < self.before_softs {
            self.before_softs -= 1;
        }
        Some(value)
    }

    /// Appends a soft group.
    pub fn add_soft(&mut self, group: SoftGroup) {
        if self.softs.is_empty() {
            self.before_softs = self.values.len();
        }
        self.softs.push(group);
    }

    /// Lets both lists share what is equal in them, so that it takes its room once.
    pub(crate) fn share(&mut self, with: &Self) {
        self.values.share(&with.values);
    }

    /// Keeps the features whose name is wanted, in soft groups too.
    pub fn retain(&mut self, wanted: &impl Fn(&str) -> bool) {
        let before = self.iter().take(self.before_softs).filter(|(name, _)| wanted(name)).count();
        self.values.retain(wanted);
        self.before_softs = before;
        self.softs.iter_mut().for_each(|group| group.features.retain(wanted));
    }

    /// The features that are demands: all but the soft groups.
    #[must_use]
    pub fn without_softs(&self) -> Self {
        Self { values: self.values.clone(), softs: Vec::new(), before_softs: 0 }
    }
}
