//! The JSON form, both ways.

use crate::constraints::Conflict;
use crate::error::RadlError;
use crate::features::{Constraint, Features, Operator, SoftGroup, Value};
use crate::lexer::is_name;
use crate::merge::{self, TakenIds};
use crate::model::{
    AnsibleHost, Configure, Contextualize, ContextualizeItem, Deploy, Description, NOT_WHOLE, Network, Radl, System,
};
use crate::parser::{MAX_DEPTH, number_value};
use crate::units::{self, Amount};
use crate::yaml;
use indexmap::IndexMap;
use serde_json::{Map, Value as Json, json};

/// Keys that have a meaning of their own next to the features.
pub(crate) const RESERVED: [&str; 4] = ["class", "id", "reference", "softs"];

/// What a name is.
const NAME: &str = "a name is a letter, _ or ., then letters, digits, _, . and -, and no word of the language";

/// Names of the classes of objects.
const CLASSES: [&str; 7] = ["ansible", "network", "system", "configure", "deploy", "contextualize", "description"];

impl Radl {
    /// Parses the JSON form.
    ///
    /// # Errors
    /// The text is not JSON, or not a document; messages name the object and the key.
    pub fn from_json(text: &str) -> Result<Self, RadlError> {
        let value = serde_json::from_str(text).map_err(|error| RadlError::json(&error))?;
        Self::from_json_value(&value)
    }

    /// Reads the JSON form from a value that is parsed already.
    ///
    /// # Errors
    /// The value is not a document; messages name the object and the key.
    pub fn from_json_value(value: &Json) -> Result<Self, RadlError> {
        let objects = value.as_array().ok_or_else(|| refuse("The document has to be a list of objects"))?;
        let mut radl = Self::default();
        let mut ids = TakenIds::default();
        let mut contextualize = Vec::new();
        for (at, object) in objects.iter().enumerate() {
            let Some(object) = object.as_object() else {
                return Err(refuse(format!("Object {at} of the document is not a JSON object")));
            };
            let source = Source { object, place: format!("object {at} of the document") };
            let class = source.text("class")?;
            let source = Source { object, place: format!("{class} object ({at}) of the document") };
            match class {
                "network" => {
                    let (id, reference) = (source.id(class, &mut ids)?, source.is_reference()?);
                    radl.networks.push(Network {
                        features: source.features(class, &id, reference)?,
                        id,
                        reference,
                        line: 0,
                    });
                }
                "system" => {
                    let (name, reference) = (source.id(class, &mut ids)?, source.is_reference()?);
                    radl.systems.push(System {
                        features: source.features(class, &name, reference)?,
                        name,
                        reference,
                        line: 0,
                    });
                }
                "ansible" => {
                    let id = source.id(class, &mut ids)?;
                    radl.ansible_hosts.push(AnsibleHost { features: source.features(class, &id, false)?, id, line: 0 });
                }
                "description" => {
                    if radl.description.is_some() {
                        return Err(RadlError::plain("Description can only be defined once."));
                    }
                    let (id, reference) = (source.id(class, &mut ids)?, source.is_reference()?);
                    let features = source.features(class, &id, reference)?;
                    radl.description = Some(Description { id, features, reference, line: 0 });
                }
                "configure" => radl.configures.push(source.configure(&mut ids)?),
                "contextualize" => contextualize.push(source.contextualize()?),
                "deploy" => radl.deploys.push(source.deploy()?),
                _ => {
                    // What stands there may be anything, a secret too.
                    let error = refuse(format!("Unknown class in object {at} of the document"));
                    return Err(error.because(format!("expected one of {}", CLASSES.join(", "))));
                }
            }
        }
        radl.contextualize = merge::contextualize(contextualize);
        Ok(radl)
    }

    /// The JSON form: a list of objects.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let ansible = self.ansible_hosts.iter().map(|a| feature_object("ansible", &a.id, &a.features, false));
        let networks = self.networks.iter().map(|n| feature_object("network", &n.id, &n.features, n.reference));
        let systems = self.systems.iter().map(|s| feature_object("system", &s.name, &s.features, s.reference));
        let configures = self.configures.iter().map(configure_object);
        let deploys = self.deploys.iter().map(deploy_object);
        let contextualize = self.contextualize.iter().map(contextualize_object);
        let description =
            self.description.iter().map(|d| feature_object("description", &d.id, &d.features, d.reference));
        ansible
            .chain(networks)
            .chain(systems)
            .chain(configures)
            .chain(deploys)
            .chain(contextualize)
            .chain(description)
            .collect()
    }
}

impl Features {
    /// The features as a JSON object: amounts in base units, two keys for two bounds.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let mut object = Map::new();
        write_features(&mut object, self);
        Json::Object(object)
    }

    /// The value under `name` as a property of a machine: a number in base units, a text, a list, or the groups of a
    /// contains-set keyed by their inner name.
    #[must_use]
    pub fn value_json(&self, name: &str) -> Option<Json> {
        Some(match self.get(name)? {
            Value::Number { lower, upper } => amount_json(lower.as_ref().or(upper.as_ref())?),
            Value::Contains(groups) => groups.iter().map(|(key, group)| (key.clone(), group.to_json())).collect(),
            value => plain_json(value),
        })
    }
}

/// The value of a property as bare text: a list has a line per element. None for what only JSON can say (groups, objects).
#[must_use]
pub fn bare_text(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Object(_) => None,
        Json::Array(items) => items.iter().map(bare_text).collect::<Option<Vec<_>>>().map(|lines| lines.join("\n")),
        other => Some(other.to_string()),
    }
}

fn refuse(text: impl Into<String>) -> RadlError {
    RadlError::without_line(text)
}

fn feature_object(class: &str, id: &str, features: &Features, reference: bool) -> Json {
    let mut object = Map::new();
    object.insert("class".to_owned(), class.into());
    object.insert("id".to_owned(), id.into());
    if reference {
        object.insert("reference".to_owned(), true.into());
    }
    write_features(&mut object, features);
    Json::Object(object)
}

fn configure_object(configure: &Configure) -> Json {
    if configure.reference {
        return json!({"class": "configure", "id": configure.name, "reference": true});
    }
    json!({"class": "configure", "id": configure.name, "recipes": configure.recipe})
}

pub(crate) fn deploy_object(deploy: &Deploy) -> Json {
    let mut object = Map::new();
    object.insert("class".to_owned(), "deploy".into());
    object.insert("system".to_owned(), deploy.system.as_str().into());
    object.insert("vm_number".to_owned(), deploy.number.into());
    if let Some(cloud) = &deploy.cloud {
        object.insert("cloud".to_owned(), cloud.as_str().into());
    }
    Json::Object(object)
}

fn contextualize_object(contextualize: &Contextualize) -> Json {
    let mut object = Map::new();
    object.insert("class".to_owned(), "contextualize".into());
    if contextualize.max_time != 0 {
        object.insert("max_time".to_owned(), contextualize.max_time.into());
    }
    if !contextualize.items.is_empty() {
        let item = |item: &ContextualizeItem| {
            let mut object = Map::new();
            object.insert("system".to_owned(), item.system.as_str().into());
            object.insert("configure".to_owned(), item.configure.as_str().into());
            if item.step != 0 {
                object.insert("step".to_owned(), item.step.into());
            }
            if let Some(tool) = &item.tool {
                object.insert("ctxt_tool".to_owned(), tool.as_str().into());
            }
            Json::Object(object)
        };
        object.insert("items".to_owned(), contextualize.items.iter().map(item).collect());
    }
    if !contextualize.options.is_empty() {
        let mut options = Map::new();
        for (name, value) in &contextualize.options {
            write_value(&mut options, name, value);
        }
        object.insert("options".to_owned(), Json::Object(options));
    }
    Json::Object(object)
}

fn write_features(object: &mut Map<String, Json>, features: &Features) {
    for (name, value) in features.iter() {
        write_value(object, name, value);
    }
    if !features.softs.is_empty() {
        let group = |soft: &SoftGroup| json!({"weight": bare_json(soft.weight), "items": soft.features.to_json()});
        object.insert("softs".to_owned(), features.softs.iter().map(group).collect());
    }
}

fn write_value(object: &mut Map<String, Json>, name: &str, value: &Value) {
    match value {
        Value::Number { lower: Some(lower), upper: Some(upper) } if lower.same_amount(upper) => {
            object.insert(name.to_owned(), amount_json(lower));
        }
        Value::Number { lower, upper } => {
            for (bound, suffix) in [(lower, "_min"), (upper, "_max")] {
                if let Some(bound) = bound {
                    object.insert(format!("{name}{suffix}"), amount_json(bound));
                }
            }
        }
        value => {
            object.insert(name.to_owned(), plain_json(value));
        }
    }
}

/// A value that is no number; operators are not part of the JSON form.
fn plain_json(value: &Value) -> Json {
    match value {
        Value::Number { .. } => Json::Null,
        Value::Text { text, .. } => text.as_str().into(),
        Value::Versions { lower, .. } => lower.text.as_str().into(),
        Value::List { items, .. } => items.iter().map(String::as_str).collect(),
        Value::Contains(groups) => groups.values().map(Features::to_json).collect(),
        Value::Object(object) => Json::Object(Map::clone(object)),
    }
}

fn amount_json(bound: &Constraint) -> Json {
    bare_json(units::convert(bound.amount, bound.unit.as_deref().unwrap_or(""), None))
}

fn bare_json(amount: Amount) -> Json {
    match amount {
        Amount::Integer(whole) => whole.into(),
        Amount::Float(decimal) => decimal.into(),
    }
}

/// One object of the document and how messages call it.
struct Source<'a> {
    object: &'a Map<String, Json>,
    place: String,
}

impl<'a> Source<'a> {
    fn get(&self, key: &str) -> Result<&'a Json, RadlError> {
        self.object.get(key).ok_or_else(|| refuse(format!("Missing key '{key}' in {}", self.place)))
    }

    fn wrong(&self, key: &str, expected: &str) -> RadlError {
        refuse(format!("The key '{key}' in {} has to be {expected}", self.place))
    }

    fn text(&self, key: &str) -> Result<&'a str, RadlError> {
        self.get(key)?.as_str().ok_or_else(|| self.wrong(key, "a text"))
    }

    fn name(&self, key: &str) -> Result<String, RadlError> {
        let name = self.text(key)?;
        if !is_name(name) {
            return Err(self.wrong(key, "a name").because(NAME));
        }
        Ok(name.to_owned())
    }

    /// The id, new in its class.
    fn id(&self, class: &str, ids: &mut TakenIds) -> Result<String, RadlError> {
        let id = self.name("id")?;
        let class = static_class(class);
        ids.take(class, &id).map_err(|error| error.inside(class, &id))?;
        Ok(id)
    }

    fn is_reference(&self) -> Result<bool, RadlError> {
        match self.object.get("reference") {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| self.wrong("reference", "true or false")),
        }
    }

    fn features(&self, class: &str, id: &str, reference: bool) -> Result<Features, RadlError> {
        if reference {
            return Ok(Features::new());
        }
        read_features(self.object, 0).map_err(|error| error.inside(static_class(class), id))
    }

    fn configure(&self, ids: &mut TakenIds) -> Result<Configure, RadlError> {
        let (name, reference) = (self.id("configure", ids)?, self.is_reference()?);
        let mut recipe = None;
        if !reference {
            match self.get("recipes")? {
                Json::Null => {}
                Json::String(text) => recipe = Some(text.clone()),
                _ => return Err(self.wrong("recipes", "a text or null")),
            }
        }
        if let Some(recipe) = &recipe {
            yaml::check(recipe).map_err(|reason| refuse(format!("Error parsing YAML: {reason}")))?;
        }
        Ok(Configure { name, recipe, reference, line: 0 })
    }

    /// A number that `check` wants whole and not negative; absent is 0.
    fn whole(&self, key: &str) -> i64 {
        self.object.get(key).map_or(0, |value| value.as_i64().unwrap_or(NOT_WHOLE))
    }

    fn deploy(&self) -> Result<Deploy, RadlError> {
        let system = self.name("system")?;
        self.get("vm_number")?;
        let cloud = match self.object.get("cloud") {
            None | Some(Json::Null) => None,
            Some(_) => Some(self.name("cloud")?),
        };
        Ok(Deploy { system, number: self.whole("vm_number"), cloud, line: 0 })
    }

    fn contextualize(&self) -> Result<Contextualize, RadlError> {
        let mut contextualize = Contextualize { max_time: self.whole("max_time"), ..Contextualize::default() };
        if let Some(options) = self.object.get("options") {
            let options = options.as_object().ok_or_else(|| self.wrong("options", "an object"))?;
            let options = read_features(options, 0)?;
            contextualize.options = options.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect();
        }
        if let Some(items) = self.object.get("items") {
            let items = items.as_array().ok_or_else(|| self.wrong("items", "a list"))?;
            let item = |(at, item): (usize, &Json)| {
                let place = format!("item {at} of the {}", self.place);
                let object = item.as_object().ok_or_else(|| refuse(format!("The {place} is not a JSON object")))?;
                let source = Source { object, place };
                Ok(ContextualizeItem {
                    system: source.name("system")?,
                    configure: source.name("configure")?,
                    step: source.whole("step"),
                    tool: match object.get("ctxt_tool").map(Json::as_str) {
                        None => None,
                        // A word of the language that may stand here.
                        Some(Some("ansible")) => Some("ansible".to_owned()),
                        Some(_) => Some(source.name("ctxt_tool")?),
                    },
                    replaced_step: None,
                    line: 0,
                })
            };
            let items: Vec<_> = items.iter().enumerate().map(item).collect::<Result<_, RadlError>>()?;
            contextualize.add_items(items);
        }
        Ok(contextualize)
    }
}

/// The class as a word of ours; descriptions are unique anyway.
fn static_class(class: &str) -> &'static str {
    CLASSES.into_iter().find(|known| *known == class).unwrap_or("description")
}

fn read_features(object: &Map<String, Json>, depth: usize) -> Result<Features, RadlError> {
    if depth > MAX_DEPTH {
        return Err(refuse(format!("Objects nest deeper than {MAX_DEPTH}")));
    }
    let mut features = Features::new();
    for (at, (key, value)) in (1..).zip(object) {
        match key.as_str() {
            "class" | "id" | "reference" => {}
            "softs" => read_softs(&mut features, value, depth)?,
            key if !is_name(key) => {
                return Err(refuse(format!("Key {at} of an object cannot be the name of a feature")).because(NAME));
            }
            key => read_value(&mut features, key, value, depth)?,
        }
    }
    Ok(features)
}

fn read_softs(features: &mut Features, value: &Json, depth: usize) -> Result<(), RadlError> {
    let wrong =
        || refuse("The key 'softs' has to be a list of objects with 'weight' (a number) and 'items' (an object)");
    for group in value.as_array().ok_or_else(wrong)? {
        let group = group.as_object().ok_or_else(wrong)?;
        let weight = match group.get("weight") {
            None => Amount::Integer(0),
            Some(Json::Number(number)) => read_amount("weight", number)?,
            Some(_) => return Err(wrong()),
        };
        let items = match group.get("items") {
            None => Features::new(),
            Some(Json::Object(items)) => read_features(items, depth + 1)?,
            Some(_) => return Err(wrong()),
        };
        features.add_soft(SoftGroup { weight, features: items });
    }
    Ok(())
}

fn read_value(features: &mut Features, key: &str, value: &Json, depth: usize) -> Result<(), RadlError> {
    let (name, value) = match value {
        Json::Null | Json::Bool(_) => {
            return Err(refuse(format!("The feature '{key}' cannot be {value}; write a text or a number")));
        }
        Json::Number(number) => {
            let (name, operator) = if let Some(name) = key.strip_suffix("_min").filter(|name| is_name(name)) {
                (name, Operator::Ge)
            } else if let Some(name) = key.strip_suffix("_max").filter(|name| is_name(name)) {
                (name, Operator::Le)
            } else {
                (key, Operator::Eq)
            };
            (name, number_value(operator, read_amount(key, number)?, None, 0))
        }
        Json::String(text) => (key, Value::Text { operator: Operator::Eq, text: text.clone(), line: 0 }),
        Json::Array(elements) if is_list_feature(key) => {
            let item = |element: &Json| element.as_str().map(str::to_owned);
            let items: Option<Vec<String>> = elements.iter().map(item).collect();
            let items = items.ok_or_else(|| refuse(format!("The feature '{key}' has to be a list of texts")))?;
            (key, Value::List { items, line: 0 })
        }
        Json::Array(elements) => {
            for element in elements {
                let wrong = || refuse(format!("The feature '{key}' has to be a list of objects"));
                let group = read_features(element.as_object().ok_or_else(wrong)?, depth + 1)?;
                let name = group.text("name").unwrap_or_default().to_owned();
                features.add(key, Value::Contains(Box::new(IndexMap::from([(name, group)]))), Conflict::Error)?;
            }
            return Ok(());
        }
        Json::Object(object) if object.contains_key("class") => {
            let mut embedded: Map<_, _> =
                ["class", "id"].iter().filter_map(|key| object.get_key_value(*key)).map(owned).collect();
            embedded.insert("reference".to_owned(), true.into());
            (key, Value::Object(Box::new(embedded)))
        }
        Json::Object(object) => (key, Value::Object(Box::new(object.clone()))),
    };
    features.add(name, value, Conflict::Error)
}

fn owned((key, value): (&String, &Json)) -> (String, Json) {
    (key.clone(), value.clone())
}

fn is_list_feature(key: &str) -> bool {
    key.starts_with("disk") && key.ends_with("image.url")
        || key.starts_with("net_interface") && key.ends_with("additional_dns_names")
}

fn read_amount(key: &str, number: &serde_json::Number) -> Result<Amount, RadlError> {
    let whole = number.as_i64().map(Amount::Integer);
    // Numbers beyond 64 bits are no decimals and would lose digits.
    let decimal = || number.as_f64().filter(|decimal| number.is_f64() && decimal.is_finite()).map(Amount::Float);
    whole.or_else(decimal).ok_or_else(|| refuse(format!("The number in the feature '{key}' is too large")))
}
