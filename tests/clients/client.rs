//! The client's program, with its files in a directory of its own.

use crate::support::Daemon;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tempfile::TempDir;

/// The version under test.
const VERSION: &str = "1.8.4";

/// Which API a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    XmlRpc,
    Rest,
}

/// A user with the client's program.
pub struct Client {
    pub api: Api,
    program: PathBuf,
    url: String,
    files: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub struct Outcome {
    pub success: bool,
    pub text: String,
}

impl Client {
    /// A client of `daemon` whose credentials have this user.
    pub fn new(api: Api, daemon: &Daemon, user: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let program = root.join(format!("target/clients/IM-client-{VERSION}/bin/im_client"));
        assert!(program.exists(), "{} is missing: run scripts/make-clients", program.display());
        let url = match api {
            Api::XmlRpc => daemon.xmlrpc_url(),
            Api::Rest => daemon.url(""),
        };
        let client = Self { api, program, url, files: tempfile::tempdir().unwrap() };
        client.write(
            "auth.dat",
            &format!(
                "# Who, and where.\ntype = InfrastructureManager; username = {user}; password = 'pa=ss'\n\n\
                 id = dummy; type = Dummy; note = \"line\\none\"\n"
            ),
        );
        client
    }

    /// Its file of credentials.
    pub fn credentials(&self) -> String {
        fs::read_to_string(self.files.path().join("auth.dat")).unwrap()
    }

    /// Puts a file where the client runs.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.files.path().join(name), text).unwrap();
    }

    /// Runs a command; its words are separated by blanks.
    pub fn run(&self, words: &str) -> Outcome {
        let flag = if self.api == Api::XmlRpc { "-u" } else { "-r" };
        let mut command = Command::new(&self.program);
        command.args([flag, &self.url, "-a", "auth.dat"]).args(words.split_whitespace());
        // It asks questions, and finds nobody to answer; and it reads a file in the user's home.
        command.stdin(Stdio::null()).current_dir(self.files.path()).env("HOME", self.files.path());
        command.env("NO_PROXY", "*").env("PYTHONWARNINGS", "ignore");
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!text.contains("Traceback") && !errors.contains("Traceback"), "{words}: {text}\n{errors}");
        Outcome { success: output.status.success(), text }
    }

    /// What a quiet command that must succeed prints.
    pub fn text(&self, words: &str) -> String {
        let outcome = self.run(&format!("-q {words}"));
        assert!(outcome.success, "{:?} {words}: {}", self.api, outcome.text);
        outcome.text
    }

    /// The JSON that a quiet command that must succeed prints.
    pub fn json(&self, words: &str) -> Value {
        let text = self.text(words);
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{words}: not JSON: {text}"))
    }

    /// The last line that a talkative command that must succeed prints.
    pub fn says(&self, words: &str) -> String {
        let outcome = self.run(words);
        assert!(outcome.success, "{:?} {words}: {}", self.api, outcome.text);
        outcome.text.lines().last().unwrap().to_owned()
    }

    /// What a command that must fail prints at the end.
    pub fn fails(&self, words: &str) -> String {
        let outcome = self.run(words);
        assert!(!outcome.success, "{:?} {words}: {}", self.api, outcome.text);
        outcome.text.lines().last().unwrap_or_default().to_owned()
    }
}
