//! A TCP proxy of a test that cuts connections at the worst moment.
#![allow(dead_code)]

use std::sync::{Arc, Mutex};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};

/// When a connection is cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    /// Before the server gets what holds these bytes.
    Before(&'static [u8]),
    /// When the server has answered to what holds these bytes, before the client gets the answer.
    After(&'static [u8]),
    /// Not at all: what holds these bytes waits for [`Proxy::open`], as if the client stood still.
    Stall(&'static [u8]),
}

#[derive(Default)]
struct Plan {
    cut: Option<Cut>,
    /// Whether nobody gets through after the cut.
    and_close: bool,
    closed: bool,
    stalled: bool,
    cuts: usize,
    hold: Option<&'static [u8]>,
}

/// A question that waits.
#[derive(Default)]
struct Held {
    is_here: Notify,
    release: Notify,
}

/// A proxy on a port of its own, ended when dropped.
pub struct Proxy {
    pub port: u16,
    plan: Arc<Mutex<Plan>>,
    held: Arc<Held>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    pub async fn to(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let plan: Arc<Mutex<Plan>> = Arc::default();
        let held: Arc<Held> = Arc::default();
        let (plans, holds) = (plan.clone(), held.clone());
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                if !plans.lock().unwrap().closed {
                    tokio::spawn(relay(client, server, plans.clone(), holds.clone()));
                }
            }
        });
        Self { port, plan, held, task }
    }

    /// Cuts the next connection that comes to it.
    pub fn cut(&self, cut: Cut) {
        self.plan.lock().unwrap().cut = Some(cut);
    }

    /// Cuts the next connection that comes to it, and lets nobody through from then on.
    pub fn cut_and_close(&self, cut: Cut) {
        let mut plan = self.plan.lock().unwrap();
        (plan.cut, plan.and_close) = (Some(cut), true);
    }

    /// Keeps back the next question that holds these bytes, until [`Proxy::release`].
    pub fn hold(&self, wanted: &'static [u8]) {
        self.plan.lock().unwrap().hold = Some(wanted);
    }

    /// Waits for the question that is kept back.
    pub async fn until_held(&self) {
        self.held.is_here.notified().await;
    }

    /// Lets it go on.
    pub fn release(&self) {
        self.held.release.notify_one();
    }

    /// Lets everybody through again.
    pub fn open(&self) {
        let mut plan = self.plan.lock().unwrap();
        (plan.closed, plan.and_close, plan.stalled) = (false, false, false);
    }

    /// How many connections were cut.
    pub fn cuts(&self) -> usize {
        self.plan.lock().unwrap().cuts
    }
}

fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

async fn relay(mut client: TcpStream, server: u16, plan: Arc<Mutex<Plan>>, held: Arc<Held>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    let (mut question, mut answer) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    // The question so far: it may come in several parts.
    let mut before = Vec::new();
    let mut is_last = false;
    loop {
        tokio::select! {
            read = client.read(&mut question) => {
                let Ok(length @ 1..) = read else { return };
                before.extend(&question[..length]);
                let wanted = plan.lock().unwrap().hold.take_if(|wanted| holds(&before, wanted));
                if wanted.is_some() {
                    held.is_here.notify_one();
                    held.release.notified().await;
                }
                {
                    let mut plan = plan.lock().unwrap();
                    if plan.closed {
                        return;
                    }
                    if let Some(cut) = plan.cut {
                        let (Cut::Before(wanted) | Cut::After(wanted) | Cut::Stall(wanted)) = cut;
                        if holds(&before, wanted) {
                            plan.cut = None;
                            plan.closed = plan.and_close;
                            plan.cuts += 1;
                            is_last = matches!(cut, Cut::After(_));
                            plan.stalled = matches!(cut, Cut::Stall(_));
                            if matches!(cut, Cut::Before(_)) {
                                return;
                            }
                        }
                    }
                }
                while plan.lock().unwrap().stalled {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
                if server.write_all(&question[..length]).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut answer) => {
                let Ok(length @ 1..) = read else { return };
                before.clear();
                if is_last || plan.lock().unwrap().closed || client.write_all(&answer[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}
