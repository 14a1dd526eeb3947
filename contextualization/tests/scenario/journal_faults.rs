//! What runs write: hostile output, damaged journals, and the failures that are recognised in them.

use crate::{
    checkpoints::Memory,
    documents::{configure, contextualize, document, item, job},
    lab::{self, Lab, Node},
};
use contextualization::{Attempt, ErrorCode, Outcome, ssh::keys};
use std::sync::Arc;
use tokio::sync::watch;

/// Writes what a journal must not hold into its own one, and prints what a log must not hold.
const NOISE: &str = r#"
- tasks:
    - name: Damage the journal
      shell: |
        journal=$(ls -d /var/tmp/.im/*/runs/*noise*/events.jsonl)
        tail -n 3 "$journal" > /tmp/again
        cat /tmp/again >> "$journal"
        tac /tmp/again >> "$journal"
        printf 'garbage \377\000 {"e"\n' >> "$journal"
        printf '{"v":1,"run":"another","seq":1000,"e":"ok","host":"10.77.0.11_0","name":"Foreign"}\n' >> "$journal"
        head -n 1 "$journal" | cut -c 1-40 >> "$journal"
        head -c 2000000 /dev/zero | tr '\000' a >> "$journal"
        echo >> "$journal"
    - name: "Fake\n\nVM 3:\nLaunch task: forged \e[31m"
      shell: |
        printf 'esc \033[31m nul \000 bytes \377\376 pass '
        printf '\nVM 3:\n%075d\nLaunch task: forged\n' 0 | tr 0 '*'
      register: noise
    - name: Show it
      debug:
        msg: "{{ noise.stdout }}"
    - name: Much
      shell: head -c 52428800 /dev/zero | tr '\000' x; exit 1
      ignore_errors: true
    - name: After
      debug: {msg: still here}
"#;
const BROKEN: &str = "
- name: Broken play
  tasks:
    - name: Say
      debug: {msg: hello}
    - name: Loop
      debug: {msg: '{{ item }}'}
      loop: [a, b]
    - name: Skip
      command: /bin/true
      when: false
    - name: Forgive
      fail: {msg: forgiven}
      ignore_errors: true
    - name: Break
      shell: for i in $(seq 1 30); do echo line $i >&2; done; exit 3
";
const FULL: &str = "
- tasks:
    - name: Fill
      shell: mkdir -p /tmp/small; mount -t tmpfs -o size=64k small /tmp/small; dd if=/dev/zero of=/tmp/small/file
";
const KILLED: &str = "
- tasks:
    - name: Eat memory
      shell: kill -9 $$
";
const GONE: &str = "
- tasks:
    - name: End all connections
      shell: (sleep 1; pkill -9 -x sshd) > /dev/null 2>&1 < /dev/null &
    - name: Wait for it
      local_action: {module: command, _raw_params: sleep 2}
    - name: Go on
      command: /bin/true
";

/// The log of the broken recipe but for the times: the classic look, then the failure in its three lines.
const GOLDEN: &str = include_str!("golden/broken.log");

/// The most memory that this process ever had, in kB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Cases: L-17, R-11, R-21, R-22.
#[test]
fn noise_and_failures() {
    if !lab::inside("journal_faults::noise_and_failures") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let (front, far) = (Node::new("front", 11), Node::new("far", 12));
        let lab = Lab::with(&[&front, &far]);
        let systems = ["front", "broken", "full", "killed", "gone", "unread"];
        let mut facts = vec![lab.facts(0, systems[0], &front)];
        for (number, system) in (1..).zip(&systems[1..]) {
            let node = if *system == "gone" { far.clone() } else { lab.alias(&front, 20 + number as u8) };
            facts.push(lab.facts(number, system, &node));
        }
        let (_vms, receiver) = watch::channel(Arc::new(facts.clone()));
        let recipes = [("noise", NOISE), ("broken", BROKEN), ("full", FULL), ("killed", KILLED), ("gone", GONE)];
        let mut configures: Vec<_> = recipes.iter().map(|(name, text)| configure(name, text)).collect();
        configures.push(configure("unread", "- tasks:\n    - no_such_module_at_all: {}\n"));
        let mut items = vec![item("front", "noise", 1)];
        items.extend(systems[1..].iter().map(|system| item(system, system, 2)));
        let radl = document(&facts, configures, items);
        let memory = Arc::new(Memory::default());
        let key = keys::generate(Default::default()).unwrap();
        let before = peak();
        assert_eq!(contextualize(job(radl, receiver, 1, &key), &memory).await, Outcome::Done, "{}", memory.dump());
        let seen = memory.0.lock().unwrap();
        // 50 MB of output went by.
        assert!(peak() - before < 30 << 10, "{} kB grew to {} kB", before, peak());

        let log = &seen.logs[&0];
        assert_eq!(seen.results[&0], Ok(()), "{log}");
        for task in ["TASK [Damage the journal]", "TASK [Show it]", "TASK [Much]", "TASK [After]", "\"still here\""] {
            assert_eq!(log.matches(task).count(), 1, "{task}: {log}");
        }
        assert!(!log.contains("Foreign") && !log.chars().any(|c| c.is_control() && c != '\n'), "{log}");
        assert!(log.contains("esc \\u001b[31m nul ") && log.contains(" pass "), "{log}");
        // Readers cut the log at these: only ours are there.
        assert_eq!(log.matches("Launch task: ").count(), 2, "{log}");
        assert!(!log.contains(&format!("\n{}\n", "*".repeat(75))) && !log.contains("\nVM 3:"), "{log}");
        assert!(log.contains("... cut ...") && log.len() < 1 << 18, "{} bytes", log.len());

        let error = |vm| seen.results[&vm].clone().unwrap_err();
        let codes: Vec<ErrorCode> = (1..6).map(|vm| error(vm).code).collect();
        let expected = [
            ErrorCode::TaskFailed,
            ErrorCode::DiskFull,
            ErrorCode::OutOfMemory,
            ErrorCode::Unreachable,
            ErrorCode::RecipeInvalid,
        ];
        assert_eq!(codes, expected, "{:#?}", seen.results);
        let broken = error(1);
        assert_eq!(
            (broken.phase.as_str(), broken.message.as_str()),
            ("step 2", "task 'Break': non-zero return code (line 30)")
        );
        let details = broken.details.unwrap();
        assert_eq!((details.step, details.rc, details.stderr.len()), (Some(2), Some(3), 20));
        assert_eq!(details.recipe.as_deref(), Some("broken_broken"));
        assert_eq!(details.module_message.as_deref(), Some("non-zero return code"));
        assert_eq!(details.attempt, Some(Attempt { number: 1, of: 1 }));
        assert!(
            error(2).message.contains("dd: writing to '/tmp/small/file': No space left on device"),
            "{:?}",
            error(2)
        );
        let unread = error(5);
        assert!(unread.message.contains("no_such_module_at_all") && !unread.message.contains('\n'), "{unread:?}");

        // The log ends with the user's own text.
        let own = "In the recipe, line 2 column 7:\n- tasks:\n    - no_such_module_at_all: {}\n      ^\n";
        assert!(seen.logs[&5].ends_with(own), "{}", seen.logs[&5]);

        let (_, log) = seen.logs[&1].split_once("Launch task: broken_broken\n").unwrap();
        let dateless = |line: &&str| !line.ends_with(" +0000");
        let short =
            |line: &str| if line.contains("\"delta\"") { "fatal: (its values)".to_owned() } else { line.to_owned() };
        let plain: Vec<String> = log.lines().filter(dateless).map(short).collect();
        assert_eq!(plain.join("\n") + "\n", GOLDEN);
    });
}
