//! The contract between the daemon and a cloud (docs/spec/connectors.md, 1).
//!
//! | module | subject |
//! |---|---|
//! | `connector` | the [`Connector`] trait |
//! | `capabilities` | what a connector can do, and what its machines are |
//! | `mark` | ids, places in a cloud, and marks by which everything is found again |
//! | `intent` | what is to exist; durable before the cloud is called |
//! | `change` | what is asked of a machine that exists |
//! | `observation` | what a cloud says of a machine |
//! | `listing` | images and limits of an account |

mod capabilities;
mod change;
mod connector;
mod intent;
mod listing;
mod mark;
mod observation;

pub use capabilities::{Capabilities, FirstLogin, GuestKind, Guests, LoginPart};
pub use change::{DiskSource, NewDisk, PowerOperation, PublicAddress, Resize};
pub use connector::Connector;
pub use intent::{Candidate, GuestOs, ImageIntent, InfrastructureIntent, SharedResources, VmIntent};
pub use listing::{CloudImage, Quota, is_named};
pub use mark::{Found, ImageUid, InfrastructureMark, Location, ProviderId, VmMark, VmUid};
pub use observation::{Address, MappedPort, Observation, PowerState};
