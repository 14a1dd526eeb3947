//! User data by the rules of docs/spec/connectors.md 2.14 and its example (17).
#![allow(clippy::unwrap_used)]

use super::*;
use crate::VmUid;
use radl::{Network, System};

const KEY: &str = "ssh-ed25519 AAAA... im-7f3c";

fn guest() -> Guest {
    Guest { login: Some(("cloudadm".to_owned(), KEY.to_owned())), ssh_port: 22, windows: false }
}

fn with(recipe: &str) -> UserData {
    UserData { recipe: Some(recipe.to_owned()), ..UserData::default() }
}

/// A text as plain values, however it is written.
fn values(text: &str) -> serde_json::Value {
    fn value(node: &Node) -> serde_json::Value {
        match &node.kind {
            NodeKind::Scalar(text, _) => text.as_str().into(),
            NodeKind::Sequence(items) => items.iter().map(value).collect(),
            NodeKind::Mapping(pairs) => {
                let pair = |(key, item): &(Node, Node)| (key.scalar().unwrap().to_owned(), value(item));
                serde_json::Value::Object(pairs.iter().map(pair).collect())
            }
            NodeKind::Alias(name) => format!("*{name}").into(),
        }
    }
    assert!(text.starts_with("#cloud-config\n"), "{text}");
    value(&yaml::parse(text).unwrap().unwrap())
}

/// The example of the specification, byte for byte in what it says, and in its order.
#[test]
fn a_key_and_a_recipe() {
    let text = with("packages: [jq]\n").text(&guest()).unwrap().unwrap();
    let example = format!(
        "#cloud-config\nmerge_how: list(append)+dict(recurse_array,no_replace)+str()\npackages: [jq]\nusers:\n\
         - name: cloudadm\n  homedir: /opt/cloudadm\n  sudo: ALL=(ALL) NOPASSWD:ALL\n  lock_passwd: true\n  \
         ssh_authorized_keys: [{KEY}]\n"
    );
    assert_eq!(values(&text), values(&example));
    let order = |text: &str| values(text).as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(order(&text), order(&example));
    assert!(!text.contains("ssh-import-id"), "{text}");
}

/// Lists of ours are appended to lists of the recipe; its other keys, its merge mode and its tags stay.
#[test]
fn ours_comes_after_theirs() {
    let data = UserData {
        recipe: Some(
            "#cloud-config\nmerge_how: dict()\nruncmd:\n- [ls, -l]\nusers: [default]\nx: !t 0644\n".to_owned(),
        ),
        packages: vec!["curl".to_owned()],
        commands: vec!["echo \"it's $HOME\" &".to_owned()],
    };
    let guest = Guest { ssh_port: 2222, ..guest() };
    let text = data.text(&guest).unwrap().unwrap();
    let seen = values(&text);
    assert_eq!(seen["merge_how"], "dict()");
    assert_eq!(seen["packages"], serde_json::json!(["curl"]));
    assert_eq!(seen["runcmd"][0], serde_json::json!(["ls", "-l"]));
    assert_eq!(seen["runcmd"][1], "echo \"it's $HOME\" &");
    assert!(seen["runcmd"].to_string().contains("Port 2222"), "{text}");
    assert_eq!((&seen["users"][0], &seen["users"][1]["name"]), (&"default".into(), &"cloudadm".into()));
    assert!(text.contains("x: !t 0644"), "{text}");
}

/// A script is handed over as it is, and behind our own part when there is one; so is what cannot be merged.
#[test]
fn scripts_and_templates_stay_as_they_are() {
    let silent = Guest { login: None, ..guest() };
    let script = "#!/bin/sh\necho hello\n";
    assert_eq!(with(script).text(&silent).unwrap().unwrap(), script.trim());
    for (recipe, kind) in [
        (script, "text/x-shellscript"),
        ("#include\nhttp://example.org/x", "text/x-include-url"),
        ("## template: jinja\n#cloud-config\na: {{ v1.region }}", "text/jinja2"),
        ("#cloud-config\nusers: all", "text/cloud-config"),
        ("#!/bin/sh\necho imd-user-data-0", "text/x-shellscript"),
        ("hello", "text/plain"),
    ] {
        let text = with(recipe).text(&guest()).unwrap().unwrap();
        let boundary = text.split('"').nth(1).unwrap();
        let parts: Vec<&str> = text.split(&format!("--{boundary}")).collect();
        assert_eq!((parts.len(), parts[3]), (4, "--\n"), "{text}");
        assert!(parts[1].contains("Content-Type: text/cloud-config;") && parts[1].contains(KEY), "{text}");
        assert!(parts[2].contains(&format!("Content-Type: {kind};")), "{text}");
        assert!(parts[2].ends_with(&format!("\n\n{}\n\n", recipe.trim())), "{text}");
    }
    // What is not ASCII travels as base64, a message of the user as it is.
    let text = with("#!/bin/sh\necho ñ").text(&guest()).unwrap().unwrap();
    assert!(text.contains("base64\n\nIyEvYmluL3NoCmVjaG8gw7E=\n"), "{text}");
    let message = "Content-Type: multipart/mixed; boundary=\"b\"\n\n--b\n\nx\n--b--";
    let text = with(message).text(&guest()).unwrap().unwrap();
    assert!(text.contains(&format!("\n{message}\n")), "{text}");
}

/// Nothing to say is nothing to send; Windows gets the user's text alone.
#[test]
fn nothing_and_windows() {
    let silent = Guest { login: None, ..guest() };
    assert_eq!(UserData::default().text(&silent).unwrap(), None);
    assert_eq!(with(" \n").text(&silent).unwrap(), None);
    assert_eq!(values(&UserData::default().text(&guest()).unwrap().unwrap())["users"][0]["name"], "cloudadm");
    let windows = Guest { windows: true, ssh_port: 2222, ..guest() };
    assert_eq!(UserData::default().text(&windows).unwrap(), None);
    assert_eq!(with("<powershell>x</powershell>\n").text(&windows).unwrap().unwrap(), "<powershell>x</powershell>");
    let secret = UserData { commands: vec!["curl -H 'Authorization: Bearer s3cret'".to_owned()], ..with("p: hunter2") };
    assert_eq!(format!("{secret:?}"), "UserData { recipe: Some(\"10 bytes\"), commands: 1 }");
}

/// What the intent says of the guest.
#[test]
fn guests() {
    let mut intent = VmIntent {
        infrastructure: "i".to_owned(),
        uid: VmUid("u".to_owned()),
        number: 0,
        fqdn: "a.b".to_owned(),
        location: Default::default(),
        system: System::default(),
        requested: System::default(),
        networks: Vec::new(),
        tags: Vec::new(),
        user_data: UserData::default(),
    };
    assert_eq!(Guest::of(&intent, "cloudadm"), Guest { login: None, ssh_port: 22, windows: false });
    intent.system.features.set_text("disk.0.os.credentials.public_key", &format!("{KEY}\n"));
    assert_eq!(Guest::of(&intent, "cloudadm"), guest());
    intent.system.features.set_text("disk.0.os.credentials.username", "u");
    intent.system.features.set_text("disk.0.os.name", "Windows");
    let mut network = Network { id: "n".to_owned(), ..Network::default() };
    network.features.set_text("outbound", "yes");
    network.features.set_text("outports", "2222-22");
    intent.networks.push(network);
    let login = Some(("u".to_owned(), KEY.to_owned()));
    assert_eq!(Guest::of(&intent, "cloudadm"), Guest { login, ssh_port: 2222, windows: true });
}
