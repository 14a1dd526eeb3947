//! From a path to a route: the rows of a site's table, checked when they become a router.

use crate::charset::utf8_or_latin1;
use indexmap::IndexMap;
use matchit::InsertError;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use warp::http::{HeaderValue, Method};

/// A row of a table of routes: which requests it is about.
pub trait Row {
    /// The method. HEAD is served as GET and OPTIONS from the whole table, so no row has one of them.
    fn method(&self) -> &Method;
    /// The path below the prefix of the site: `/` and segments, `{name}` for any one segment, `{*name}` for all that follow.
    fn template(&self) -> &'static str;
}

/// A contradiction in a table of routes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// Two rows are about the same requests.
    #[error("two routes answer {0} {1}: remove one of them")]
    Twice(Method, &'static str),
    /// Two templates fit the same paths.
    #[error("the routes {0} and {1} fit the same paths: give both the same template")]
    Ambiguous(&'static str, String),
    /// A template that is none.
    #[error("the route {0} is no template: {1}")]
    Malformed(&'static str, InsertError),
    /// A parameter whose value another one of the same name would hide.
    #[error("the route {0} has two parameters {1}: rename one of them")]
    SameParameter(&'static str, &'static str),
    /// A row that no request leads to.
    #[error(
        "no request reaches {0} {1}: a path begins with / and has no empty segment, HEAD is GET, OPTIONS has no route"
    )]
    Unreachable(Method, &'static str),
}

/// The rows with one template.
#[derive(Debug)]
pub struct Resource<R> {
    /// The template.
    pub template: &'static str,
    rows: Vec<R>,
    allow: HeaderValue,
}

impl<R: Row> Resource<R> {
    /// The row of a method.
    pub fn row(&self, method: &Method) -> Option<&R> {
        self.rows.iter().find(|row| row.method() == method)
    }

    /// The value of an `Allow` header (RFC 9110, 10.2.1).
    pub fn allow(&self) -> &HeaderValue {
        &self.allow
    }
}

/// The decoded values in a path, with the names that the template gives them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathParameters(Vec<(&'static str, String)>);

impl PathParameters {
    /// The value of a parameter; empty where the template has none of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(own, _)| *own == name).map_or("", |(_, value)| value)
    }
}

/// The names of the parameters of a template, in order.
pub fn parameter_names(template: &'static str) -> impl Iterator<Item = &'static str> {
    let names = template.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0));
    names.map(|name| name.trim_start_matches('*'))
}

/// A table of routes without contradictions.
#[derive(Debug)]
pub struct Router<R> {
    resources: Vec<Resource<R>>,
    /// From templates to places in `resources`.
    tree: matchit::Router<usize>,
}

impl<R: Row> Router<R> {
    /// Makes the router of these rows. Where several templates fit a path, literal segments win over parameters.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn new(rows: impl IntoIterator<Item = R>) -> Result<Self, RouteError> {
        let mut by_template = IndexMap::<&'static str, Vec<R>>::new();
        for row in rows {
            let (method, template) = (row.method(), row.template());
            if matches!(*method, Method::HEAD | Method::OPTIONS) {
                return Err(RouteError::Unreachable(method.clone(), template));
            }
            let rows = by_template.entry(template).or_default();
            if rows.iter().any(|other| other.method() == method) {
                return Err(RouteError::Twice(method.clone(), template));
            }
            rows.push(row);
        }
        let mut tree = matchit::Router::new();
        for (place, &template) in by_template.keys().enumerate() {
            distinct_parameters(template)?;
            tree.insert(template, place).map_err(|error| match error {
                InsertError::Conflict { with } => RouteError::Ambiguous(template, with),
                malformed => RouteError::Malformed(template, malformed),
            })?;
        }
        let resource = |(template, rows): (_, Vec<R>)| Resource { template, allow: allowed(&rows), rows };
        let router = Self { resources: by_template.into_iter().map(resource).collect(), tree };
        for (place, resource) in router.resources.iter().enumerate() {
            // A template fits itself, and no literal segment looks like one of its parameters.
            let found = router.find(&normalized(resource.template)).map(|(found, _)| found);
            let is_reached = resource.template.starts_with('/') && found == Some(place);
            if let Some(row) = resource.rows.first().filter(|_| !is_reached) {
                return Err(RouteError::Unreachable(row.method().clone(), resource.template));
            }
        }
        Ok(router)
    }

    /// The resources, in the order of the table.
    pub fn resources(&self) -> &[Resource<R>] {
        &self.resources
    }

    /// The place in [`Router::resources`] of what a [normalized] path leads to, and the parameters in the path.
    pub fn find(&self, path: &str) -> Option<(usize, PathParameters)> {
        let found = self.tree.at(path).ok()?;
        let place = *found.value;
        let decoded =
            |(_, value): (_, &str)| if value.contains('%') { percent_decoded(value) } else { value.to_owned() };
        let names = parameter_names(self.resources[place].template);
        Some((place, PathParameters(names.zip(found.params.iter().map(decoded)).collect())))
    }
}

fn distinct_parameters(template: &'static str) -> Result<(), RouteError> {
    let names: Vec<&str> = parameter_names(template).collect();
    match names.iter().enumerate().find(|(index, name)| names[..*index].contains(name)) {
        Some((_, twice)) => Err(RouteError::SameParameter(template, twice)),
        None => Ok(()),
    }
}

/// The methods of these rows, with those that every resource has: HEAD beside GET, and OPTIONS.
fn allowed<R: Row>(rows: &[R]) -> HeaderValue {
    let mut names: Vec<&str> = rows.iter().map(|row| row.method().as_str()).collect();
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    names.push("OPTIONS");
    names.sort_unstable();
    // Methods are tokens, which headers may hold.
    HeaderValue::from_str(&names.join(", ")).unwrap_or(HeaderValue::from_static("OPTIONS"))
}

/// A path as routers read it: without empty segments inside (machines booted by older daemons call paths with a double
/// slash), and with nothing percent-encoded but `/` and `%` themselves. A slash at the end stays.
pub fn normalized(path: &str) -> Cow<'_, str> {
    if !path.contains("//") && !path.contains('%') {
        return path.into();
    }
    let Some((inside, end)) = path.rsplit_once('/').filter(|_| path.starts_with('/')) else { return path.into() };
    let mut normal = String::with_capacity(path.len());
    for segment in inside.split('/').filter(|segment| !segment.is_empty()).chain([end]) {
        normal.push('/');
        normal.push_str(&percent_decoded(segment).replace('%', "%25").replace('/', "%2F"));
    }
    normal.into()
}

/// A part of an address as it was before it was percent-encoded.
pub fn percent_decoded(part: &str) -> String {
    let bytes: Vec<u8> = percent_decode_str(part).collect();
    utf8_or_latin1(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug)]
    struct Line(Method, &'static str);

    impl Row for Line {
        fn method(&self) -> &Method {
            &self.0
        }

        fn template(&self) -> &'static str {
            self.1
        }
    }

    fn router() -> Router<Line> {
        let rows = [
            (Method::GET, "/"),
            (Method::GET, "/things"),
            (Method::POST, "/things"),
            (Method::GET, "/things/{id}"),
            (Method::PUT, "/things/{id}/start"),
            (Method::GET, "/things/{id}/{name}"),
            (Method::GET, "/things/{id}/parts/{part}/of/{a}/very/{long}/path/{indeed}"),
            (Method::GET, "/groups/{*group}"),
        ];
        Router::new(rows.map(|(method, template)| Line(method, template))).unwrap()
    }

    fn found(path: &str) -> Option<(&'static str, Vec<String>)> {
        let router = router();
        let (place, parameters) = router.find(&normalized(path))?;
        Some((router.resources()[place].template, parameters.0.into_iter().map(|(_, value)| value).collect()))
    }

    #[test]
    fn paths_lead_to_templates() {
        let long = "/things/{id}/parts/{part}/of/{a}/very/{long}/path/{indeed}";
        type Expected = Option<(&'static str, &'static [&'static str])>;
        let cases: &[(&str, Expected)] = &[
            ("/", Some(("/", &[]))),
            ("//", Some(("/", &[]))),
            ("/%74hings", Some(("/things", &[]))),
            ("/things/", None),
            ("//things//1", Some(("/things/{id}", &["1"]))),
            ("/things/%201%20", Some(("/things/{id}", &[" 1 "]))),
            ("/things/1/start", Some(("/things/{id}/start", &["1"]))),
            ("/things/1/parts", Some(("/things/{id}/{name}", &["1", "parts"]))),
            ("/things/1/a%2fb%25", Some(("/things/{id}/{name}", &["1", "a/b%"]))),
            ("/things/1/a%252f", Some(("/things/{id}/{name}", &["1", "a%2f"]))),
            ("/things/1/se%F1al", Some(("/things/{id}/{name}", &["1", "señal"]))),
            ("/things/1/parts/2/of/3/very/4/path/5", Some((long, &["1", "2", "3", "4", "5"]))),
            ("/groups/lab/users", Some(("/groups/{*group}", &["lab/users"]))),
            ("/groups/lab%2Fusers", Some(("/groups/{*group}", &["lab/users"]))),
            ("/groups/", None),
            ("*", None),
            ("", None),
        ];
        for (path, expected) in cases {
            let expected =
                expected.map(|(template, values)| (template, values.iter().map(|value| (*value).to_owned()).collect()));
            assert_eq!(found(path), expected, "{path}");
        }
        let router = router();
        let (place, parameters) = router.find("/things/7/state").unwrap();
        assert_eq!((parameters.get("id"), parameters.get("name"), parameters.get("part")), ("7", "state", ""));
        assert!(router.resources()[place].row(&Method::GET).is_some());
        assert_eq!(router.resources()[1].allow(), "GET, HEAD, OPTIONS, POST");
    }

    #[test]
    fn contradictions_are_told() {
        let told = |rows: &[(Method, &'static str)]| {
            let rows = rows.iter().map(|(method, template)| Line(method.clone(), template));
            Router::new(rows).unwrap_err().to_string()
        };
        let (get, put) = (Method::GET, Method::PUT);
        assert_eq!(told(&[(get.clone(), "/a"), (get.clone(), "/a")]), "two routes answer GET /a: remove one of them");
        assert!(told(&[(get.clone(), "/a/{x}"), (put, "/a/{y}")]).starts_with("the routes /a/{y} and /a/{x} fit"));
        assert!(told(&[(get.clone(), "/a/{x}"), (get.clone(), "/a/{*y}")]).contains("fit the same paths"));
        assert!(told(&[(get.clone(), "/a/{x}/{x}")]).contains("two parameters x"));
        assert!(told(&[(get.clone(), "/a/{x")]).contains("is no template"));
        for template in ["a", "/a//b", "/%61", ""] {
            assert!(told(&[(get.clone(), template)]).starts_with("no request reaches GET "), "{template}");
        }
        assert!(told(&[(Method::HEAD, "/a")]).starts_with("no request reaches HEAD /a"));
    }

    proptest! {
        #[test]
        fn any_path_is_matched_or_refused(path in "[/%a-z0-9.é]{0,40}", free in any::<String>()) {
            let router = router();
            for path in [&path, &free] {
                if let Some((place, parameters)) = router.find(&normalized(path)) {
                    let wanted = parameter_names(router.resources()[place].template).count();
                    prop_assert_eq!(parameters.0.iter().filter(|(_, value)| !value.is_empty()).count(), wanted);
                }
            }
        }
    }
}
