//! Lists of infrastructures as the API wrote them, kept until an infrastructure comes, goes or changes hands: an owner of
//! a thousand that asks again and again does not have each of them looked at every time.

use crate::{
    auth::Caller,
    bounds::Remembered,
    engine::{error::OperationError, operations::engine::Engine, state::memo::Rendering},
};
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Bytes of lists kept.
const KEPT: usize = 8 << 20;
/// How long one is kept.
const AGE: Duration = Duration::from_secs(600);

/// The lists that were written last, by who asked and in which form, each with the version of the directory it was made of.
pub struct Listings(Mutex<Remembered<String, (u64, Rendering)>>);

impl Default for Listings {
    fn default() -> Self {
        Self(Mutex::new(Remembered::new(KEPT, AGE)))
    }
}

impl Engine {
    /// The list of the caller's infrastructures, written by `render` at most once for a state of the directory; `form`
    /// tells renderings apart.
    ///
    /// # Errors
    /// Those of [`Engine::list`], and of `render`.
    pub async fn listing<E: From<OperationError>>(
        &self,
        caller: &Caller,
        form: &str,
        render: impl FnOnce(&[String]) -> Result<Rendering, E>,
    ) -> Result<Rendering, E> {
        if self.services.cluster.is_some() {
            // Others make and delete as well: only the store knows.
            return render(&self.list(caller, None).await?);
        }
        let Listings(kept) = &*self.listings;
        let kept = || kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = format!("{} {form}", caller.is_administrator());
        for identity in caller.users() {
            key.extend([" ", if identity.token { "token " } else { "" }, &identity.key]);
        }
        // Read before the list is made: what changes meanwhile makes it old at once.
        let version = self.keepers.directory.version();
        if let Some((_, list)) = kept().get(&key, Instant::now()).filter(|(made, _)| *made == version) {
            return Ok(list.clone());
        }
        let list = render(&self.list(caller, None).await?)?;
        let bytes = key.len() + list.text.len();
        kept().insert(key, (version, list.clone()), bytes, Instant::now());
        Ok(list)
    }
}
