//! Daemons that die, limits, and machines that are there already.

use super::super::{
    LocalSettings,
    mark::{Mark, Phase, State},
};
use super::lab::{KEY, Lab, PATIENCE, PRIVATE_POOL, intent, open, public_ip};
use crate::{
    contract::{Location, PowerOperation, PowerState, ProviderId, VmIntent},
    error::ErrorClass,
};
use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_made_twice() {
    let lab = Lab::with(4, |settings| settings.max_vms = 3);
    // The daemon died right after the mark of one node, and while it made the files of another.
    let state = State::open(&lab.settings.state_dir).unwrap();
    let intents: Vec<VmIntent> = (0..4).map(|number| lab.intent(number)).collect();
    for intent in &intents[..2] {
        state.save_vm(&planned(intent)).unwrap();
    }
    let half_made = state.folder(&intents[1].uid.0);
    fs::create_dir_all(half_made.join("upper/etc")).unwrap();
    let found = lab.connector.find(&lab.shared()).await.unwrap();
    assert_eq!(found.len(), 2);
    let observed = lab
        .connector
        .observe(&Location::default(), &[found[0].id.clone(), ProviderId("../lock".to_owned())])
        .await
        .unwrap();
    assert_eq!(observed.iter().map(|seen| seen.state).collect::<Vec<_>>(), [PowerState::Pending]);

    // Created again, three times at once: the same machine.
    let calls = (0..3).map(|_| lab.connector.create_vm(&intents[0]));
    let ids = futures::future::try_join_all(calls).await.unwrap();
    assert!(ids.iter().all(|id| *id == ids[0]));
    let node = lab.until(&ids[0], PowerState::Running).await;
    let login = lab.login(&node);
    // Another daemon finds it alive.
    let other = open(&lab.settings);
    assert_eq!(other.create_vm(&intents[0]).await.unwrap(), ids[0]);
    assert_eq!(login.run("hostname"), "vnode-0");
    // Given up instead of made.
    other.delete_vm(&intents[1].mark()).await.unwrap();
    assert!(!half_made.exists());

    // A node that dies by itself is off, and can be started.
    let pid = state.vm(&ids[0].0).unwrap().unwrap().process.unwrap().pid;
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
    lab.until(&ids[0], PowerState::Off).await;
    lab.connector.power(&lab.mark(&ids[0]), PowerOperation::Start).await.unwrap();
    lab.until(&ids[0], PowerState::Running).await;

    lab.connector.create_vm(&intents[1]).await.unwrap();
    lab.connector.create_vm(&intents[2]).await.unwrap();
    assert_eq!(lab.connector.create_vm(&intents[3]).await.unwrap_err().class, ErrorClass::Quota);
    lab.delete_all().await;
    assert_eq!(
        lab.connector.power(&lab.mark(&ids[0]), PowerOperation::Start).await.unwrap_err().class,
        ErrorClass::NotFound
    );
}

fn planned(intent: &VmIntent) -> Mark {
    Mark {
        uid: intent.uid.clone(),
        infrastructure: intent.infrastructure.clone(),
        number: intent.number,
        fqdn: intent.fqdn.clone(),
        user: "cloudadm".to_owned(),
        phase: Phase::Planned,
        stopped: false,
        cards: Vec::new(),
        disks: Vec::new(),
        cpu_count: None,
        memory: None,
        image: None,
        process: None,
        control_groups: Vec::new(),
        tags: Vec::new(),
        database: None,
    }
}

/// A moment in the making of nodes: what is true of one of them.
type Moment = fn(&Mark) -> bool;

/// The daemon that the next test kills: launches what the environment says, in the state that it names.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs only as a child of the test after it"]
async fn daemon_to_be_killed() {
    let variable = |name: &str| std::env::var(name).expect("set by the test that runs this one");
    let settings = LocalSettings {
        enabled: true,
        state_dir: variable("IMD_TEST_STATE").into(),
        public_pool: variable("IMD_TEST_POOL").parse().unwrap(),
        private_pool: PRIVATE_POOL.parse().unwrap(),
        ..LocalSettings::default()
    };
    let (connector, infrastructure) = (open(&settings), variable("IMD_TEST_INFRASTRUCTURE"));
    let mut intents: Vec<VmIntent> = (0..6).map(|number| intent(&infrastructure, number)).collect();
    for intent in &mut intents {
        intent.system.features.set_text("disk.0.os.credentials.public_key", &variable("IMD_TEST_KEY"));
    }
    futures::future::try_join_all(intents.iter().map(|intent| connector.create_vm(intent))).await.unwrap();
    println!("made");
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_daemon_loses_and_leaks_nothing() {
    let lab = Lab::new(6);
    let intents: Vec<VmIntent> = (0..6).map(|number| lab.intent(number)).collect();
    let state = State::open(&lab.settings.state_dir).unwrap();
    // Killed when the first node is intended, has a process, is made, and at last after all was made.
    let moments: [Option<Moment>; 4] =
        [Some(|_| true), Some(|mark| mark.process.is_some()), Some(|mark| mark.phase == Phase::Made), None];
    for (number, moment) in moments.into_iter().enumerate() {
        let mut daemon = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "--nocapture", "local::tests::durability::daemon_to_be_killed"])
            .env("IMD_TEST_STATE", &lab.settings.state_dir)
            .env("IMD_TEST_POOL", lab.settings.public_pool.to_string())
            .env("IMD_TEST_INFRASTRUCTURE", &lab.infrastructure)
            .env("IMD_TEST_KEY", &KEY.public)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        match moment {
            Some(has_come) => {
                let started = Instant::now();
                while !state.all_vms().unwrap().iter().any(has_come) {
                    assert!(started.elapsed() < PATIENCE, "moment {number} does not come");
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            None => {
                let lines = BufReader::new(daemon.stdout.take().unwrap()).lines();
                assert!(lines.map_while(Result::ok).any(|line| line.ends_with("made")));
            }
        }
        daemon.kill().unwrap();
        daemon.wait().unwrap();
        if number == 0 {
            // Nobody goes on with it: what is found is all there is.
            lab.delete_all().await;
            continue;
        }
        let made = lab.connector.find(&lab.shared()).await.unwrap();
        let before = futures::future::join_all(made.iter().map(|machine| lab.settled(&machine.id))).await;
        let seen = futures::future::join_all(intents.iter().map(|intent| lab.launch(intent))).await;
        assert_eq!(lab.connector.find(&lab.shared()).await.unwrap().len(), 6);
        assert_eq!(seen.iter().map(public_ip).collect::<BTreeSet<_>>().len(), 6);
        for node in before.into_iter().flatten() {
            assert!(seen.contains(&node), "what ran when the daemon died runs on: {node:?}");
        }
        if moment.is_none() {
            assert_eq!(made.len(), 6);
            assert_eq!(lab.login(&seen[5]).run("hostname"), "vnode-5");
        }
        lab.delete_all().await;
    }
}
