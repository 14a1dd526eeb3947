//! Lists that come in pages: one walk over them, with a bound, whatever leads from one page to the next.

use super::{Reply, Url, header::LINK};
use crate::{ConnectorError, ErrorClass};

/// Pages that a list may have.
pub const MOST_PAGES: usize = 1000;

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, C> {
    /// What is on it.
    pub items: Vec<T>,
    /// What leads to the next page (a link, a marker, a token of the cloud's, a number); none on the last one.
    pub next: Option<C>,
}

/// Everything on all pages, in order. `read` asks for one page: the first one with none, then with what the page before
/// said of the next one.
///
/// # Errors
/// What `read` reports, and `Transient` where the list does not end: a page leads to itself, or there are more than
/// [`MOST_PAGES`].
pub async fn all_pages<T, C, F>(mut read: impl FnMut(Option<C>) -> F) -> Result<Vec<T>, ConnectorError>
where
    C: Clone + PartialEq,
    F: Future<Output = Result<Page<T, C>, ConnectorError>>,
{
    let endless = || Err(ConnectorError::new(ErrorClass::Transient, "The cloud answers with a list that does not end"));
    let mut items = Vec::new();
    let mut cursor: Option<C> = None;
    for _ in 0..MOST_PAGES {
        let page = read(cursor.clone()).await?;
        items.extend(page.items);
        match page.next {
            None => return Ok(items),
            next if next == cursor => return endless(),
            next => cursor = next,
        }
    }
    endless()
}

/// The marker of APIs that give `limit` items after the one whose id is the marker: the id of the last item, unless the
/// page is not full.
pub fn marker<T>(items: &[T], limit: usize, id: impl Fn(&T) -> String) -> Option<String> {
    items.last().filter(|_| items.len() >= limit).map(id)
}

impl Reply {
    /// The target of the link to the next page (`Link: <URL>; rel="next"`, RFC 8288), read against `base`. Its path and
    /// query count, its host does not: the client's credentials are for the server they came with, and behind a proxy
    /// clouds know themselves by other names.
    #[must_use]
    pub fn next_link(&self, base: &Url) -> Option<Url> {
        let values = self.headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(links).find(|(_, relation)| relation.eq_ignore_ascii_case("next")).and_then(|(target, _)| {
            let linked = base.join(target).ok()?;
            let mut url = base.clone();
            url.set_path(linked.path());
            url.set_query(linked.query());
            Some(url)
        })
    }
}

/// Targets and relations of the links in a header.
fn links(header: &str) -> impl Iterator<Item = (&str, &str)> {
    // Targets have no angle brackets, so each link begins at one.
    header.split('<').skip(1).filter_map(|link| {
        let (target, parameters) = link.split_once('>')?;
        let relation = parameters.split(';').find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            let value = value.trim().trim_end_matches(',').trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel").then_some(value)
        })?;
        Some((target, relation))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use reqwest::{StatusCode, header::HeaderMap};

    /// The numbers below `count`, `limit` at a time, after a marker.
    async fn numbers(count: usize, limit: usize, after: Option<String>) -> Result<Page<usize, String>, ConnectorError> {
        let first = after.map_or(0, |marker| marker.parse::<usize>().unwrap() + 1);
        let items: Vec<_> = (first..count).take(limit).collect();
        Ok(Page { next: marker(&items, limit, usize::to_string), items })
    }

    #[tokio::test]
    async fn all_pages_are_read_once() {
        for (count, limit) in [(0, 3), (2, 3), (3, 3), (7, 3), (1500, 2)] {
            let all = all_pages(|after| numbers(count, limit, after)).await.unwrap();
            assert_eq!(all, (0..count).collect::<Vec<_>>(), "{count} by {limit}");
        }
    }

    #[tokio::test]
    async fn lists_that_do_not_end_are_given_up() {
        let asked = std::cell::Cell::new(0);
        let count = || asked.set(asked.get() + 1);
        let growing = all_pages(|number: Option<u32>| {
            count();
            async move { Ok(Page { items: vec![()], next: Some(number.unwrap_or(0) + 1) }) }
        });
        assert_eq!(growing.await.unwrap_err().class, ErrorClass::Transient);
        assert_eq!(asked.replace(0), MOST_PAGES);
        let standing = all_pages(|_: Option<&str>| {
            count();
            async { Ok(Page { items: vec![()], next: Some("same") }) }
        });
        assert_eq!(standing.await.unwrap_err().class, ErrorClass::Transient);
        assert_eq!(asked.get(), 2, "a page that leads to itself");
    }

    #[test]
    fn links_lead_to_the_next_page_on_the_same_server() {
        let base = Url::parse("https://cloud:5000/v2/servers?limit=2").unwrap();
        let next = |links: &[&str]| {
            let mut headers = HeaderMap::new();
            for link in links {
                headers.append(LINK, link.parse().unwrap());
            }
            Reply { status: StatusCode::OK, headers, body: Default::default() }.next_link(&base).map(String::from)
        };
        let expected = Some("https://cloud:5000/v2/servers?marker=b,c".to_owned());
        assert_eq!(next(&[r#"<https://cloud:5000/v2/servers?marker=b,c>; rel="next""#]), expected);
        assert_eq!(next(&[r#"</a>; rel="prev", <?marker=b,c>; title="x"; rel=next"#]), expected);
        assert_eq!(next(&[r#"</a>; rel=first"#, r#"<http://inside/v2/servers?marker=b,c>; rel="next""#]), expected);
        assert_eq!(next(&[r#"</a>; rel="prev""#, "nonsense", "<"]), None);
        assert_eq!(next(&[]), None);
    }
}
