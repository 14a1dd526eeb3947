//! What a connector can do, and what its machines are.

use super::GuestOs;
use radl::Credentials;

/// What a connector can do; what it cannot fails before any remote call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// What its machines are.
    pub guests: Guests,
    /// Who makes the first login of a machine whose document leaves it open.
    pub first_login: FirstLogin,
    /// Stop keeps the disks, start resumes.
    pub stop_start: bool,
    /// Hard reset.
    pub reboot: bool,
    /// Change of cores or memory.
    pub resize: bool,
    /// Further data disks on an existing machine.
    pub attach_disk: bool,
    /// A public address is added to an existing machine, and taken from it.
    pub public_address: bool,
    /// Image of a disk.
    pub snapshot: bool,
    /// List of images.
    pub images: bool,
    /// Account limits.
    pub quotas: bool,
    /// `outports` are enforced.
    pub outports: bool,
    /// Networks are made on request.
    pub networks: bool,
    /// User data reach the machine at its first boot.
    pub user_data: bool,
}

/// What the machines of a cloud are. It is the same for every account of a type, so that it is known without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guests {
    /// The kind of thing that is made for a system.
    pub kind: GuestKind,
    /// Whether somebody can log in, so that there is something to configure.
    pub log_in: bool,
}

impl Default for Guests {
    fn default() -> Self {
        Self { kind: GuestKind::Machine, log_in: true }
    }
}

/// The kind of thing that a cloud makes for a system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum GuestKind {
    /// A machine with an operating system of its own, virtual or not.
    #[default]
    Machine,
    /// A container.
    Container,
    /// A function that runs when it is called.
    Function,
}

/// Who makes the first login of a machine whose document has neither a public key nor a password.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FirstLogin {
    /// Nobody: machines have the login of their image, or there is none.
    #[default]
    Image,
    /// The daemon, which keeps it with the machine before the cloud is called.
    Daemon,
}

/// What the daemon is to make of a first login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginPart {
    /// A key pair.
    KeyPair,
    /// A password, for guests without SSH.
    Password,
}

impl FirstLogin {
    /// What is to be made for a machine with this login; none when it can be logged in to as it is.
    #[must_use]
    pub fn lacks(self, login: &Credentials, os: GuestOs) -> Option<LoginPart> {
        let is_given = login.public_key.is_some() || login.password.is_some();
        match (self, os) {
            (Self::Image, _) => None,
            _ if is_given => None,
            (Self::Daemon, GuestOs::Windows) => Some(LoginPart::Password),
            (Self::Daemon, GuestOs::Linux) => Some(LoginPart::KeyPair),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_made_where_there_is_none() {
        let text = || Some("given".to_owned());
        let nothing = Credentials { username: text(), private_key: text(), ..Credentials::default() };
        let key = Credentials { public_key: text(), ..Credentials::default() };
        let password = Credentials { password: text(), ..Credentials::default() };
        let cases = [
            (FirstLogin::Image, GuestOs::Linux, &nothing, None),
            (FirstLogin::Daemon, GuestOs::Linux, &nothing, Some(LoginPart::KeyPair)),
            (FirstLogin::Daemon, GuestOs::Windows, &nothing, Some(LoginPart::Password)),
            (FirstLogin::Daemon, GuestOs::Linux, &key, None),
            (FirstLogin::Daemon, GuestOs::Windows, &password, None),
        ];
        for (first_login, os, login, lacking) in cases {
            assert_eq!(first_login.lacks(login, os), lacking, "{first_login:?} {os:?} {login:?}");
        }
    }
}
