//! The data key: where it comes from, what it opens, and what a wrong one says.

use imd::store::{
    Keyring,
    sealing::{KeyChange, KeyError, SealError, without_older},
};
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn of_text(text: &str) -> Result<Keyring, KeyError> {
    Keyring::load(Path::new("/nonexistent/key"), Some(text))
}

#[test]
fn a_value_opens_in_its_own_row_only_and_only_unchanged() {
    let keyring = of_text(HEX).unwrap();
    let sealed = keyring.seal(b"row", b"sesame").unwrap();
    assert_eq!(keyring.open(b"row", &sealed).unwrap(), b"sesame");
    assert_eq!(keyring.open(b"other row", &sealed), Err(SealError::Damaged));
    assert_ne!(sealed, keyring.seal(b"row", b"sesame").unwrap(), "a nonce was used twice");
    for at in 0..sealed.len() {
        let mut damaged = sealed.clone();
        damaged[at] ^= 1;
        assert!(keyring.open(b"row", &damaged).is_err(), "byte {at} may be changed");
        assert!(keyring.open(b"row", &sealed[..at]).is_err(), "{at} bytes are enough");
    }
}

#[test]
fn a_new_key_in_front_leaves_old_values_readable_and_owners_equal() {
    let other = "ff".repeat(32);
    let (old, both, new) =
        (of_text(HEX).unwrap(), of_text(&format!("{other}\n{BASE64}\n")).unwrap(), of_text(&other).unwrap());
    let sealed = old.seal(b"row", b"sesame").unwrap();
    assert_eq!(both.open(b"row", &sealed).unwrap(), b"sesame");
    let resealed = both.seal(b"row", b"sesame").unwrap();
    assert_eq!(new.open(b"row", &resealed).unwrap(), b"sesame");
    let error = new.open(b"row", &sealed).unwrap_err();
    assert!(matches!(error, SealError::UnknownKey { .. }) && error.to_string().contains("DATA_KEY_FILE"), "{error}");

    assert_eq!(old.owner_key("user", "pass"), both.owner_key("user", "pass"));
    assert_ne!(old.owner_key("user", "pass"), new.owner_key("user", "pass"));
    assert_ne!(old.owner_key("user", "pass"), old.owner_key("userp", "ass"));
    assert_eq!(old.owner_key("user", "pass").len(), 64);
    assert!(!format!("{both:?}").contains("000102"), "{both:?}");
}

#[test]
fn keys_change_while_they_are_in_use_and_owners_stay() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.key");
    let daemon = Keyring::load(&path, None).unwrap();
    let (sealed, owner) = (daemon.seal(b"", b"old").unwrap(), daemon.owner_key("user", "pass"));
    let load = || Keyring::load(&path, None).unwrap();

    // Prepared: everybody opens with it, nobody seals with it.
    let mut change = KeyChange::begin(&path).unwrap();
    assert!(matches!(KeyChange::begin(&path), Err(KeyError::Busy { .. })));
    let first = change.newest();
    change.prepare().unwrap();
    change.prepare().unwrap();
    assert_eq!((load().newest_mark(), load().owner_key("user", "pass")), (daemon.newest_mark(), owner.clone()));
    let prepared = fs::read_to_string(&path).unwrap();
    // What a killed one left is in nobody's way.
    fs::write(directory.path().join("data.key.new"), "half a ke").unwrap();
    change.rotate().unwrap();
    assert_eq!(change.older(), 1);
    assert_ne!(change.newest(), first);
    let next = prepared.lines().find_map(|line| line.strip_prefix("next=")).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap().lines().next(), Some(next), "the prepared one is used");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    // A value of the new key opens at once, without a restart.
    let resealed = load().seal(b"", b"new").unwrap();
    assert_eq!(daemon.open(b"", &resealed).unwrap(), b"new");
    assert_eq!(daemon.newest_mark(), load().newest_mark());
    assert_eq!(daemon.open(b"", &sealed).unwrap(), b"old");
    change.drop_older().unwrap();
    drop(change);
    assert!(load().open(b"", &sealed).is_err());
    assert_eq!(load().owner_key("user", "pass"), owner);
    assert_eq!(daemon.owner_key("user", "pass"), owner);
    let left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["data.key"]);

    // A file that would lose the owners, or none at all, changes nothing.
    let good = fs::read_to_string(&path).unwrap();
    let other = Keyring::load(&directory.path().join("other"), None).unwrap().seal(b"", b"x").unwrap();
    for bad in [
        format!(
            "{}
{}",
            BASE64,
            good.lines().next().unwrap()
        ),
        "nonsense".to_owned(),
    ] {
        fs::write(&path, bad).unwrap();
        assert!(daemon.open(b"", &other).is_err());
        assert_eq!(daemon.open(b"", &resealed).unwrap(), b"new");
        assert_eq!(daemon.owner_key("user", "pass"), owner);
    }
    let text = format!("{HEX} {BASE64}");
    let kept = without_older(&text).unwrap();
    assert_eq!(of_text(&kept).unwrap().owner_key("u", "p"), of_text(&text).unwrap().owner_key("u", "p"));
    assert!(kept.starts_with(BASE64) && !kept.contains('\n'), "{kept}");
}

#[test]
fn the_key_file_is_made_once_and_for_its_owner_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.key");
    let sealed = Keyring::load(&path, None).unwrap().seal(b"", b"sesame").unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "a draft was left");
    assert_eq!(Keyring::load(&path, None).unwrap().open(b"", &sealed).unwrap(), b"sesame");
    // The environment wins over the file.
    assert!(Keyring::load(&path, Some(HEX)).unwrap().open(b"", &sealed).is_err());

    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let error = Keyring::load(&path, None).unwrap_err();
    assert!(matches!(error, KeyError::Exposed { .. }) && error.to_string().contains("chmod 600"), "{error}");

    for text in ["", "short", &HEX[1..], &format!("{HEX}\n!")] {
        let error = of_text(text).unwrap_err().to_string();
        assert!(error.contains("IM_DATA_KEY") && !error.contains(&HEX[1..]), "{error}");
    }
    // Its directory is made with it, for its owner only.
    Keyring::load(&directory.path().join("new/place/key"), None).unwrap();
    let mode = fs::metadata(directory.path().join("new/place")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let error = Keyring::load(&path.join("key"), None).unwrap_err().to_string();
    assert!(error.contains("DATA_KEY_FILE"), "{error}");
}
