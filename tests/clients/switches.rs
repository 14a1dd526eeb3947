//! Which APIs the daemon serves, and what it says when it cannot.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use reqwest::StatusCode;
use std::{
    fs,
    net::{TcpListener, TcpStream},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A daemon with these lines of `im.cfg`.
fn start(options: &str) -> (Child, TempDir) {
    let files = tempfile::tempdir().unwrap();
    let place = files.path().display();
    let text = format!("[im]\nDATA_DB = {place}/inf.dat\nDATA_KEY_FILE = {place}/key\nLOG_FILE =\n{options}\n");
    fs::write(files.path().join("im.cfg"), text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_imd"));
    command.arg("--config").arg(files.path().join("im.cfg")).stdin(Stdio::null());
    (command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap(), files)
}

/// How a daemon ended that must not start.
fn refused(options: &str) -> (Option<i32>, String) {
    let (process, _files) = start(options);
    let Output { status, stdout, stderr } = process.wait_with_output().unwrap();
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn one_api_is_enough() {
    let [rest, xmlrpc] = [(); 2].map(|()| free_port());
    let (mut process, _files) = start(&format!(
        "ACTIVATE_REST = False\nREST_ADDRESS = 127.0.0.1\nREST_PORT = {rest}\nXMLRCP_ADDRESS = 127.0.0.1\nXMLRCP_PORT = {xmlrpc}"
    ));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let call = || {
        let body = "<methodCall><methodName>GetVersion</methodName></methodCall>";
        client.post(format!("http://127.0.0.1:{xmlrpc}/RPC2")).body(body).send()
    };
    let deadline = Instant::now() + crate::support::PATIENCE;
    let answer = loop {
        match call().await {
            Ok(answer) => break answer,
            Err(error) => assert!(Instant::now() < deadline && process.try_wait().unwrap().is_none(), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.text().await.unwrap().contains("<string>1.19.1</string>"));
    assert!(TcpStream::connect(("127.0.0.1", rest)).is_err(), "REST is served");
    kill(Pid::from_raw(process.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert!(process.wait().unwrap().success());
}

#[test]
fn a_daemon_that_cannot_serve_says_why() {
    let (code, text) = refused("ACTIVATE_REST = False\nACTIVATE_XMLRPC = False");
    let why = "ACTIVATE_REST = False and ACTIVATE_XMLRPC = False leave the daemon without any API";
    assert!(code == Some(1) && text.contains(why), "{code:?} {text}");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let (code, text) = refused(&format!("ACTIVATE_REST = False\nXMLRCP_ADDRESS = 127.0.0.1\nXMLRCP_PORT = {port}"));
    let why = "set XMLRCP_ADDRESS and XMLRCP_PORT to a free address of this host";
    assert!(code == Some(1) && text.contains(why), "{code:?} {text}");

    for (api, other) in [("REST", "XMLRPC"), ("XMLRCP", "REST")] {
        let (code, text) = refused(&format!(
            "ACTIVATE_{other} = False\n{api}_ADDRESS = 127.0.0.1\n{api}_SSL = True\n{api}_SSL_KEYFILE = /nowhere/key.pem"
        ));
        let why = "the private key cannot be read from /nowhere/key.pem: ";
        assert!(code == Some(1) && text.contains(why), "{code:?} {text}");
        assert!(text.contains(&format!("see {api}_SSL_KEYFILE, {api}_SSL_CERTFILE")), "{text}");
    }
}
