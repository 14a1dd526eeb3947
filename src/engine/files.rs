//! Files at addresses that documents of TOSCA name: handed in by whoever may fetch them, so that the engine has no way of its
//! own to reach anything because a document says so.

use futures::future::BoxFuture;
use std::sync::Arc;
use tosca::{Fetched, Sources};

/// The files of one document, as far as they are there. The document is read on another thread with what is there; what it
/// wants besides is then fetched, and it is read again. Who implements it brings that to an end: a file that was asked for is
/// a text or a failure the next time, and after so many of them everything is a failure.
pub trait Gathering: Sources + Send + 'static {
    /// Fetches the files at these addresses. Why one cannot be had is told when it is asked for again.
    fn fetch(&mut self, wanted: Vec<String>) -> BoxFuture<'_, ()>;
}

/// Where the files of documents come from.
#[derive(Clone)]
pub struct Files(Arc<dyn Fn() -> Box<dyn Gathering> + Send + Sync>);

impl Files {
    /// Files that `begin` gathers, called once for a document whose sender is known and may send it.
    pub fn new(begin: impl Fn() -> Box<dyn Gathering> + Send + Sync + 'static) -> Self {
        Self(Arc::new(begin))
    }

    /// No file of a document yet.
    #[must_use]
    pub fn gathering(&self) -> Box<dyn Gathering> {
        (self.0)()
    }
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Files")
    }
}

/// None at all.
impl Default for Files {
    fn default() -> Self {
        Self::new(|| Box::new(NoFiles))
    }
}

/// What there is where nothing is fetched.
struct NoFiles;

impl Sources for NoFiles {
    fn text(&self, _: &str) -> Fetched {
        let reason = "this service fetches no files for documents, so put into the document what it imports or runs";
        Fetched::Failed(reason.to_owned())
    }
}

impl Gathering for NoFiles {
    fn fetch(&mut self, _: Vec<String>) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}
