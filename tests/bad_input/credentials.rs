//! Credentials that are missing, cannot be read, or are not enough for what is asked.

use crate::{
    bystander::{Bystander, Sent},
    support::{STRANGER, document},
};
use reqwest::Method;

/// The header, and what the message must say.
const HEADERS: &[(&str, &str)] = &[
    ("", "No credentials provided for the InfrastructureManager."),
    ("nonsense", "No credentials provided for the InfrastructureManager."),
    ("id = dummy; type = Dummy", "No credentials provided for the InfrastructureManager."),
    ("type = InfrastructureManager", "No username nor token for the InfrastructureManager."),
    ("type = InfrastructureManager; username = user; password = pa;ss", "item 0: a part has no '='"),
    ("type = InfrastructureManager; username = 'user", "item 0: a quote is not closed"),
    ("type = InfrastructureManager; username = user\\nid = d; = Dummy", "item 1: a key is missing before '='"),
    ("[{\"type\": \"InfrastructureManager\", }]", "the JSON cannot be read at line 1, column 36"),
    ("[{\"type\": \"InfrastructureManager\"}, 7]", "element 1 of the JSON is not an object"),
    ("[{\"type\": [\"InfrastructureManager\"]}]", "a value of element 0 of the JSON is not text"),
    ("Basic !!!", "Basic needs the base64 form of username:password"),
    ("Bearer", "No credentials provided for the InfrastructureManager."),
    ("Bearer e30.e30.e30", "Issuer not accepted"),
    (
        "type = InfrastructureManager; username = user; password = pass\\nid = 1; type = Dummy",
        "Incorrect value in auth item id: 1",
    ),
];

#[tokio::test]
async fn missing_and_malformed_credentials_are_401_and_say_which_item() {
    let bystander = Bystander::start().await;
    let path = bystander.path.clone();
    let vm = format!("{path}/vms/0");
    let requests = [
        (Method::POST, "/infrastructures"),
        (Method::GET, "/infrastructures"),
        (Method::POST, &path),
        (Method::DELETE, &path),
        (Method::DELETE, &vm),
    ];
    for (method, path) in requests {
        let sent = Sent { authorization: None, ..Sent::document(method.clone(), path, document(1)) };
        bystander.refuses(sent, 401, &["No authentication data provided"]).await;
        for (header, words) in HEADERS {
            let sent = Sent::document(method.clone(), path, document(1)).by(header);
            let message = bystander.refuses(sent, 401, &[words]).await;
            assert!(!message.contains("pa;ss"), "a secret is shown: {message}");
        }
    }
    bystander.still_works().await;
}

#[tokio::test]
async fn others_are_not_let_in() {
    let bystander = Bystander::start().await;
    let path = bystander.path.clone();
    let vm = format!("{path}/vms/0");
    for (method, path) in [
        (Method::GET, &path),
        (Method::POST, &path),
        (Method::DELETE, &path),
        (Method::DELETE, &vm),
        (Method::PUT, &vm),
    ] {
        let sent = Sent::document(method, path, document(1)).by(STRANGER);
        bystander.refuses(sent, 403, &["Access to this infrastructure not granted."]).await;
    }
    bystander.still_works().await;
}
