//! What OpenNebula goes on with after its reply: the object is looked at until it is there.

use super::{OpenNebula, state::State, xml::Element};
use crate::{
    ConnectorError, ErrorClass,
    http::{Handle, Patience, Progress},
};
use std::time::Duration;

const fn patience(deadline: u64) -> Patience {
    let (first, longest) = (Duration::from_millis(100), Duration::from_secs(5));
    Patience { first, longest, deadline: Duration::from_secs(deadline) }
}

/// Groups stay in use until their machines are gone.
pub(super) const GROUP: Patience = patience(90);
/// A machine powers off, or takes a disk.
pub(super) const MACHINE: Patience = patience(60);
/// An image is copied.
pub(super) const IMAGE: Patience = patience(180);
/// A machine ends: first it is asked to, after [`GRACE`] it is not asked any more.
const END: Patience = patience(200);
/// How long a guest has to shut down.
const GRACE: Duration = Duration::from_secs(60);

/// Asks until there is an answer.
///
/// # Errors
/// `WaitTimeout`, and what is final of what `ask` reports.
pub(super) async fn until<T, F>(patience: Patience, mut ask: impl FnMut() -> F) -> Result<T, ConnectorError>
where
    F: Future<Output = Result<Option<T>, ConnectorError>>,
{
    let handle = Handle("what was asked of it".to_owned());
    patience
        .wait(&handle, || {
            let answer = ask();
            async { answer.await.map(|answer| answer.map_or(Progress::Running(None), Progress::Done)) }
        })
        .await
}

impl OpenNebula {
    /// Ends a machine, and waits until it is gone.
    pub(super) async fn terminate(&self, id: i32) -> Result<(), ConnectorError> {
        let begin = tokio::time::Instant::now();
        let mut asked = false;
        loop {
            let Some(vm) = self.api.machine(id).await? else { return Ok(()) };
            let state = State::of(&vm);
            if state.is_done() {
                return Ok(());
            }
            let is_late = begin.elapsed() > GRACE;
            if !asked || is_late || state.has_failed() {
                let action = if is_late || state.has_failed() { "terminate-hard" } else { "terminate" };
                match self.api.action(action, id).await {
                    Ok(()) => asked = true,
                    Err(error) if error.class == ErrorClass::NotFound => return Ok(()),
                    Err(error) if error.class != ErrorClass::Conflict => return Err(error),
                    // A machine that is stuck takes no action any more, but may be given up.
                    Err(error) if state.has_failed() => {
                        self.api.recover_by_deleting(id).await.map_err(|_| error)?;
                    }
                    // It is on its way from one state to another: it takes the action when it is there.
                    Err(_) => {}
                }
            }
            if begin.elapsed() > END.deadline {
                let text = format!("OpenNebula did not end machine {id} within {} s", END.deadline.as_secs());
                return Err(ConnectorError::new(ErrorClass::WaitTimeout, text));
            }
            let pause = END.first.max(begin.elapsed() / 4).min(END.longest);
            tokio::time::sleep(pause).await;
        }
    }

    /// Waits until a machine is as it is wanted; it fails when the machine does, or is gone.
    pub(super) async fn until_machine(
        &self,
        id: i32,
        is_wanted: impl Fn(State) -> bool,
    ) -> Result<Element, ConnectorError> {
        let is_wanted = &is_wanted;
        until(MACHINE, || async move {
            let gone = || ConnectorError::new(ErrorClass::NotFound, "The machine is gone");
            let vm = self.api.machine(id).await?.ok_or_else(gone)?;
            let state = State::of(&vm);
            if state.has_failed() {
                let text = vm.text("USER_TEMPLATE/ERROR").unwrap_or("The machine failed").to_owned();
                return Err(ConnectorError::new(ErrorClass::ProviderFailed, text));
            }
            if state.is_done() {
                return Err(gone());
            }
            Ok(is_wanted(state).then_some(vm))
        })
        .await
    }
}
