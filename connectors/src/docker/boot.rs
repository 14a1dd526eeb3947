//! How a container lets its user in: a script as process 1, and the login in a file that it reads once and deletes, so that
//! no secret stands in what the engine tells of a container, nor in images made of it.

use crate::{ConnectorError, ErrorClass};
use radl::Credentials;

/// Process 1 (`boot.sh`).
pub(super) const SCRIPT: &str = include_str!("boot.sh");
/// Where the script looks for the login, below the root.
const LOGIN: &str = "etc/imd-login";

/// An archive with the login of a machine.
pub(super) fn archive(login: &Credentials, default_user: &str) -> Result<Vec<u8>, ConnectorError> {
    let quoted = |text: Option<&str>| format!("'{}'", text.unwrap_or_default().replace('\'', "'\\''"));
    let text = format!(
        "user={}\npassword={}\npublic_key={}\n",
        quoted(login.username.as_deref().or(Some(default_user))),
        quoted(login.password.as_deref()),
        quoted(login.public_key.as_deref().map(str::trim)),
    );
    let mut header = tar::Header::new_ustar();
    header.set_size(text.len() as u64);
    header.set_mode(0o600);
    header.set_entry_type(tar::EntryType::Regular);
    let mut archive = tar::Builder::new(Vec::new());
    let packed = archive.append_data(&mut header, LOGIN, text.as_bytes()).and_then(|()| archive.into_inner());
    packed.map_err(|error| ConnectorError::new(ErrorClass::Invalid, format!("The login cannot be packed: {error}")))
}
