//! What a test can do behind the back of a cloud's API, where the cloud at hand lets it.

use crate::ProviderId;

/// What becomes of a request that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is not done.
    NotDone,
    /// It is done, and the reply is lost.
    ReplyLost,
}

/// The simulated or emulated cloud behind a connector.
pub trait Backstage: Send + Sync {
    /// Lets one request to the cloud fail, by its number from now on (1 is the next one); none lets all of them pass.
    fn fail(&self, request: Option<(u32, Fate)>);

    /// How many requests came since the last [`Backstage::fail`].
    fn requests(&self) -> u32;

    /// Everything that the cloud holds for the account, a text for each thing.
    fn holdings(&self) -> Vec<String>;

    /// Makes a volume that belongs to the user; its URL.
    fn make_users_volume(&self) -> String;

    /// Deletes a volume of the user. False when it is in use, or there is none.
    fn delete_users_volume(&self, url: &str) -> bool;

    /// What the cloud-init of a machine was given.
    fn user_data(&self, machine: &ProviderId) -> Option<String>;

    /// Makes a network that belongs to the user; its `provider_id`. None where users have no networks of their own.
    fn make_users_network(&self) -> Option<String> {
        None
    }

    /// Lets the account have so many machines and no more; none takes the limit away. False where there is no such limit.
    fn limit_machines(&self, _most: Option<u32>) -> bool {
        false
    }

    /// Turns away the next requests, as an API does that is asked too often. False where it never does.
    fn throttle(&self, _requests: u32) -> bool {
        false
    }
}
