//! Lists in pages, over the wire.

use super::*;
use crate::support::{Server, json};
use connectors::{
    ErrorClass,
    http::{Method, Page, Url, all_pages, paging::MOST_PAGES},
};

/// A list that goes on at the link of each reply.
async fn linked(client: &Client) -> Result<Vec<u32>, connectors::ConnectorError> {
    all_pages(async |next: Option<Url>| {
        let url = next.unwrap_or_else(|| client.url(["numbers"]));
        let reply = client.send(client.request_url(Method::GET, url.clone())).await?;
        Ok(Page { items: reply.json()?, next: reply.next_link(&url) })
    })
    .await
}

/// Serves the numbers below `count`, two at a time; each page but the last links to the next.
async fn numbers(count: u32) -> Server {
    Server::answering(move |request| {
        let first: u32 = request.uri().query().map_or(0, |query| query.trim_start_matches("from=").parse().unwrap());
        let end = (first + 2).min(count);
        let mut reply = json(200, (first..end).collect::<Vec<_>>());
        if end < count {
            // By a name that only the cloud itself knows.
            let link = format!("<http://inside.invalid/api/numbers?from={end}>; rel=\"next\"");
            reply.headers_mut().insert("link", link.parse().unwrap());
        }
        reply
    })
    .await
}

#[tokio::test]
async fn links_are_followed_to_the_end() {
    let server = numbers(5).await;
    let client = client(&account("", server.address, &[]));
    assert_eq!(linked(&client).await.unwrap(), [0, 1, 2, 3, 4]);
    assert_eq!(server.asked(), ["GET /api/numbers", "GET /api/numbers?from=2", "GET /api/numbers?from=4"]);
}

#[tokio::test]
async fn a_list_without_an_end_is_given_up() {
    let server = numbers(u32::MAX).await;
    let client = client(&account("", server.address, &[]));
    assert_eq!(linked(&client).await.unwrap_err().class, ErrorClass::Transient);
    assert_eq!(server.asked().len(), MOST_PAGES);
}
