//! What the daemon does with documents beyond the vectors.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use radl::{Radl, cidr, names::Defaults, placement};

#[test]
fn redirected_ports_are_written_back() {
    let mut radl = Radl::parse(
        "network p (outbound = 'yes' and outports = '80,2222-22,53/udp,10.0.0.0/8-9000:9100')\nnetwork i ()\nsystem s ()",
    )
    .unwrap();
    radl.redirect_port(10022, 22, "T");
    let outports = radl.network("p").unwrap().features.text("outports").unwrap();
    assert_eq!(outports, "10022-22,80-80,53/udp-53/udp,10.0.0.0/8-9000:9100/tcp");
    assert_eq!((radl.ssh_port(), radl.outside_port(5986)), (10022, 5986));
    radl.check().unwrap();

    let mut private = Radl::parse("network i ()\nsystem s (net_interface.0.connection = 'i')").unwrap();
    private.redirect_port(10022, 22, "T");
    private.check().unwrap();
    assert_eq!(private.ssh_port(), 10022);
    assert_eq!(private.systems[0].interface_on("public.T"), Some(1));
}

/// `dns.0.name` goes before `dns_name`, in the name of the machine and in the records of its domain.
#[test]
fn both_forms_of_a_name_are_one_name() {
    let system = |body: &str| {
        let body = format!("net_interface.0.connection = 'n' and net_interface.0.ip = '192.0.2.1' and {body}");
        Radl::parse(&format!("network n ()\nsystem s ({body})")).unwrap().systems.remove(0)
    };
    let defaults = Defaults { host: Some("vnode-#N#.ignored"), domain: Some("example.org") };
    let (new, old) = ("net_interface.0.dns.0.name = 'new-#N#.lab'", "net_interface.0.dns_name = 'old-#N#'");
    for (body, host, domain) in [
        (format!("{old} and {new}"), "new-7", "lab"),
        (new.to_owned(), "new-7", "lab"),
        (old.to_owned(), "old-7", "example.org"),
        ("x = 'y'".to_owned(), "vnode-7", "example.org"),
    ] {
        let system = system(&body);
        let name = system.requested_name(0, Some(7), defaults).unwrap();
        assert_eq!(name, (host.to_owned(), Some(domain.to_owned())), "{body}");
        let records = system.dns_entries(7, defaults);
        let name = &records[0].name;
        assert_eq!((name.host.as_str(), name.domain.clone()), (host, format!("{domain}.")), "{body}");
    }
}

/// Both forms of a name are written back with the number of the machine, and the default one only where there is none.
#[test]
fn names_are_written_back_in_their_form() {
    let named = |body: &str| {
        let body = format!("net_interface.0.connection = 'n' and {body}");
        let mut system = Radl::parse(&format!("network n ()\nsystem s ({body})")).unwrap().systems.remove(0);
        system.fill_in_names(7, "vnode-#N#");
        ["dns_name", "dns.0.name", "dns.1.name"]
            .map(|name| system.features.text(&format!("net_interface.0.{name}")).map(str::to_owned))
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(named("x = 'y'"), [text("vnode-7"), None, None]);
    assert_eq!(named("net_interface.0.dns_name = 'a-#N#'"), [text("a-7"), None, None]);
    let numbered = "net_interface.0.dns.0.name = 'b-#N#.lab' and net_interface.0.dns.1.name = 'c-#N#.lab'";
    assert_eq!(named(numbered), [None, text("b-7.lab"), text("c-7.lab")]);
    let both = format!("{numbered} and net_interface.0.dns_name = 'a-#N#'");
    assert_eq!(named(&both), [text("a-7"), text("b-7.lab"), text("c-7.lab")]);
}

/// One record for each name and address; a secret in front of a name is neither in its record nor in the name of the machine.
#[test]
fn records_are_of_all_names_and_both_families() {
    let system = |body: &str| {
        let ips = "net_interface.0.ip = '192.0.2.1' and net_interface.0.ipv6 = '2001:db8::1'";
        let body = format!("net_interface.0.connection = 'n' and {ips} and {body}");
        Radl::parse(&format!("network n ()\nsystem s ({body})")).unwrap().systems.remove(0)
    };
    let defaults = Defaults { host: None, domain: Some("localdomain") };
    let of = |body: &str| {
        let entries = system(body).dns_entries(7, defaults);
        let text = |e: &radl::names::DnsEntry| {
            let secret = e.name.secret.clone().unwrap_or_default();
            format!("{}|{}|{secret}|{}", e.name.host, e.name.domain, e.address)
        };
        entries.iter().map(text).collect::<Vec<_>>()
    };
    let both = |name: &str| ["192.0.2.1", "2001:db8::1"].map(|address| format!("{name}|{address}"));
    assert_eq!(of("net_interface.0.dns_name = 'a-#N#.example.org'"), both("a-7|example.org.|"));
    assert_eq!(of("net_interface.0.dns_name = 'dydns:s@a.example.org'"), both("a|example.org.|s"));
    let named = system("net_interface.0.dns_name = 'dydns:s@a.example.org'").requested_name(0, None, defaults);
    assert_eq!(named.map(|(host, _)| host).as_deref(), Some("a"));
    let names = "net_interface.0.dns.0.name = 'x' and net_interface.0.dns.1.name = 'y.z@example.org' and \
                 net_interface.0.additional_dns_names = ['dydns:t@w@example.net', '*.example.net', 'v']";
    let expected = ["y.z|example.org.|", "w|example.net.|t", "*|example.net.|"].map(both).concat();
    assert_eq!(of(names), expected);
}

#[test]
fn candidates_start_from_the_system_and_the_defaults() {
    let features = |body: &str| Radl::parse(&format!("system s ({body})")).unwrap().systems.remove(0);
    let system = features(
        "memory.size >= 4G and disk.0.applications contains (name = 'a') and soft 3 (cpu.arch = 'arm') and x = 'y'",
    );
    let defaults = features("cpu.count >= 1 and memory.size >= 512M and cpu.arch = 'x86_64'").features;
    let base = placement::base(&system, &defaults);
    assert_eq!(base.constraints(), ["memory.size >= 4G", "soft 3 ( cpu.arch = 'arm' )", "x = 'y'", "cpu.count >= 1"]);
}

#[test]
fn ranges_are_the_first_free_ones() {
    let used = ["10.0.1.0/24", "10.0.2.0/23"].map(|range| range.parse().unwrap());
    let first = |cidr: Option<&str>, init| cidr::first_free(cidr, init, &used).map(|range| range.to_string());
    assert_eq!(first(None, 0).as_deref(), Some("10.0.4.0/24"));
    assert_eq!(first(None, 9).as_deref(), Some("10.0.10.0/24"));
    assert_eq!(first(Some("10.0.3.0/24"), 0), None);
    assert_eq!(first(Some("10.*.*.*.*.*/24"), 0), None);
    assert_eq!(first(Some("nonsense"), 0), None);
}

#[test]
fn properties_read_as_values() {
    let system = Radl::parse(
        "system s (memory.size >= 1G and memory.size <= 2G and price = 0.5 and state = 'running' and l = ['a','b'] and \
         disk.0.applications contains (name = 'a' and version = '1') and disk.0.applications contains (name = 'b'))",
    )
    .unwrap()
    .systems
    .remove(0);
    let json = |name| system.features.value_json(name).map(|value| value.to_string());
    assert_eq!(json("memory.size").as_deref(), Some("1000000000"));
    assert_eq!(json("price").as_deref(), Some("0.5"));
    assert_eq!(json("state").as_deref(), Some("\"running\""));
    assert_eq!(json("disk.0.applications").as_deref(), Some(r#"{"a":{"name":"a","version":"1"},"b":{"name":"b"}}"#));
    assert_eq!(json("nothing"), None);
    let text = |name| radl::json::bare_text(&system.features.value_json(name).unwrap());
    assert_eq!(text("memory.size").as_deref(), Some("1000000000"));
    assert_eq!(text("state").as_deref(), Some("running"));
    assert_eq!(text("l").as_deref(), Some("a\nb"));
    assert_eq!(text("disk.0.applications"), None);
}

#[test]
fn what_is_probably_a_slip_is_told() {
    let warnings = |text: &str| {
        let radl = Radl::parse(text).unwrap();
        radl.check().unwrap();
        radl.warnings()
    };
    assert_eq!(
        warnings("system s (speed = 5PB and a = 1 and\n soft 2 (weight >= 12 parsecs) and memory.size = 1G)"),
        ["speed", "weight"]
            .map(|name| format!("system s: the unit of {name} means nothing: the number counts as it stands"))
    );
    let small =
        |name: &str| format!("system s: {name} is less than a megabyte: without a unit (M, G, ...) it counts bytes");
    assert_eq!(
        warnings("system s (memory.size = 2 and disk.0.size >= 10 and soft 1 (disks.free_size <= 20K))"),
        ["memory.size", "disk.0.size", "disks.free_size"].map(small)
    );
    assert_eq!(
        warnings("system s (memory.size >= 0 and disk.0.size = 1M and disk.0.sizes = 2 and cpu.count = 2)"),
        <[String; 0]>::default()
    );
    let many: String = (0..99).map(|n| format!("system s{n} (memory.size = 2)\n")).collect();
    assert_eq!(warnings(&many).len(), radl::warnings::MAX_WARNINGS);
}

#[test]
fn large_numbers_are_exact_or_refused() {
    let count = |body: &str| Radl::parse(&format!("system s ({body})")).map(|radl| radl.to_json()[0]["n"].to_string());
    assert_eq!(count("n = 9007199254740993").unwrap(), "9007199254740993");
    assert!(count("n = 9007199254740993 and n = 9007199254740992").is_err(), "not equal, though they are as floats");
    assert!(count("n = 9223372036854775808").unwrap_err().message().contains("too large"));
    assert!(count("n = 9223372036T").unwrap_err().message().contains("too large"));
    let json = r#"[{"class": "system", "id": "s", "n": 18446744073709551615}]"#;
    assert!(Radl::from_json(json).unwrap_err().message().contains("too large"));
}

#[test]
fn errors_of_the_json_form_say_where() {
    let error = Radl::from_json("[\n  {\"class\": }\n]").unwrap_err();
    assert_eq!((error.kind().as_str(), error.position().unwrap().line, error.line()), ("json", 2, None));
    let refused = |json: &str| Radl::from_json(json).unwrap_err().message();
    assert!(refused(r#"[{"class": "system", "id": "two words"}]"#).contains("'id' in system object (0)"));
    assert!(refused(r#"[{"class": "system", "id": 5}]"#).contains("'id' in system object (0)"));
    assert!(refused(r#"[{"class": "system", "id": "s", "two words": 1}]"#).contains("Key 3"));
    assert!(refused(r#"[{"class": "system", "id": "s", "softs": 1}]"#).contains("'softs'"));
    let index = Radl::from_json(r#"[{"class": "system", "id": "s", "disk.01.size": 1}]"#).unwrap();
    assert!(index.check().unwrap_err().message().contains("expected an index"));
}

/// What could never be done on a machine is refused when the document comes, in text and in JSON: passwords that no tool
/// takes in, external hosts that nobody can log in to.
///
/// Cases: K-03.
#[test]
fn documents_that_no_machine_could_follow_are_refused() {
    let ansible = |features: &str| format!("ansible a ({features})\nsystem s ()");
    let secret = |name: &str, text: &str| format!("system s (disk.0.os.credentials.{name} = '{text}')");
    for (text, complaint) in [
        (secret("password", "a\nb"), "disk.0.os.credentials.password"),
        (secret("new.password", "Good-1234\nroot:b"), "disk.0.os.credentials.new.password"),
        (ansible("credentials.username = 'u' and credentials.password = 'p'"), "must have a host"),
        (ansible("host = 'h' and credentials.password = 'p'"), "must have a credentials.username"),
        (ansible("host = 'h' and credentials.username = 'u'"), "must have a credentials.password or"),
        (ansible("host = '' and credentials.username = 'u' and credentials.password = 'p'"), "'host'"),
        ("system s (ansible_host = 'nowhere')".to_owned(), "'ansible_host'"),
    ] {
        let radl = Radl::parse(&text).unwrap();
        let error = radl.check().unwrap_err().to_string();
        assert!(error.contains(complaint), "{text}: {error}");
        let json = Radl::from_json(&radl.to_json().to_string()).unwrap();
        assert!(json.check().unwrap_err().to_string().contains(complaint), "{text}");
    }
    let awkward = "A1'\"$(id)\\`: {{ 1 }} é#;|&% ".replace('\\', "\\\\").replace('\'', "\\'");
    Radl::parse(&secret("new.password", &awkward)).unwrap().check().unwrap();
}
