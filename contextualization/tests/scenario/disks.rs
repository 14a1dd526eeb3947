//! Data disks and address translation. The disks are loop devices with the names of real ones; they are detached at the
//! end, whatever happens.

use crate::{
    checkpoints::Memory,
    documents::{contextualize, document, job},
    lab::{self, Lab, Node},
};
use contextualization::{ErrorCode, Outcome, VmFacts, ssh::keys};
use radl::Features;
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};
use tokio::{io::AsyncReadExt, net::TcpListener, sync::watch};

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Minor number of a device, as /sys writes it.
fn minor_of(device: u64) -> String {
    nix::sys::stat::minor(device).to_string()
}

/// A disk of 32 MiB behind a loop device.
struct Disk {
    device: String,
    _file: tempfile::NamedTempFile,
}

impl Disk {
    fn new() -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(32 << 20).unwrap();
        let device = run("losetup", &["--find", "--show", "--partscan", file.path().to_str().unwrap()]);
        Self { device, _file: file }
    }

    /// Gives the disk, and its partitions as they appear, device files below `dev`, as udev would.
    fn appear(&self, dev: &Path, name: &str) {
        let sys = PathBuf::from("/sys/block").join(self.device.trim_start_matches("/dev/"));
        let make = |sys: &Path, name: &str| {
            let path = dev.join(name);
            if let Ok(number) = fs::read_to_string(sys.join("dev"))
                && let Some((major, minor)) = number.trim().split_once(':')
                && fs::metadata(&path).map(|file| minor_of(file.rdev())).ok().as_deref() != Some(minor)
            {
                let _ = fs::remove_file(&path);
                run("mknod", &[path.to_str().unwrap(), "b", major, minor]);
            }
        };
        make(&sys, name);
        let base = sys.file_name().unwrap().to_str().unwrap().to_owned();
        let partition = sys.join(format!("{base}p1"));
        let separator = if name.ends_with(|c: char| c.is_ascii_digit()) { "p" } else { "" };
        make(&partition, &format!("{name}{separator}1"));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Both may have nothing to do.
        for device in [format!("{}p1", self.device), self.device.clone()] {
            let _ = Command::new("swapoff").arg(device).stderr(std::process::Stdio::null()).status();
        }
        let _ = Command::new("losetup").args(["--detach", &self.device]).status();
    }
}

/// `disk.N.*` of a machine.
fn disk(features: &mut Features, n: usize, device: &str, fstype: &str, path: Option<&str>) {
    features.set_number(&format!("disk.{n}.size"), 1, "G");
    features.set_text(&format!("disk.{n}.device"), device);
    features.set_text(&format!("disk.{n}.fstype"), fstype);
    if let Some(path) = path {
        features.set_text(&format!("disk.{n}.mount_path"), path);
    }
}

const PATH: &str = "/data/{{ 1 + 1 }} with blanks";

/// Cases: N-01, N-02, N-03, N-04, N-05, N-06.
#[test]
fn data_disks() {
    if !lab::inside("disks::data_disks") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let names = ["sdb", "vdb", "xvdb", "nvme1n1"];
        let nodes = [Node::new("n0", 11), Node::new("n1", 12), Node::new("n2", 13), Node::new("n3", 14)];
        let bad = Node::new("bad", 15);
        let lab = Lab::new();
        nodes.iter().chain([&bad]).for_each(|node| lab.start(node));
        let features = |facts: &mut VmFacts, change: &dyn Fn(&mut Features)| {
            change(&mut Arc::make_mut(&mut facts.info).systems[0].features);
        };
        let systems = ["s0", "s1", "s2", "s3"];
        let mut facts: Vec<VmFacts> =
            (0..4).map(|n| lab.facts(n as u32, systems[n], &nodes[n])).collect();
        // The same request finds its disk under four names. Two more disks: swap, and one that holds something.
        facts.iter_mut().for_each(|facts| features(facts, &|f| disk(f, 1, "hdb", "ext4", Some(PATH))));
        features(&mut facts[0], &|f| {
            disk(f, 2, "hdc", "swap", None);
            disk(f, 3, "/dev/hdd", "ext4", Some("/precious"));
        });
        // A disk that is not there; the others of that machine were done before.
        facts.push(lab.facts(4, "bad", &bad));
        features(&mut facts[4], &|f| disk(f, 1, "hdz", "ext4", Some("/z")));

        let disks: Vec<Disk> = (0..6).map(|_| Disk::new()).collect();
        let precious = &disks[5];
        run("mkfs.ext4", &["-q", &precious.device]);
        let mounted = tempfile::tempdir().unwrap();
        run("mount", &[&precious.device, mounted.path().to_str().unwrap()]);
        fs::write(mounted.path().join("kept"), "here").unwrap();
        run("umount", &[mounted.path().to_str().unwrap()]);
        let devs: Vec<PathBuf> = nodes.iter().map(|node| lab.path(node, "/dev")).collect();
        let places = || {
            for n in 0..4 {
                disks[n].appear(&devs[n], names[n]);
            }
            disks[4].appear(&devs[0], "sdc");
            precious.appear(&devs[0], "vdd");
        };
        places();
        let key = keys::generate(Default::default()).unwrap();
        let (_vms, receiver) = watch::channel(Arc::new(facts.clone()));
        let swaps = |lab: &Lab| lab.shell(&nodes[0], "grep -c /dev/sdc1 /proc/swaps; grep -c swap /etc/fstab").1;

        for generation in [1, 2] {
            let memory = Arc::new(Memory::default());
            let udev = async {
                loop {
                    places();
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            };
            let outcome = tokio::select! {
                outcome = contextualize(job(document(&facts, vec![], vec![]), receiver.clone(), generation, &key), &memory) => outcome,
                () = udev => unreachable!(),
            };
            assert_eq!(outcome, Outcome::Done, "{}", memory.dump());
            let seen = memory.0.lock().unwrap();
            for vm in 0..4 {
                assert_eq!(seen.results[&vm], Ok(()), "{}", seen.logs[&vm]);
                assert!(generation == 1 || !seen.logs[&vm].contains("changed: "), "{}", seen.logs[&vm]);
            }
            let error = seen.results[&4].clone().unwrap_err();
            assert_eq!(error.code, ErrorCode::DiskNotFound, "{error:?}");
            assert!(error.message.contains("hdz"), "{error:?}");
            for (node, name) in nodes.iter().zip(names) {
                let (_, mounts) = lab.shell(node, &format!("findmnt -no FSTYPE '{PATH}'; grep -c '^UUID=.* /data/{{{{\\\\040' /etc/fstab"));
                let state = || lab.shell(node, "cat /etc/fstab /proc/mounts").1;
                assert_eq!(mounts, "ext4\n1\n", "{name}: {}\n{:?}", state(), seen.logs);
            }
            assert_eq!(swaps(&lab), "1\n1\n");
            assert_eq!(fs::read_to_string(lab.path(&nodes[0], "/precious/kept")).unwrap(), "here");
        }

        // The letter of a disk in use: its own tool is asked, so that one run tells about many requests.
        let script = concat!(include_str!("../../assets/install_package.sh"), include_str!("../../assets/mount_disk.sh"));
        let path = lab.path(&nodes[1], "/tmp/mount_disk");
        fs::write(&path, script).unwrap();
        let ask = |device: &str, fstype: &str, path: &str| {
            let command = format!("IM_DEVICE='{device}' IM_FSTYPE='{fstype}' IM_PATH='{path}' sh /tmp/mount_disk");
            lab.shell(&nodes[1], &command)
        };
        for (device, fstype, path, why) in [
            ("hdb", "ext4", "/other", "is in use"),
            ("vdb", "swap", "", "is in use"),
            ("hdb", "ext4; touch /x", "/other", "is no type of file system"),
            ("hdb", "ext4", "relative", "does not begin with /"),
            ("nothing", "ext4", "/other", "DISK_NOT_FOUND"),
        ] {
            let (ok, said) = ask(device, fstype, path);
            assert!(!ok && said.contains(why), "{device}: {said}");
        }
        // Unmounted it is known again, by a link with a name of its own; what it holds is not made swap space.
        lab.shell(&nodes[1], &format!("umount '{PATH}'; mkdir -p /dev/disk/by-id; ln -s ../../vdb /dev/disk/by-id/volume-7"));
        let (ok, said) = ask("volume-7", "swap", "");
        assert!(!ok && said.contains("is not made swap space"), "{said}");
        assert_eq!(ask("volume-7", "xfs", "/by-link"), (true, "changed\n".to_owned()));
        assert_eq!(lab.shell(&nodes[1], "findmnt -no FSTYPE /by-link").1, "ext4\n");

        // No trace on the host: processes of nodes hold mounts, which the loop devices wait for.
        lab.shell(&nodes[0], "swapoff /dev/sdc1; umount /precious");
        nodes.iter().for_each(|node| drop(lab.shell(node, &format!("umount '{PATH}' /by-link"))));
    });
}

const IPTABLES: &str = r#"#!/bin/sh
rule="$1 $2 $4 $5 $6 $7 $8"
case $3 in
-C) grep -qxF -e "$rule" /tmp/rules 2>/dev/null ;;
-A) echo "$rule" >> /tmp/rules ;;
esac"#;

/// Case: N-07.
#[test]
fn private_machines_reach_out() {
    if !lab::inside("disks::private_machines_reach_out") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        // The cards have names that nobody guesses; the lab's own side has no way back into the private network.
        let gate = Node {
            links: vec![(0, 11), (1, 11)],
            setup: "ip -n $name link set eth0 down; ip -n $name link set eth0 name enp1s0 up
                    ip -n $name addr add 10.77.0.11/24 dev enp1s0 2>/dev/null || true
                    ip -n $name route add default via 10.77.0.1",
            ..Node::new("gate", 11)
        };
        let inner = Node {
            links: vec![(1, 12)],
            setup: "ip -n $name route add default via 10.77.1.11",
            ..Node::new("inner", 12)
        };
        let lab = Lab::with(&[&gate, &inner]);
        let mut facts = vec![lab.facts(0, "gate", &gate), lab.facts(1, "inner", &inner)];
        Arc::make_mut(&mut facts[0].info).systems[0].features.set_text("nat_instance", "yes");
        let mut radl = document(&facts, vec![], vec![]);
        radl.networks.extend(facts[1].info.networks.iter().filter(|n| n.id != "public").cloned());
        let listener = TcpListener::bind("10.77.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let call = format!("timeout 3 bash -c 'echo hello > /dev/tcp/10.77.0.1/{port}'");
        assert!(!lab.shell(&inner, &call).0, "there is a way out already");

        let (_vms, receiver) = watch::channel(Arc::new(facts.clone()));
        let key = keys::generate(Default::default()).unwrap();
        for generation in [1, 2] {
            let memory = Arc::new(Memory::default());
            let outcome = contextualize(job(radl.clone(), receiver.clone(), generation, &key), &memory).await;
            assert_eq!(outcome, Outcome::Done, "{}", memory.dump());
            let results = memory.0.lock().unwrap().results.clone();
            assert_eq!(results, BTreeMap::from([(0, Ok(())), (1, Ok(()))]), "{}", memory.dump());
            let (ok, said) = lab.shell(&inner, &call);
            assert!(ok, "{said}");
            let (mut stream, from) = listener.accept().await.unwrap();
            let mut hello = String::new();
            stream.read_to_string(&mut hello).await.unwrap();
            assert_eq!((hello.as_str(), from.ip().to_string().as_str()), ("hello\n", "10.77.0.11"));
            let (_, rules) =
                lab.shell(&gate, "nft list ruleset | grep -c masquerade; nft list ruleset | grep -c enp1s0");
            assert_eq!(rules, "1\n1\n");
        }
        // It starts with the machine.
        let unit = lab.path(&gate, "/etc/systemd/system/multi-user.target.wants/im-nat.service");
        assert!(unit.is_symlink());
        let (_, unit) = lab.shell(&gate, "cat /etc/systemd/system/im-nat.service /etc/sysctl.d/90-im-nat.conf");
        assert!(unit.contains("ExecStart=/usr/local/sbin/im-nat\n") && unit.ends_with("net.ipv4.ip_forward = 1\n"));
        lab.shell(&gate, "nft flush ruleset; echo 0 > /proc/sys/net/ipv4/ip_forward");
        assert_eq!(lab.shell(&gate, "/usr/local/sbin/im-nat"), (true, "changed\nchanged\n".to_owned()));
        assert!(lab.shell(&inner, &call).0);
        // Without nftables it is iptables' turn (one that only keeps its rules in a file), without both there is a reason.
        lab.shell(&gate, "chmod a-x $(command -v nft); rm -f $(command -v iptables)");
        let (done, said) = lab.shell(&gate, "/usr/local/sbin/im-nat");
        assert!(!done && said.contains("neither nftables nor iptables"), "{said}");
        lab.shell(&gate, &format!("echo '{IPTABLES}' > /usr/sbin/iptables; chmod 755 /usr/sbin/iptables"));
        for said in ["changed\n", ""] {
            assert_eq!(lab.shell(&gate, "/usr/local/sbin/im-nat"), (true, said.to_owned()));
        }
        assert_eq!(lab.shell(&gate, "cat /tmp/rules").1, "-t nat POSTROUTING -o enp1s0 -j MASQUERADE\n");
    });
}
