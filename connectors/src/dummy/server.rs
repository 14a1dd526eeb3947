//! A simulated cloud as a process of its own, for daemons that come and go: it serves its accounts over a Unix socket,
//! with faults of its own, and kills a daemon at a chosen change.

use super::{
    cloud::Cloud,
    faults::{Faults, Simulation},
    inventory::Inventory,
    remote::{AccountHoldings, Death, Message, Moment, Order, OrderOutcome},
    request::{CloudReply, CloudRequest},
};
use crate::{ConnectorError, ErrorClass};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    convert::Infallible,
    io,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::{OwnedRwLockReadGuard, RwLock},
};

/// A process that is about to be killed, or was.
#[derive(Debug, Default)]
struct Fate {
    death: Option<Death>,
    /// It fell, and what it had asked for at the same time is done or not.
    fell: bool,
}

impl Fate {
    /// Counts a change; the death that comes with it.
    fn strike(&mut self) -> Option<Death> {
        let death = self.death.as_mut()?;
        death.change = death.change.saturating_sub(1);
        if death.change > 0 {
            return None;
        }
        self.fell = true;
        self.death.take()
    }
}

/// The process's cloud.
pub struct Server {
    cloud: Cloud,
    simulation: Mutex<Arc<Simulation>>,
    fate: Mutex<Fate>,
    /// Held by every request that is under way.
    under_way: Arc<RwLock<()>>,
}

impl Server {
    /// Serves `cloud`, for all accounts with these faults.
    #[must_use]
    pub fn new(cloud: Cloud, faults: Faults) -> Arc<Self> {
        Arc::new(Self {
            cloud,
            simulation: Mutex::new(Arc::new(Simulation::new(faults))),
            fate: Mutex::default(),
            under_way: Arc::default(),
        })
    }

    /// Serves until the task is dropped.
    ///
    /// # Errors
    /// The listener.
    pub async fn serve(self: Arc<Self>, listener: UnixListener) -> io::Result<Infallible> {
        loop {
            let (stream, _) = listener.accept().await?;
            // Taken in the order of the connections, so that an order to settle waits for all that came before it.
            let guard = Arc::clone(&self.under_way).read_owned().await;
            let server = Arc::clone(&self);
            tokio::spawn(async move {
                // A client that went away needs no answer.
                let _ = server.converse(stream, guard).await;
            });
        }
    }

    async fn converse(&self, stream: UnixStream, guard: OwnedRwLockReadGuard<()>) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let answer = match serde_json::from_str(&line)? {
            Message::Request { tenant, request } => match self.request(&tenant, request).await {
                Some(result) => serde_json::to_vec(&result)?,
                None => return Ok(()),
            },
            Message::Order(order) => {
                drop(guard);
                serde_json::to_vec(&self.order(order).await)?
            }
        };
        stream.write_all(&answer).await?;
        stream.shutdown().await
    }

    /// Answers a request; none when the reply is lost.
    async fn request(&self, tenant: &str, mut request: CloudRequest) -> Option<Result<CloudReply, ConnectorError>> {
        let is_write = request.is_write();
        let death = if is_write { self.fate().strike() } else { None };
        if let Some(death) = death.filter(|death| death.moment == Moment::Before) {
            end(death);
            return None;
        }
        let simulation = Arc::clone(&self.simulation());
        let mut reply_is_lost = false;
        if death.is_none() {
            match simulation.call(&request).await {
                Ok(lost) => reply_is_lost = lost,
                Err(error) => return Some(Err(error)),
            }
            if self.fate().fell && simulation.random() < 0.5 {
                return None;
            }
        }
        let result = simulation.faults.restrict(&mut request).and_then(|()| self.cloud.answer(tenant, request));
        if let Some(death) = death {
            end(death);
            return None;
        }
        if reply_is_lost || is_write && simulation.loses_reply() { None } else { Some(result) }
    }

    async fn order(&self, order: Order) -> Result<OrderOutcome, ConnectorError> {
        match order {
            Order::Inspect => return self.cloud.inspect(holds).map(OrderOutcome::Holds),
            Order::Kill(death) => *self.fate() = Fate { death, fell: false },
            Order::Impose(faults) => *self.simulation() = Arc::new(Simulation::new(Faults::parse(&faults)?)),
            Order::Settle => drop(self.under_way.write().await),
        }
        Ok(OrderOutcome::Done)
    }

    fn fate(&self) -> std::sync::MutexGuard<'_, Fate> {
        self.fate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn simulation(&self) -> std::sync::MutexGuard<'_, Arc<Simulation>> {
        self.simulation.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end(death: Death) {
    // One that ended by itself is as dead.
    let _ = kill(Pid::from_raw(death.pid), Signal::SIGKILL);
}

fn holds(inventory: &Inventory) -> Vec<AccountHoldings> {
    let account = |(name, tenant): (&str, &super::Tenant)| AccountHoldings {
        name: name.to_owned(),
        machines: tenant.machines().cloned().collect(),
        resources: tenant.resources().cloned().collect(),
    };
    inventory.tenants().map(account).collect()
}

/// A listener on a socket of the file system, which takes the place of one that a dead process left.
///
/// # Errors
/// `Invalid`: the path cannot be used, or another cloud listens there.
pub fn listen(path: &std::path::Path) -> Result<UnixListener, ConnectorError> {
    let unusable = |error: String| {
        let message = format!("The simulated cloud cannot listen on {}: {error}", path.display());
        ConnectorError::new(ErrorClass::Invalid, message)
    };
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(unusable("another one does already".to_owned()));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(error.to_string())),
        _ => {}
    }
    UnixListener::bind(path).map_err(|error| unusable(error.to_string()))
}
