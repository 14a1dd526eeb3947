//! Renderings kept beside the state they were made of, so that polling clients do not have the same text made again and
//! again. A changed state starts without.

use bytes::Bytes;
use openssl::sha::sha256;
use std::sync::OnceLock;

/// Longest rendering that is kept for a machine, bytes.
pub const OF_MACHINE: usize = 16 << 10;
/// Longest rendering that is kept for an infrastructure.
pub const OF_INFRASTRUCTURE: usize = 512 << 10;

/// A text of the API with what tells it from other texts, so that a long one is not read through for every request.
#[derive(Debug, Clone)]
pub struct Rendering {
    /// The text.
    pub text: Bytes,
    /// Its SHA-256.
    pub digest: [u8; 32],
}

impl<T: Into<Bytes>> From<T> for Rendering {
    fn from(text: T) -> Self {
        let text = text.into();
        Self { digest: sha256(&text), text }
    }
}

/// A rendering that was made for a key; another key does not find it.
#[derive(Debug)]
pub struct Memo<K>(OnceLock<(K, Rendering)>);

impl<K: PartialEq> Memo<K> {
    /// The rendering for this key: the kept one, or a new one, which is kept if there was none and it is not longer than
    /// `longest`.
    ///
    /// # Errors
    /// Those of `render`.
    pub fn get_or_try<E>(
        &self,
        key: K,
        longest: usize,
        render: impl FnOnce() -> Result<Rendering, E>,
    ) -> Result<Rendering, E> {
        if let Some((known, text)) = self.0.get()
            && *known == key
        {
            return Ok(text.clone());
        }
        let text = render()?;
        if text.text.len() <= longest {
            // If another request was faster, its rendering is as good.
            let _ = self.0.set((key, text.clone()));
        }
        Ok(text)
    }
}

impl<K> Default for Memo<K> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<K> Clone for Memo<K> {
    /// A copy is made to be changed: it keeps nothing.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<K> PartialEq for Memo<K> {
    /// Renderings are no part of the state.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
