//! The behaviour that every connector owes the daemon (docs/spec/connectors.md, 13), as cases to run against a cloud at
//! hand. A case panics with what went wrong, uses infrastructures of its own and leaves nothing behind; one about something
//! that the cloud does not offer, or that its test cannot arrange, says so and ends.
//!
//! [`conformance!`](crate::conformance!) makes one test of each case, so that one of them can be run by its name.
//!
//! | module | subject |
//! |---|---|
//! | `subject` | the connector under test, and what cases have in common |
//! | `backstage` | what a test can do behind the back of the API |
//! | `faults` | layers that put faults between the daemon and the cloud |
//! | `launching`, `finding`, `power`, `altering`, `images`, `networks`, `deleting` | cases by operation |
//! | `ownership`, `credentials`, `refusals` | cases about who may do what, and what is not offered |
//! | `account` | limits, throttling, a daemon that died: faults of the cloud itself |
//! | `steps` | every request of a machine's life fails once |

mod account;
mod altering;
mod backstage;
mod credentials;
mod deleting;
mod faults;
mod finding;
mod images;
mod launching;
mod networks;
mod ownership;
mod power;
mod refusals;
mod steps;
mod subject;

pub use account::{
    adopts_what_a_dead_daemon_made, goes_on_when_the_cloud_throttles, refuses_an_unknown_image,
    refuses_more_than_the_quota,
};
pub use altering::{adds_and_takes_a_public_address, adds_disks_as_asked_or_refuses, changes_sizes};
pub use backstage::{Backstage, Fate};
pub use credentials::{says_that_credentials_are_wrong, says_that_credentials_expired};
pub use deleting::deletes_what_is_there_and_what_is_not;
pub use faults::{LoseReplies, Throttle};
pub use finding::{finds_by_mark_and_keeps_infrastructures_apart, finds_more_than_a_page, observes_what_exists};
pub use images::{lists_images_that_can_be_used, makes_and_deletes_images, tells_limits};
pub use launching::{
    creates_one_machine_per_uid, hands_over_user_data, keeps_the_quota, launches_fifty_machines,
    launches_five_machines, launches_one_machine, makes_one_machine_when_replies_are_lost, waits_when_throttled,
};
pub use networks::makes_another_of_a_document_that_comes_again;
pub use ownership::{leaves_machines_of_others_alone, leaves_networks_of_users_alone, leaves_volumes_of_users_alone};
pub use power::changes_power;
pub use refusals::{cleans_up_what_it_refused, refuses_what_it_does_not_offer};
pub use steps::{goes_on_after_any_failed_request, leaves_nothing_when_given_up_at_any_request};
pub use subject::{Case, Subject};

/// One test for each case of the suite, named like it. `$test` is an `async fn(&str, Case)` that makes a [`Subject`], runs
/// the case on it, and looks whether the cloud is empty again; the text is the name of the case. Attributes before it are
/// those of each test.
///
/// ```text
/// async fn conforms(_name: &str, case: Case) {
///     case(&Subject::new(connector(), system(), networks())).await;
/// }
///
/// mod conformance { connectors::conformance!(super::conforms); }
/// ```
#[macro_export]
macro_rules! conformance {
    ($(#[$attribute:meta])* $test:path) => {
        $crate::conformance! { $(#[$attribute])* $test =>
            launches_one_machine
            launches_five_machines
            launches_fifty_machines
            creates_one_machine_per_uid
            hands_over_user_data
            makes_one_machine_when_replies_are_lost
            waits_when_throttled
            finds_by_mark_and_keeps_infrastructures_apart
            finds_more_than_a_page
            observes_what_exists
            changes_power
            changes_sizes
            adds_disks_as_asked_or_refuses
            adds_and_takes_a_public_address
            makes_and_deletes_images
            lists_images_that_can_be_used
            tells_limits
            makes_another_of_a_document_that_comes_again
            deletes_what_is_there_and_what_is_not
            leaves_machines_of_others_alone
            leaves_volumes_of_users_alone
            leaves_networks_of_users_alone
            says_that_credentials_expired
            says_that_credentials_are_wrong
            refuses_more_than_the_quota
            refuses_an_unknown_image
            goes_on_when_the_cloud_throttles
            adopts_what_a_dead_daemon_made
            refuses_what_it_does_not_offer
            cleans_up_what_it_refused
            goes_on_after_any_failed_request
            leaves_nothing_when_given_up_at_any_request
        }
    };
    ($(#[$attribute:meta])* $test:path => $($case:ident)*) => {
        $crate::conformance! { @each [$(#[$attribute])*] $test => $($case)* }
    };
    (@each $attributes:tt $test:path => $($case:ident)*) => {
        $($crate::conformance! { @one $attributes $test => $case })*
    };
    (@one [$(#[$attribute:meta])*] $test:path => $case:ident) => {
        #[tokio::test(flavor = "multi_thread")]
        $(#[$attribute])*
        async fn $case() {
            let case: $crate::conformance::Case = |subject| Box::pin($crate::conformance::$case(subject));
            $test(stringify!($case), case).await;
        }
    };
}
