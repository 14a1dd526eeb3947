//! The port for other daemons: it is of no use to anybody without the key.

use crate::cluster::{Cluster, document};
use imd::{
    auth::{Caller, Credentials, Identity},
    engine::cluster::wire::{self, Hello, Kind, Question, Request, Welcome},
    store::Keyring,
};
use std::sync::Arc;

#[tokio::test]
async fn only_daemons_with_the_key_are_answered_and_once() {
    let cluster = Cluster::start(1, "id = dummy; type = Dummy").await;
    let daemon = &cluster.daemons[0];
    let path = daemon.create(&document(1), "").await;
    let id = path.rsplit('/').next().unwrap().to_owned();
    let session = cluster.head(&path).await.holder.unwrap().session;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = async |path: &str, body: Vec<u8>| {
        let url = format!("http://127.0.0.1:{}{path}", cluster.port(0));
        let response = client.post(url).body(body).send().await.unwrap();
        (response.status().as_u16(), response.bytes().await.unwrap())
    };
    let (ours, foreign) = (cluster.keyring(), Arc::new(Keyring::new([9; 32], &[])));
    let hello = || Hello { infrastructure: id.clone(), number: "1".to_owned() };
    let sealed = |keyring: &Keyring, session: &str| wire::seal(keyring, Kind::Hello(session), &hello()).unwrap();
    for body in
        [Vec::new(), b"hello".to_vec(), sealed(&foreign, &session), sealed(&ours, "another session"), vec![0; 5000]]
    {
        assert_eq!(post("/hello", body).await.0, 403);
    }
    let (status, answer) = post("/hello", sealed(&ours, &session)).await;
    assert_eq!(status, 200);
    let welcome: Welcome = wire::open(&ours, Kind::Welcome("1"), &answer).unwrap();
    let ticket = welcome.ticket.unwrap();

    // Whose request it is was found out where it came in: a stranger stays one.
    let question = |name: &str, ticket: &str| {
        let identities = vec![Identity { username: name.to_owned(), key: ours.owner_key(name, "pass"), token: false }];
        let caller = Caller { credentials: Arc::new(Credentials::default()), identities, admin: false };
        let request = Request::Destroy { force: false, asynchronous: true };
        wire::seal(&ours, Kind::Question(ticket), &Question { infrastructure: id.clone(), caller, request }).unwrap()
    };
    let ask = async |ticket: &str, body: Vec<u8>| post(&format!("/ask/{ticket}"), body).await;
    assert_eq!(ask("made-up", question("user", "made-up")).await.0, 403);
    let (status, answer) = ask(&ticket, question("stranger", &ticket)).await;
    assert_eq!(status, 200);
    let answer: Result<serde_json::Value, imd::engine::OperationError> =
        wire::open(&ours, Kind::Answer(&ticket), &answer).unwrap();
    assert_eq!(answer, Err(imd::engine::OperationError::NotOwner));
    // A ticket is good for one question, even a recorded one.
    assert_eq!(ask(&ticket, question("user", &ticket)).await.0, 403);
    assert_eq!(daemon.text(reqwest::Method::GET, &path, "").await.lines().count(), 1);
}
