//! The external address of the service, as the client of a request sees it (docs/spec/api.md 2.6): pure.

use warp::http::{HeaderMap, header::HOST};

/// Longer names are nobody's (RFC 1035, 2.3.4); they would stand in every URI of an answer.
const LONGEST_NAME: usize = 255 + ":65535".len();

/// What is known of the address of a server without asking its clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalUrl {
    /// PUBLIC_URL: the address that clients use, whatever their requests say.
    pub public: Option<String>,
    /// Whether connections are encrypted here.
    pub https: bool,
    /// Host and port that the server listens on.
    pub local: String,
}

impl ExternalUrl {
    /// The address that URIs of an answer start with, `/` at its end: the public one if there is one, else what the request
    /// says of itself, one proxy trusted.
    #[must_use]
    pub fn base(&self, headers: &HeaderMap) -> String {
        if let Some(public) = &self.public {
            return format!("{}/", public.trim_end_matches('/'));
        }
        let own = if self.https { "https" } else { "http" };
        let scheme = match last(headers, "x-forwarded-proto") {
            Some(scheme) if scheme.eq_ignore_ascii_case("https") => "https",
            Some(scheme) if scheme.eq_ignore_ascii_case("http") => "http",
            _ => own,
        };
        let requested = headers.get(HOST).and_then(|host| host.to_str().ok());
        let host = [last(headers, "x-forwarded-host"), requested].into_iter().flatten().find(|host| is_host(host));
        let (mut name, mut port) = split(host.unwrap_or(&self.local));
        if let Some(forwarded) = last(headers, "x-forwarded-port").filter(|port| is_port(port)) {
            port = Some(forwarded);
        }
        if port == Some(if scheme == "https" { "443" } else { "80" }) {
            port = None;
        }
        if name.is_empty() {
            name = split(&self.local).0;
        }
        let prefix = last(headers, "x-forwarded-prefix").map_or("", |prefix| prefix.trim_matches('/'));
        let mut url = format!("{scheme}://{name}");
        if let Some(port) = port {
            url.push(':');
            url.push_str(port);
        }
        url.push('/');
        if (1..=LONGEST_NAME).contains(&prefix.len()) && prefix.bytes().all(|byte| byte.is_ascii_graphic()) {
            url.push_str(prefix);
            url.push('/');
        }
        url
    }
}

/// The last comma element of a header: what the nearest proxy said.
fn last<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    value.rsplit(',').next().map(str::trim).filter(|value| !value.is_empty())
}

fn is_host(host: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    let fits = (1..=LONGEST_NAME).contains(&host.len());
    fits && host.bytes().all(allowed) && split(host).1.is_none_or(is_port)
}

fn is_port(port: &str) -> bool {
    port.parse::<u16>().is_ok()
}

/// Name and port; an IPv6 address stays in its brackets.
fn split(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (host, None),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use warp::http::{HeaderName, HeaderValue};

    fn external(public: Option<&str>, https: bool, local: &str) -> ExternalUrl {
        ExternalUrl { public: public.map(str::to_owned), https, local: local.to_owned() }
    }

    fn base(headers: &[(&str, &str)]) -> String {
        let mut map = HeaderMap::new();
        map.insert(HOST, HeaderValue::from_static("127.0.0.1:28800"));
        for (name, value) in headers {
            map.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        external(None, false, "10.0.0.9:8800").base(&map)
    }

    #[test]
    fn the_table_of_the_contract() {
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[], "http://127.0.0.1:28800/"),
            (&[("host", "foo.bar:99")], "http://foo.bar:99/"),
            (&[("x-forwarded-proto", "https")], "https://127.0.0.1:28800/"),
            (&[("x-forwarded-host", "im.example.org")], "http://im.example.org/"),
            (&[("x-forwarded-host", "im.example.org"), ("x-forwarded-port", "8443")], "http://im.example.org:8443/"),
            (&[("x-forwarded-proto", "https"), ("x-forwarded-host", "im.example.org:443")], "https://im.example.org/"),
            (
                &[("x-forwarded-proto", "https"), ("x-forwarded-host", "im.example.org"), ("x-forwarded-port", "443")],
                "https://im.example.org/",
            ),
            (&[("x-forwarded-prefix", "/im")], "http://127.0.0.1:28800/im/"),
            (&[("x-forwarded-prefix", "/im/")], "http://127.0.0.1:28800/im/"),
            (&[("x-forwarded-host", "a.org,b.org")], "http://b.org/"),
            (&[("host", "[::1]:8800")], "http://[::1]:8800/"),
            (&[("host", "[::1]")], "http://[::1]/"),
            (&[("host", "im.org:80")], "http://im.org/"),
        ];
        for (headers, expected) in cases {
            assert_eq!(base(headers), *expected, "{headers:?}");
        }
    }

    #[test]
    fn nonsense_is_not_repeated() {
        assert_eq!(base(&[("host", "a<b>")]), "http://10.0.0.9:8800/");
        assert_eq!(base(&[("x-forwarded-host", "evil\"host")]), "http://127.0.0.1:28800/");
        assert_eq!(base(&[("x-forwarded-proto", "javascript")]), "http://127.0.0.1:28800/");
        assert_eq!(base(&[("x-forwarded-port", "99999")]), "http://127.0.0.1:28800/");
        assert_eq!(external(Some("https://im.org/x/"), false, "l:1").base(&HeaderMap::new()), "https://im.org/x/");
        assert_eq!(external(None, true, "l:443").base(&HeaderMap::new()), "https://l/");
    }
}
