//! Mapping, on the facts of the reference.
#![allow(clippy::unwrap_used)]

use super::*;
use radl::Radl;

fn intent(text: &str) -> VmIntent {
    let radl = Radl::parse(&format!("network net () system front ({text})")).unwrap();
    let system = radl.systems.into_iter().next().unwrap();
    VmIntent {
        infrastructure: "7f3c".to_owned(),
        location: Default::default(),
        uid: VmUid("7f3c-0-a1".to_owned()),
        number: 0,
        fqdn: "front.localdomain".to_owned(),
        requested: system.clone(),
        system,
        networks: radl.networks,
        tags: vec![("my-tag.x".to_owned(), "a \"b\"".to_owned())],
        user_data: Default::default(),
    }
}

#[test]
fn images_are_those_of_the_own_server() {
    for (url, found) in [
        ("one://server.com/1", Some("1")),
        ("one://server.com:2633/my%20image", Some("my image")),
        ("one://server.com/volume/7", Some("7")),
        ("one://server.com.evil/1", None),
        ("one://server.com/", None),
        ("ost://server.com/1", None),
    ] {
        assert_eq!(image(url, "server.com").as_deref(), found, "{url}");
    }
}

#[test]
fn a_machine_is_a_template_with_its_marks() {
    let text = "cpu.count = 2 and memory.size = 4096M and disk.0.image.url = 'one://c/12' and disk.0.size = 20480M and \
        disk.1.size = 1GB and disk.1.device = 'hdb' and availability_zone = '0' and \
        disk.0.os.credentials.username = 'ubuntu' and disk.0.os.credentials.public_key = 'ssh-ed25519 AAAA'";
    let nics = [
        Nic { network: "priv".to_owned(), vnet: 2, group: None, ip: Some("10.0.0.9".to_owned()), public: false },
        Nic { network: "pub".to_owned(), vnet: 1, group: Some(101), ip: None, public: true },
    ];
    let images = BTreeMap::from([("one://c/12".to_owned(), 12)]);
    let settings = OpenNebulaSettings { template_context: "TOKEN=\"YES\"".to_owned(), ..Default::default() };
    let template = machine(&intent(text), &nics, &images, &settings).unwrap();
    let text = template.text();
    for line in [
        "NAME = \"front\"",
        "CPU = \"2\"",
        "VCPU = \"2\"",
        "MEMORY = \"4096\"",
        "OS = [ ARCH = \"x86_64\" ]",
        "DISK = [ IMAGE_ID = \"12\", IM_DISK = \"0\", SIZE = \"20480\" ]",
        "DISK = [ TYPE = \"fs\", FORMAT = \"qcow2\", SAVE = \"no\", SIZE = \"1000\", IM_SIZE = \"1000\", TARGET = \"hdb\", IM_DISK = \"1\" ]",
        "SCHED_REQUIREMENTS = \"CLUSTER_ID=\\\"0\\\"\"",
        "NIC = [ NETWORK_ID = \"1\", IM_NETWORK = \"pub\", SECURITY_GROUPS = \"101\" ]\nNIC = [ NETWORK_ID = \"2\", IM_NETWORK = \"priv\", IP = \"10.0.0.9\" ]",
        "USER_TEMPLATE = [ MY_TAG_X = \"a \\\"b\\\"\" ]",
        "IM_INFRA_ID = \"7f3c\"",
        "IM_VM_UID = \"7f3c-0-a1\"",
        "GRAPHICS = [type=\"vnc\",listen=\"0.0.0.0\"]",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(text.contains("SSH_PUBLIC_KEY = \"ssh-ed25519 AAAA\"") && text.contains(", TOKEN=\"YES\" ]"), "{text}");
    assert!(text.contains("SET_HOSTNAME = \"front.localdomain\", USERNAME = \"ubuntu\""), "{text}");
}

#[test]
fn a_machine_is_observed_as_it_is() {
    let vm = "<VM><ID>7</ID><NAME>front</NAME><STATE>3</STATE><LCM_STATE>3</LCM_STATE><STIME>1700000000</STIME><TEMPLATE>\
        <CPU>1</CPU><MEMORY>1024</MEMORY><DISK><DISK_ID>0</DISK_ID><SIZE>2048</SIZE><TARGET>hda</TARGET></DISK><NIC>\
        <NETWORK>publica</NETWORK><IP>158.42.1.1</IP><IP6_GLOBAL>2001:db8::1</IP6_GLOBAL><IM_NETWORK>pub</IM_NETWORK></NIC>\
        <NIC><IP>10.0.0.1</IP></NIC></TEMPLATE><USER_TEMPLATE><IM_INFRA_ID>inf</IM_INFRA_ID><IM_VM_UID>u</IM_VM_UID>\
        </USER_TEMPLATE></VM>";
    let vm = Element::parse(vm).unwrap();
    let seen = observation(&vm, &PrivateNetworks::default()).unwrap();
    let addresses: Vec<_> =
        seen.addresses.iter().map(|found| (found.ip.to_string(), found.public, found.network.as_deref())).collect();
    let expected = [("158.42.1.1", true, Some("pub")), ("2001:db8::1", true, Some("pub")), ("10.0.0.1", false, None)];
    assert_eq!(addresses, expected.map(|(ip, public, network)| (ip.to_owned(), public, network)));
    assert_eq!(seen.features.integer("memory.size", "M"), Some(1024));
    assert_eq!((seen.features.integer("disk.0.size", "M"), seen.infrastructure.as_deref()), (Some(2048), Some("inf")));
    assert_eq!((uid_in(&vm, "inf"), uid_in(&vm, "other")), (Some(VmUid("u".to_owned())), None));
}

#[test]
fn limits_are_told_in_our_units() {
    let user = "<USER><VM_QUOTA><VM><CPU>100</CPU><CPU_USED>5</CPU_USED><MEMORY>102400</MEMORY><MEMORY_USED>10240</MEMORY_USED>\
        <VMS>-1</VMS><VMS_USED>3</VMS_USED></VM></VM_QUOTA><NETWORK_QUOTA><NETWORK><ID>1</ID><LEASES>3</LEASES>\
        <LEASES_USED>0</LEASES_USED></NETWORK></NETWORK_QUOTA></USER>";
    let vnet = "<VNET><ID>1</ID><NAME>p</NAME><AR_POOL><AR><IP>158.42.1.1</IP><SIZE>9</SIZE></AR></AR_POOL></VNET>";
    let vnet = VirtualNetwork::of(&Element::parse(vnet).unwrap(), &PrivateNetworks::default()).unwrap();
    let quotas = quotas(&Element::parse(user).unwrap(), &[vnet]);
    let of = |name: &str| (quotas[name].limit, quotas[name].used);
    assert_eq!((of("cores"), of("ram"), of("instances")), ((100.0, 5.0), (100.0, 10.0), (-1.0, 3.0)));
    assert_eq!((of("floating_ips"), of("security_groups")), ((3.0, 0.0), (-1.0, 0.0)));
}

#[test]
fn names_of_images_end_with_what_finds_them() {
    assert_eq!(image_name("my image", "u1"), "my image-im-u1");
    assert_eq!(image_name("", "u1"), "-im-u1");
    assert_eq!(image_name("../a\n", "u1"), "..-a-im-u1");
    assert!(image_name(&"\u{e4}".repeat(300), "u1").len() <= LONGEST_NAME);
}
