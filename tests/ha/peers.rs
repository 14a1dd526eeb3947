//! The port for other daemons: it is of no use to anybody without the key.

use crate::cluster::{Cluster, document};
use imd::{
    auth::{Caller, Credentials, Identity, Principal},
    engine::{
        OperationError,
        cluster::wire::{self, Hello, MessageKind, Question, Welcome},
        operations::{change::Change, destroy::Destroy},
    },
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
    let sealed = |keyring: &Keyring, session: &str| wire::seal(keyring, MessageKind::Hello(session), &hello()).unwrap();
    for body in
        [Vec::new(), b"hello".to_vec(), sealed(&foreign, &session), sealed(&ours, "another session"), vec![0; 5000]]
    {
        assert_eq!(post("/hello", body).await.0, 403);
    }
    let (status, answer) = post("/hello", sealed(&ours, &session)).await;
    assert_eq!(status, 200);
    let welcome: Welcome = wire::open(&ours, MessageKind::Welcome("1"), &answer).unwrap();
    let ticket = welcome.ticket.unwrap();

    // Whose request it is was found out where it came in: a stranger stays one.
    let sealed_question = |name: &str, ticket: &str, change: &str, parameters: serde_json::Value| {
        let identity = Identity { username: name.to_owned(), key: ours.owner_key(name, "pass"), token: false };
        let credentials = Arc::new(Credentials::default());
        let caller = Caller { credentials, principals: vec![Principal::User(identity)], expires: None };
        let question = Question::new(id.clone(), caller, change, &parameters).unwrap();
        wire::seal(&ours, MessageKind::Question(ticket), &question).unwrap()
    };
    let destroy = || serde_json::to_value(Destroy { force: false, asynchronous: true }).unwrap();
    let question = |name: &str, ticket: &str| sealed_question(name, ticket, Destroy::NAME, destroy());
    let ask = async |ticket: &str, body: Vec<u8>| post(&format!("/ask/{ticket}"), body).await;
    assert_eq!(ask("made-up", question("user", "made-up")).await.0, 403);
    let (status, answer) = ask(&ticket, question("stranger", &ticket)).await;
    assert_eq!(status, 200);
    let opened = |ticket: &str, answer: &[u8]| -> Result<serde_json::Value, OperationError> {
        wire::open(&ours, MessageKind::Answer(ticket), answer).unwrap()
    };
    assert_eq!(opened(&ticket, &answer), Err(OperationError::NotOwner));
    // A ticket is good for one question, even a recorded one.
    assert_eq!(ask(&ticket, question("user", &ticket)).await.0, 403);

    // A daemon of a later version may ask for what this one does not know, or knows with other parameters.
    for (change, parameters) in [("unheard_of", destroy()), (Destroy::NAME, serde_json::json!({"gently": true}))] {
        let (_, answer) = post("/hello", sealed(&ours, &session)).await;
        let ticket = wire::open::<Welcome>(&ours, MessageKind::Welcome("1"), &answer).unwrap().ticket.unwrap();
        let (status, answer) = ask(&ticket, sealed_question("user", &ticket, change, parameters)).await;
        assert_eq!((status, opened(&ticket, &answer)), (200, Err(OperationError::OtherVersion(change.to_owned()))));
    }
    assert_eq!(daemon.text(reqwest::Method::GET, &path, "").await.lines().count(), 1);
}
