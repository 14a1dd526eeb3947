//! Requests that are wrong around the document: bodies, sizes, encodings, types, parameters.

use crate::{
    bystander::{Bystander, Sent},
    support::{Answer, USER, document},
};
use imd::api::rest::RestSettings;
use reqwest::{Method, header};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn bodies_that_are_no_text_or_too_large_are_refused() {
    let settings = RestSettings { max_body: 4096, body_timeout: Duration::from_millis(300), ..RestSettings::default() };
    let bystander = Bystander::configured(settings, "").await;
    let paths = ["/infrastructures".to_owned(), bystander.path.clone(), format!("{}/reconfigure", bystander.path)];
    for (path, method) in paths.iter().zip([Method::POST, Method::POST, Method::PUT]) {
        let sent = |body: Vec<u8>| Sent::document(method.clone(), path, body);
        let mut broken = document(1).into_bytes();
        broken.push(0xff);
        let place = format!("not UTF-8 (byte {})", broken.len() - 1);
        bystander.refuses(sent(broken), 400, &[&place]).await;
        bystander.refuses(sent(vec![b' '; 4097]), 413, &["larger than 4096 bytes"]).await;
        let typed = |kind| Sent { content_type: Some(kind), ..sent(document(1).into_bytes()) };
        for kind in ["application/xml", "application/x-www-form-urlencoded", "nonsense"] {
            bystander.refuses(typed(kind), 415, &["Unsupported Media Type", kind]).await;
        }
        bystander.refuses(typed("text/yaml"), 400, &["Error parsing TOSCA template", "must be of type \"map\""]).await;
    }

    // The character set is that which is declared, and the limit that of the text.
    let typed = |kind: &'static str, body: Vec<u8>| {
        let sent = Sent::document(Method::POST, "/infrastructures", body);
        Sent { content_type: Some(kind), ..sent }
    };
    let kind = "text/plain; charset=x-unknown";
    bystander
        .refuses(typed(kind, b"a".to_vec()), 415, &["The character set 'x-unknown' is not known, send UTF-8."])
        .await;
    let odd = b"#\0 \0\0\xd8#\0".to_vec();
    bystander.refuses(typed("text/plain; charset=utf-16", odd), 400, &["not UTF-16LE (byte 4)"]).await;
    let grows = [vec![b'#'], vec![0xf1; 4000]].concat();
    bystander.refuses(typed("text/plain; charset=latin1", grows), 413, &["larger than 4096 bytes in UTF-8"]).await;

    // The same without the length said before, and with a length that is a lie.
    let chunks = futures::stream::iter((0..8).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1024])));
    let body = reqwest::Body::wrap_stream(chunks);
    let answer = Answer::of(bystander.server.request(Method::POST, "/infrastructures").body(body)).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (413, "The request body is larger than 4096 bytes."));
    let mut stream = tokio::net::TcpStream::connect(&bystander.server.address).await.unwrap();
    let head =
        format!("POST /infrastructures HTTP/1.1\r\nHost: x\r\nAuthorization: {USER}\r\nContent-Length: 100\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("did not arrive within"), "{answer}");
    bystander.is_untouched().await;
    bystander.still_works().await;
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let bystander = Bystander::start().await;
    let path = bystander.path.clone();
    let cases = [
        (Method::POST, "/infrastructures?async=si".to_owned(), 400, "Incorrect value in async parameter"),
        (Method::POST, "/infrastructures?dry_run=2".to_owned(), 400, "Incorrect value in dry_run parameter"),
        (Method::POST, format!("{path}?context="), 400, "Incorrect value in context parameter"),
        (Method::DELETE, format!("{path}?force=please"), 400, "Incorrect value in force parameter"),
        (Method::DELETE, format!("{path}?async=1x"), 400, "Incorrect value in async parameter"),
        (Method::DELETE, format!("{path}/vms/0?context=x"), 400, "Incorrect value in context parameter"),
        (Method::DELETE, format!("{path}/vms/0,9"), 404, "Invalid VM ID"),
        (Method::DELETE, format!("{path}/vms/all"), 404, "Invalid VM ID"),
        (Method::PUT, format!("{path}/reconfigure?vm_list=0,one"), 400, "Incorrect vm_list format."),
        (Method::PUT, format!("{path}/vms/0/disks/x/snapshot?image_name=i"), 400, "Incorrect disk number: x"),
        (Method::PUT, format!("{path}/vms/0/disks/0/snapshot"), 400, "Parameter image_name required."),
        (Method::PUT, format!("{path}/vms/-1/stop"), 404, "Invalid VM ID"),
        (Method::GET, format!("{path}/contmsg?headeronly=x"), 400, "Incorrect value in headeronly parameter"),
        (Method::GET, format!("{path}/events?after=-1"), 400, "Incorrect value in after parameter"),
        (Method::GET, "/infrastructures?filter=(".to_owned(), 400, "Invalid filter: "),
        (Method::GET, "/infrastructures/nothing".to_owned(), 404, "Invalid infrastructure ID"),
        (Method::DELETE, "/infrastructures/nothing?force=yes".to_owned(), 404, "Invalid infrastructure ID"),
        (Method::GET, "/nothing".to_owned(), 404, "not found"),
        (Method::PUT, "/version".to_owned(), 405, "not allowed"),
    ];
    for (method, path, status, message) in cases {
        bystander.refuses(Sent::document(method, &path, document(1)), status, &[message]).await;
    }
    let kind = bystander.server.request(Method::GET, &path).header(header::ACCEPT, "image/png");
    assert_eq!(Answer::of(kind).await.status, 415);
    bystander.still_works().await;
}
