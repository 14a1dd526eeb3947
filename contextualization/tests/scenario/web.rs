//! Servers on the lab's public bridge (10.77.0.1), and an unpacked Ansible for those who need one beside the nodes.

use crate::lab;
use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

/// A static web server; it ends with the value.
pub struct WebServer {
    child: Child,
    log: PathBuf,
}

impl WebServer {
    /// Serves `directory` on a port; with TLS when `identity` has `cert.pem` and `key.pem`.
    pub fn start(port: u16, directory: &Path, identity: Option<&Path>) -> Self {
        let log = directory.with_extension("log");
        std::fs::write(&log, "").unwrap();
        let mut command = Command::new("python3");
        command.args(["-c", include_str!("static_server.py"), "10.77.0.1", &port.to_string()]).arg(directory).arg(&log);
        if let Some(identity) = identity {
            command.arg(identity.join("cert.pem")).arg(identity.join("key.pem"));
        }
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n", "the web server does not start");
        Self { child, log }
    }

    /// Requests so far, a line each.
    pub fn requests(&self) -> Vec<String> {
        std::fs::read_to_string(&self.log).unwrap().lines().map(str::to_owned).collect()
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a name server on 10.77.0.1 that knows nothing; what it is asked for.
pub fn name_server() -> Arc<Mutex<BTreeSet<String>>> {
    let socket = UdpSocket::bind("10.77.0.1:53").unwrap();
    let asked = Arc::new(Mutex::new(BTreeSet::new()));
    let names = Arc::clone(&asked);
    std::thread::spawn(move || {
        let mut packet = [0; 512];
        while let Ok((size, client)) = socket.recv_from(&mut packet) {
            // RFC 1035, 4.1: a header of 12 bytes, then the labels of the name, each after its length.
            let (mut labels, mut at) = (Vec::new(), 12);
            while at < size && packet[at] != 0 {
                let end = at + 1 + usize::from(packet[at]);
                labels.push(String::from_utf8_lossy(&packet[at + 1..end]).into_owned());
                at = end;
            }
            names.lock().unwrap().insert(labels.join("."));
            // No such name.
            packet[2..4].copy_from_slice(&[0x81, 0x83]);
            let _ = socket.send_to(&packet[..size], client);
        }
    });
    asked
}

/// The archive that make-bundle made for this machine's Python.
pub fn bundle(kind: &str) -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir(lab::bundle_dir())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".tar.gz") && path.to_string_lossy().contains(kind))
        .collect();
    found.sort();
    found.pop().expect("make-bundle made it")
}

/// Unpacks it.
pub fn unpack(archive: &Path, directory: &Path) {
    std::fs::create_dir_all(directory).unwrap();
    let status = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(directory).status().unwrap();
    assert!(status.success());
}
