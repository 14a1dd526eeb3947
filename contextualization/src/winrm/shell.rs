//! A remote shell and one command in it.

use super::{
    WinRmError,
    http::Http,
    soap::{self, Action, Element},
};
use crate::ssh::{Endpoint, SshSession};
use openssl::base64;

/// Output of a command that is kept.
const OUTPUT: usize = 64 << 10;

/// An open shell.
pub struct Shell {
    http: Http,
    id: String,
}

/// How a command ended.
pub struct Done {
    /// Its exit code.
    pub status: i32,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
}

impl Shell {
    /// Opens a shell, which is to be closed.
    pub async fn open(via: &SshSession, endpoint: &Endpoint, user: &str, password: &str) -> Result<Self, WinRmError> {
        let mut shell = Self { http: Http::open(via, endpoint, user, password).await?, id: String::new() };
        let answer = shell.ask(Action::Create, soap::CREATE).await?;
        let named = answer.all("Selector").into_iter().find(|s| s.attribute("Name") == Some("ShellId"));
        let id = answer.find("ShellId").or(named).map(|id| id.text.clone());
        shell.id = id.ok_or_else(|| shell.http.failed("it made a shell without an id"))?;
        Ok(shell)
    }

    /// Runs a PowerShell script with `input` as its standard input.
    pub async fn powershell(&mut self, script: &str, input: &str) -> Result<Done, WinRmError> {
        let script: Vec<u8> = script.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let script = base64::encode_block(&script);
        let arguments = ["-NoProfile", "-NonInteractive", "-EncodedCommand", &script];
        let started = self.ask(Action::Command, &soap::command("powershell.exe", &arguments)).await?;
        let id = started.find("CommandId").map(|id| id.text.clone());
        let id = id.ok_or_else(|| self.http.failed("it started a command without an id"))?;
        self.ask(Action::Send, &soap::send(&id, input.as_bytes())).await?;
        let mut stderr = Vec::new();
        let status = loop {
            let message = soap::message(Action::Receive, &self.http.url(), Some(&self.id), &soap::receive(&id));
            let (_, answer) = self.http.post(message).await?;
            let answer = self.read(&answer)?;
            if answer.is_timeout() {
                continue;
            }
            let answer = self.not_a_fault(answer)?;
            for stream in answer.all("Stream").into_iter().filter(|s| s.attribute("Name") == Some("stderr")) {
                stderr.extend(base64::decode_block(stream.text.trim()).unwrap_or_default());
                stderr.truncate(OUTPUT);
            }
            if let Some(state) = answer.find("CommandState")
                && state.attribute("State").is_some_and(|state| state.ends_with("/CommandState/Done"))
            {
                let code = state.find("ExitCode").and_then(|code| code.text.trim().parse::<i64>().ok());
                // Exit codes are unsigned on the wire.
                break code.map_or(-1, |code| code as i32);
            }
        };
        self.ask(Action::Signal, &soap::terminate(&id)).await?;
        Ok(Done { status, stderr })
    }

    /// Closes it.
    pub async fn close(&mut self) -> Result<(), WinRmError> {
        self.ask(Action::Delete, "").await.map(drop)
    }

    async fn ask(&mut self, action: Action, body: &str) -> Result<Element, WinRmError> {
        let shell = Some(self.id.as_str()).filter(|id| !id.is_empty());
        let message = soap::message(action, &self.http.url(), shell, body);
        let (status, answer) = self.http.post(message).await?;
        if answer.trim().is_empty() && status.is_success() {
            return Ok(Element::default());
        }
        if !status.is_success() && Element::parse(&answer).is_err() {
            return Err(self.http.failed(format!("it answers with status {status}")));
        }
        let answer = self.read(&answer)?;
        self.not_a_fault(answer)
    }

    fn read(&self, answer: &str) -> Result<Element, WinRmError> {
        Element::parse(answer).map_err(|why| self.http.failed(format!("an answer that cannot be read: {why}")))
    }

    fn not_a_fault(&self, answer: Element) -> Result<Element, WinRmError> {
        match answer.fault() {
            Some(fault) => Err(self.http.failed(fault.chars().take(500).collect::<String>())),
            None => Ok(answer),
        }
    }
}
