//! The pure part of the access phase: addresses, ports, the master, proxies, credentials.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::{
    contract::{ErrorCode, InstalledCredentials, KeyPair, VmFacts, VmPower},
    ssh::{Endpoint, Login},
};
use radl::{Configure, Network, Radl, System};
use std::sync::Arc;

/// A machine with interfaces (network, address); networks whose name starts with `pub` are public.
fn vm(id: u32, interfaces: &[(&str, &str)]) -> VmFacts {
    let mut system = System { name: format!("s{id}"), ..System::default() };
    let mut info = Radl::default();
    for (i, (network, ip)) in interfaces.iter().enumerate() {
        system.features.set_text(&format!("net_interface.{i}.connection"), network);
        if !ip.is_empty() {
            system.features.set_text(&format!("net_interface.{i}.ip"), ip);
        }
        let mut network = Network { id: (*network).to_owned(), ..Network::default() };
        network.features.set_text("outbound", if network.id.starts_with("pub") { "yes" } else { "no" });
        info.networks.push(network);
    }
    system.features.set_text("disk.0.os.credentials.username", "u");
    info.systems.push(system);
    VmFacts {
        id,
        provider_id: String::new(),
        cloud_type: String::new(),
        cloud_server: String::new(),
        power: VmPower::Running,
        info: Arc::new(info),
        host_key: None,
        proxy_host_key: None,
        creation_id: id,
        tunnel_key: None,
        former_secrets: Vec::new(),
    }
}

fn change(mut vm: VmFacts, change: impl FnOnce(&mut Radl)) -> VmFacts {
    change(Arc::make_mut(&mut vm.info));
    vm
}

fn ports(rules: &str) -> u16 {
    change(vm(1, &[("pub", "1.2.3.4")]), |info| info.networks[0].features.set_text("outports", rules)).info.ssh_port()
}

/// Cases: M-11.
#[test]
fn the_ssh_port_is_the_last_redirection_of_22() {
    for (rules, port) in [
        ("80,443", 22),
        ("2222-22", 2222),
        ("2222/tcp-22/tcp,8080-80", 2222),
        ("2222-22,10.0.0.0/8-2223-22", 2223),
        ("22/udp", 22),
        ("5000/udp-22/udp", 22),
        ("10:30", 22),
        ("22", 22),
        ("nonsense-22", 22),
    ] {
        assert_eq!(ports(rules), port, "{rules}");
    }
}

/// Cases: M-16, M-21, M-22.
#[test]
fn addresses_come_in_the_order_to_try() {
    let places = |vm: &VmFacts| addresses_of(vm).iter().map(Endpoint::to_string).collect::<Vec<_>>();
    let redirect = |info: &mut Radl| info.networks[1].features.set_text("outports", "2222-22");
    let both = change(vm(3, &[("priv", "10.0.0.3"), ("pub", "1.2.3.4")]), redirect);
    assert_eq!(places(&both), ["10.0.0.3:2222", "10.0.0.3:22", "1.2.3.4:2222", "1.2.3.4:22"]);
    assert_eq!(places(&vm(3, &[("priv", "10.0.0.3")])), ["10.0.0.3:22", "127.0.0.1:20003"]);
    assert_eq!(places(&vm(3, &[("pub", "1.2.3.4")])), ["1.2.3.4:22"]);
    assert!(places(&vm(3, &[("pub", "")])).is_empty());
    let own = KeyPair { public: "ssh-ed25519 AAAA".to_owned(), private: "x".to_owned() };
    assert_eq!(Target::of(&vm(3, &[("pub", "")]), &own).unwrap_err().code, ErrorCode::NoIp);
}

/// Cases: M-01, M-02, M-03.
#[test]
fn the_master_is_the_best_connected_linux_machine_in_reach() {
    let radl = Radl::default();
    let worker = |id| vm(id, &[("priv", "10.0.0.9")]);
    let front = |id| vm(id, &[("pub", "1.1.1.1"), ("priv", "10.0.0.2")]);
    let alone = |id| vm(id, &[("pub", "1.1.1.2")]);
    let windows = |vm| change(vm, |info| info.systems[0].features.set_text("disk.0.os.name", "windows"));
    assert_eq!(master::select(&[alone(0), front(1), worker(2), worker(3)], &radl), Some(1));
    assert_eq!(master::select(&[alone(7), alone(4)], &radl), Some(4));
    assert_eq!(master::select(&[worker(2), windows(front(1))], &radl), None);
    assert_eq!(master::select(&[VmFacts { power: VmPower::Down, ..front(0) }, alone(1)], &radl), Some(1));
    let off = Radl { configures: vec![Configure { name: "s1".to_owned(), ..Configure::default() }], ..Radl::default() };
    assert_eq!(master::select(&[alone(0), front(1), worker(2)], &off), Some(0));
    let proxied = change(worker(2), |info| info.networks[0].features.set_text("proxy_host", "u:p@jump.example"));
    assert_eq!(master::select(&[proxied, worker(3)], &radl), Some(2));
}

/// Cases: M-14, M-15.
#[test]
fn a_proxy_needs_credentials_of_its_own() {
    let proxied = |host: &str, key: Option<&str>| {
        Proxy::of(
            &change(vm(1, &[("priv", "10.0.0.1")]), |info| {
                info.networks[0].features.set_text("proxy_host", host);
                if let Some(key) = key {
                    info.networks[0].features.set_text("proxy_key", key);
                }
            })
            .info,
        )
    };
    assert_eq!(
        proxied("me:p@ss:word@10.1.1.1:2200", Some("k")),
        Ok(Some(Proxy {
            endpoint: Endpoint::new("10.1.1.1", 2200),
            user: "me".to_owned(),
            logins: vec![Login::Password("p@ss:word".to_owned()), Login::PrivateKey("k".to_owned())],
            host_key: None,
        }))
    );
    assert_eq!(proxied("me@jump", Some("k")).unwrap().unwrap().endpoint.port, 22);
    let six = proxied("me:p@[2001:db8::1]:2200", None).unwrap().unwrap();
    assert_eq!(six.endpoint, Endpoint::new("2001:db8::1", 2200));
    for none in [proxied("me@jump", None), proxied("me:@jump", Some(" "))] {
        assert_eq!(none, Err(InvalidProxy::NoCredentials));
    }
    for form in ["jump", "@jump", "me@", "me@jump:", "me@jump:0", "me@jump:65536", "me@[::1", "me@[x]:22", "me@:22", ""]
    {
        assert_eq!(proxied(form, Some("k")), Err(InvalidProxy::Form), "{form}");
    }
    for odd in
        ["-oProxyCommand=id@jump", "$(id)@jump", "a b@jump", "me@-jump", "me@$(id)", "me@j`id`", "../x@jump", "me@a\nb"]
    {
        assert!(matches!(proxied(odd, Some("k")), Err(InvalidProxy::Characters(_))), "{odd}");
    }
    assert_eq!(proxied("me:a\nb@jump", None), Err(InvalidProxy::Characters("password")));
    // Its host key is remembered with its place: another server's does not count.
    let here = proxied("me@jump", Some("k")).unwrap().unwrap();
    let kept = here.remember("ssh-ed25519 AAAA");
    assert_eq!(here.clone().recall(Some(&kept)).host_key.as_deref(), Some("ssh-ed25519 AAAA"));
    assert_eq!(proxied("me@jump:2200", Some("k")).unwrap().unwrap().recall(Some(&kept)).host_key, None);
    assert!(here.name().chars().all(|c| c.is_ascii_hexdigit()));
    assert_eq!(Proxy::of(&vm(1, &[("priv", "10.0.0.1")]).info), Ok(None));
}

#[test]
fn credentials_are_tried_oldest_first_and_changed_only_whole() {
    let own = KeyPair { public: "ssh-ed25519 OWN".to_owned(), private: "own".to_owned() };
    let with = |features: &[(&str, &str)]| {
        let vm = change(vm(1, &[("pub", "1.1.1.1")]), |info| {
            for (name, value) in features {
                info.systems[0].features.set_text(&format!("disk.0.os.credentials.{name}"), value);
            }
        });
        Target::of(&vm, &own).unwrap()
    };
    let all = with(&[
        ("password", "old"),
        ("private_key", "oldkey"),
        ("new.password", "new"),
        ("new.public_key", "ssh-rsa NEW"),
        ("new.private_key", "newkey"),
    ]);
    let (password, key) = (|t: &str| Login::Password(t.to_owned()), |t: &str| Login::PrivateKey(t.to_owned()));
    assert_eq!(
        all.logins,
        [
            (LoginKind::Initial, password("old")),
            (LoginKind::Initial, key("oldkey")),
            (LoginKind::New, password("new")),
            (LoginKind::New, key("newkey")),
            (LoginKind::Infrastructure, key("own")),
        ]
    );
    assert_eq!(all.task.new_password.as_deref(), Some("new"));
    assert_eq!(all.task.authorize, ["ssh-ed25519 OWN", "ssh-rsa NEW"]);
    assert_eq!(all.installs, InstalledCredentials { password: true, key: true });
    // No password to replace, and only half a key: nothing is changed, and the user hears of it.
    let half = with(&[("private_key", "oldkey"), ("new.password", "new"), ("new.public_key", "ssh-rsa NEW")]);
    assert_eq!((half.task.new_password, half.installs, half.notes.len()), (None, InstalledCredentials::default(), 2));
    // The password is changed whatever becomes of the key.
    let one = with(&[("password", "old"), ("new.password", "new"), ("new.private_key", "newkey")]);
    assert_eq!((one.installs, one.notes.len()), (InstalledCredentials { password: true, key: false }, 1));
    assert_eq!(half.task.authorize, ["ssh-ed25519 OWN"]);
    let shown = format!("{all:?}", all = with(&[("password", "secret1"), ("new.password", "secret2")]));
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn winrm_is_where_its_port_leads() {
    let places = |vm: &VmFacts| winrm_addresses(vm).iter().map(Endpoint::to_string).collect::<Vec<_>>();
    let redirect = |info: &mut Radl| info.networks[1].features.set_text("outports", "2222-22,15986-5986");
    let both = change(vm(3, &[("priv", "10.0.0.3"), ("pub", "1.2.3.4")]), redirect);
    assert_eq!(places(&both), ["10.0.0.3:15986", "10.0.0.3:5986", "1.2.3.4:15986", "1.2.3.4:5986"]);
    // No tunnel of SSH leads there.
    assert_eq!(places(&vm(3, &[("priv", "10.0.0.3")])), ["10.0.0.3:5986"]);
}
