//! Settings that are refused.

use super::super::{LocalCloud, LocalSettings};
use crate::error::ErrorClass;

#[test]
fn settings_that_would_do_harm_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |change: fn(&mut LocalSettings)| {
        let mut settings =
            LocalSettings { enabled: true, state_dir: folder.path().join("state"), ..LocalSettings::default() };
        change(&mut settings);
        LocalCloud::open(settings).unwrap_err()
    };
    assert_eq!(refused(|s| s.enabled = false).class, ErrorClass::Denied);
    assert!(refused(|s| s.public_pool = "8.8.0.0/16".parse().unwrap()).message.contains("PUBLIC_POOL"));
    assert!(refused(|s| s.private_pool = "10.0.0.0/25".parse().unwrap()).message.contains("PRIVATE_POOL"));
    assert_eq!(refused(|s| s.private_pool = s.public_pool).class, ErrorClass::Invalid);
    assert!(refused(|s| s.hide.push("/a,b".into())).message.contains("HIDE"));
    assert!(refused(|s| s.state_dir = "/var/../etc".into()).message.contains("STATE_DIR"));
    assert!(!folder.path().join("state").exists(), "refused before anything is made");
}
