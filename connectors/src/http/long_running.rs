//! Operations that a cloud goes on with after its reply: it names them, and is asked how far they are until they end.

use crate::{ConnectorError, ErrorClass};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What a cloud calls an operation that goes on: an id or a URL of its own. It is a value, so that whoever stores it, or
/// finds it where the cloud keeps it, goes on waiting after a restart instead of asking for the same thing again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Handle(pub String);

/// How far an operation is.
#[derive(Debug)]
pub enum Progress<T> {
    /// It goes on; the pause that the cloud asks for before the next question.
    Running(Option<Duration>),
    /// It ended well.
    Done(T),
    /// It ended otherwise.
    Failed(ConnectorError),
}

/// How an operation is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patience {
    /// Pause after the first question, and the shortest; each further one is half as long again.
    pub first: Duration,
    /// Longest pause of our own choice.
    pub longest: Duration,
    /// No question is asked later than this after the beginning.
    pub deadline: Duration,
}

impl Default for Patience {
    /// Ends before the time limit of an attempt does (`Timeouts::write`), so that the error says what was waited for. The
    /// next attempt goes on where this one ended.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { first: seconds(1), longest: seconds(15), deadline: seconds(240) }
    }
}

impl Patience {
    /// Asks until the operation ends. Questions that fail for the moment are asked again.
    ///
    /// # Errors
    /// How the operation failed, what is final of what `ask` reports, and `WaitTimeout` when it did not end in time; it
    /// goes on then.
    pub async fn wait<T, F>(&self, handle: &Handle, mut ask: impl FnMut() -> F) -> Result<T, ConnectorError>
    where
        F: Future<Output = Result<Progress<T>, ConnectorError>>,
    {
        let end = Instant::now() + self.deadline;
        let mut pause = self.first;
        loop {
            let wished = match ask().await {
                Ok(Progress::Done(result)) => return Ok(result),
                Ok(Progress::Failed(error)) => return Err(error),
                Ok(Progress::Running(wished)) => wished,
                Err(error) if matches!(error.class, ErrorClass::Transient | ErrorClass::Throttled) => {
                    tracing::debug!(operation = handle.0, "will ask again: {error}");
                    error.retry_after
                }
                Err(error) => return Err(error),
            };
            let wait = wished.unwrap_or(pause).max(self.first);
            if Instant::now() + wait > end {
                let text = format!("The cloud did not end {} within {} s", handle.0, self.deadline.as_secs());
                return Err(ConnectorError::new(ErrorClass::WaitTimeout, text));
            }
            sleep(wait).await;
            pause = pause.mul_f64(1.5).min(self.longest);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::VecDeque;

    /// Waits with these answers, the last of which is given from then on; what came of it, and after how many seconds.
    async fn wait(
        answers: impl IntoIterator<Item = Result<Progress<&'static str>, ConnectorError>>,
    ) -> (Result<&'static str, ConnectorError>, f64) {
        let mut answers: VecDeque<_> = answers.into_iter().collect();
        let start = Instant::now();
        // As after a restart: from its stored form.
        let stored = serde_json::to_string(&Handle("job-7".to_owned())).unwrap();
        let handle: Handle = serde_json::from_str(&stored).unwrap();
        let result = Patience::default()
            .wait(&handle, || {
                let answer = answers.pop_front().unwrap_or(Ok(Progress::Running(None)));
                async { answer }
            })
            .await;
        (result, start.elapsed().as_secs_f64())
    }

    fn error(class: ErrorClass) -> ConnectorError {
        ConnectorError::new(class, "scripted")
    }

    #[tokio::test(start_paused = true)]
    async fn questions_become_rarer_and_the_clouds_own_pause_counts() {
        let running = || Ok(Progress::Running(None));
        let (result, took) = wait([running(), running(), running(), Ok(Progress::Done("made"))]).await;
        assert_eq!((result.unwrap(), took), ("made", 1.0 + 1.5 + 2.25));
        let asked = Ok(Progress::Running(Some(Duration::from_secs(20))));
        assert_eq!(wait([asked, Ok(Progress::Done("made"))]).await.1, 20.0);
        let throttled = ConnectorError { retry_after: Some(Duration::from_secs(9)), ..error(ErrorClass::Throttled) };
        let answers = [Err(throttled), Err(error(ErrorClass::Transient)), Ok(Progress::Done("made"))];
        assert_eq!(wait(answers).await.1, 9.0 + 1.5);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends() {
        let (result, took) = wait([]).await;
        let given_up = result.unwrap_err();
        assert_eq!(given_up.class, ErrorClass::WaitTimeout);
        assert!(given_up.message.contains("job-7") && took <= 240.0 && took > 220.0, "{took}");
        assert_eq!(wait([Err(error(ErrorClass::NotFound))]).await.0.unwrap_err().class, ErrorClass::NotFound);
        let failed = wait([Ok(Progress::Failed(error(ErrorClass::Capacity)))]).await.0;
        assert_eq!(failed.unwrap_err().class, ErrorClass::Capacity);
    }
}
