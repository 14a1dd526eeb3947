#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{demux::Demux, position::JournalPosition, text::Cleaner, verdict::RunSubject};
use crate::{ErrorCode, Report};
use proptest::prelude::*;
use std::collections::BTreeMap;

const JOURNAL: &str = r#"{"v":1,"run":"r","seq":1,"ts":0,"e":"play","play":"web","hosts":["10.0.0.1_0","10.0.0.2_1"]}
{"v":1,"run":"r","seq":2,"ts":0,"e":"host_start","host":"10.0.0.1_0","task":"t","name":"Say\n\u001b[31mit"}
{"v":1,"run":"r","seq":3,"ts":0,"e":"host_start","host":"10.0.0.2_1","task":"t","name":"Say it"}
garbage { "x"
{"v":1,"run":"other","seq":4,"ts":0,"e":"ok","host":"10.0.0.1_0","name":"Say it"}
{"v":1,"run":"r","seq":4,"ts":0,"e":"ok","host":"10.0.0.1_0","name":"Say it","verbose":true,"res":{"msg":"the secret-1 é\nVM 3:\nLaunch task: x"}}
{"v":1,"run":"r","seq":4,"ts":0,"e":"ok","host":"10.0.0.1_0","name":"Say it"}
{"v":1,"run":"r","seq":5,"ts":0,"e":"failed","host":"10.0.0.2_1","name":"Say it","res":{"msg":"no","stderr":"why"}}
{"v":1,"run":"r","seq":6,"ts":0,"e":"stats","stats":{"10.0.0.1_0":{"ok":1},"10.0.0.2_1":{"failures":1}}}
{"v":1,"run":"r","seq":7,"ts":0,"e":"run_end","rc":2,"state":"finished","tail":""}
"#;

fn demux(position: JournalPosition) -> Demux {
    let hosts = [("10.0.0.1_0".to_owned(), 0), ("10.0.0.2_1".to_owned(), 1)].into();
    Demux::new("r", hosts, Cleaner::new(["secret-1".to_owned()], false), 1 << 20, position)
}

fn logs(reports: Vec<Report>) -> BTreeMap<u32, String> {
    let mut logs = BTreeMap::<u32, String>::new();
    for report in reports {
        if let Report::VmLog { vm, text } = report {
            *logs.entry(vm).or_default() += &text;
        }
    }
    logs
}

#[test]
fn journal_becomes_logs_and_results() {
    let mut demux = demux(JournalPosition::default());
    let logs = logs(demux.feed(JOURNAL.as_bytes()));
    let stars = "*".repeat(68);
    let expected = format!(
        "\nPLAY [web] {stars}*\n\nTASK [Say \\x1b[31mit] {}\nThursday 01 January 1970  00:00:00 +0000\nok: [10.0.0.1_0] => {{\n    \
         \"msg\": \"the ******** é\\nVM 3:\\nLaunch task\\u003a x\"\n}}\n\nPLAY RECAP {stars}*\n10.0.0.1_0 : ok=1 changed=0 \
         unreachable=0 failed=0 skipped=0 rescued=0 ignored=0\n",
        "*".repeat(60)
    );
    let expected = expected.replace(&format!("TASK [Say \\x1b[31mit] {}\n", "*".repeat(60)), "TASK\n");
    let first = logs[&0].lines().map(|l| if l.starts_with("TASK [Say \\x1b[31mit] **") { "TASK" } else { l });
    assert_eq!(first.collect::<Vec<_>>().join("\n") + "\n", expected);
    assert!(
        logs[&1].contains("fatal: [10.0.0.2_1]: FAILED! => {\"msg\": \"no\", \"stderr\": \"why\"}\n"),
        "{}",
        logs[&1]
    );
    let subject = RunSubject { phase: "step 1".to_owned(), step: Some(1), recipe: Some("web_front".to_owned()) };
    let results = demux.results(&subject).unwrap();
    assert_eq!(results[&0], Ok(()));
    let error = results[&1].clone().unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (ErrorCode::TaskFailed, "task 'Say it': no (why)"));
    assert_eq!((demux.position.garbage, demux.position.last_seq), (2, 7));
    assert_eq!(demux.position.offset, JOURNAL.len() as u64);
}

proptest! {
    /// Cut anywhere, with the daemon restarted anywhere: the same logs, each line once.
    #[test]
    fn pieces_and_restarts_change_nothing(cuts in prop::collection::vec(0..JOURNAL.len(), 0..12), restart in any::<bool>()) {
        let whole = logs(demux(JournalPosition::default()).feed(JOURNAL.as_bytes()));
        let mut cuts = cuts;
        cuts.push(JOURNAL.len());
        cuts.sort_unstable();
        let (mut reader, mut reports, mut at) = (demux(JournalPosition::default()), Vec::new(), 0);
        for cut in cuts {
            if restart {
                let stored = serde_json::to_string(&reader.position).unwrap();
                reader = demux(serde_json::from_str(&stored).unwrap());
                at = reader.begin() as usize;
            }
            reports.extend(reader.feed(&JOURNAL.as_bytes()[at..cut.max(at)]));
            at = cut.max(at);
        }
        prop_assert_eq!(logs(reports), whole);
        prop_assert_eq!(reader.position.offset, JOURNAL.len() as u64);
    }

    /// Lines repeated, between them garbage, torn lines and lines of other runs: the same logs, and the rest is counted.
    /// Cases: L-17.
    #[test]
    fn damaged_journals_have_their_effect_once(
        noise in prop::collection::vec((0..JOURNAL.lines().count(), 0..4usize, 0..60usize), 0..30),
    ) {
        let lines: Vec<&str> = JOURNAL.lines().collect();
        let (mut damaged, mut foreign) = (Vec::new(), 0);
        for (at, line) in lines.iter().enumerate() {
            damaged.extend(format!("{line}\n").bytes());
            for (_, kind, size) in noise.iter().filter(|(place, ..)| *place == at) {
                match kind {
                    // Again, with any of the lines before it.
                    0 => damaged.extend(format!("{line}\n{}\n", lines[size % (at + 1)]).bytes()),
                    1 => damaged.extend(line.bytes().take(*size).chain(*b"\n")),
                    2 => damaged.extend(b"{\"run\":\"another\",\"seq\":99,\"e\":\"ok\",\"host\":\"10.0.0.1_0\"}\n"),
                    _ => damaged.extend(vec![0xff; *size].into_iter().chain(*b"\n")),
                }
                foreign += u64::from(*kind == 2);
            }
        }
        let (mut reader, mut pristine) = (demux(JournalPosition::default()), demux(JournalPosition::default()));
        prop_assert_eq!(logs(reader.feed(&damaged)), logs(pristine.feed(JOURNAL.as_bytes())));
        prop_assert!(reader.position.garbage >= pristine.position.garbage + foreign);
        prop_assert_eq!(reader.results(&RunSubject::default()), pristine.results(&RunSubject::default()));
    }

    /// In any order: no event has its effect twice, and later ones are not undone by earlier ones.
    /// Cases: L-17.
    #[test]
    fn reordered_lines_never_count_twice(order in Just((0..JOURNAL.lines().count()).collect::<Vec<_>>()).prop_shuffle()) {
        let lines: Vec<&str> = JOURNAL.lines().collect();
        let shuffled: String = order.iter().chain(&order).map(|at| format!("{}\n", lines[*at])).collect();
        for log in logs(demux(JournalPosition::default()).feed(shuffled.as_bytes())).values() {
            for once in ["PLAY [", "TASK [", "ok: [", "fatal: [", "PLAY RECAP"] {
                prop_assert!(log.matches(once).count() <= 1, "{}", log);
            }
        }
    }

    #[test]
    fn hostile_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
        let mut reader = demux(JournalPosition::default());
        let reports = reader.feed(&bytes);
        prop_assert!(reports.is_empty() && reader.position.offset <= bytes.len() as u64);
    }
}

/// The log of a run is bounded: its beginning as it came, a mark, and when the run is over its end, in order; also when the
/// daemon is started again at any time. In ASCII where that is wished for.
///
/// Cases: R-21.
#[test]
fn long_logs_are_cut_in_the_middle() {
    let event =
        |seq: u64, rest: &str| format!(r#"{{"run":"r","seq":{seq},"host":"10.0.0.1_0","name":"é",{rest}}}"#) + "\n";
    let said = |seq: u64| event(seq, &format!(r#""e":"ok","verbose":true,"res":{{"msg":"schön {seq}"}}"#));
    let mut journal: String = (1..1000).map(said).collect();
    journal += &event(1000, r#""e":"failed","res":{"msg":"at last"}"#);
    let over = event(1001, r#""e":"run_end","rc":2,"state":"finished""#);
    let read = |restarts: usize| {
        let fresh =
            |position| Demux::new("r", [("10.0.0.1_0".to_owned(), 0)].into(), Cleaner::new([], true), 10_000, position);
        let (mut reader, mut reports) = (fresh(JournalPosition::default()), Vec::new());
        let text = journal.clone() + &over;
        for part in 0..=restarts {
            let stored = serde_json::to_string(&reader.position).unwrap();
            reader = fresh(serde_json::from_str(&stored).unwrap());
            let until = text.len() * (part + 1) / (restarts + 1);
            let from = reader.begin() as usize;
            if part + 1 == restarts {
                // The stream breaks while lines are read again.
                reports.extend(reader.feed(&text.as_bytes()[from..from + (until - from) / 3]));
                let from = reader.begin() as usize;
                reports.extend(reader.feed(&text.as_bytes()[from..until]));
                continue;
            }
            reports.extend(reader.feed(&text.as_bytes()[from..until]));
        }
        logs(reports).remove(&0).unwrap()
    };
    let all = read(0);
    assert!(all.len() < 10_300 && all.is_ascii() && all.contains("\"schn 1\""), "{all}");
    let (head, rest) =
        all.split_once("... the log of this run is too long: its end follows when the run is over ...\n").unwrap();
    let (mark, tail) = rest.split_once('\n').unwrap();
    assert!(mark.starts_with("... ") && mark.ends_with(" bytes are left out ..."), "{mark}");
    assert!((8500..=9000).contains(&head.len()) && (800..=1000).contains(&tail.len()), "{} {}", head.len(), tail.len());
    assert!(tail.contains("\"schn 999\"") && !tail.contains("\"schn 1\""), "{tail}");
    assert!(tail.ends_with("FAILED! => {\"msg\": \"at last\"}\n"), "{tail}");
    for restarts in [1, 2, 7, 40] {
        assert_eq!(read(restarts), all, "{restarts} restarts");
    }
}

/// What Python writes of bytes that are no text is no valid JSON everywhere: it is read all the same.
#[test]
fn halves_of_characters_are_replaced() {
    let mut reader = demux(JournalPosition::default());
    let line = br#"{"run":"r","seq":1,"e":"ok","host":"10.0.0.1_0","name":"x","verbose":true,"res":{"msg":"a\\ud800 \udcff b"}}"#;
    let text = logs(reader.feed(&[line.as_slice(), b"\n"].concat())).remove(&0).unwrap();
    assert!(text.contains("\"a\\\\ud800 \u{fffd} b\""), "{text}");
}

/// What Ansible refuses of itself ends the attempts; what broke it, or a machine, may be gone the next time.
#[test]
fn what_another_attempt_may_change() {
    let ended = |rc: i64, tail: &str| {
        let end = serde_json::json!({"v": 1, "run": "r", "seq": 1, "ts": 0, "e": "run_end", "rc": rc,
                                     "state": "finished", "tail": tail});
        let mut demux = demux(JournalPosition::default());
        demux.feed(format!("{end}\n").as_bytes());
        let subject = RunSubject { phase: "step 1".to_owned(), step: Some(1), recipe: Some("web_front".to_owned()) };
        let error = demux.results(&subject).unwrap().remove(&0).unwrap().unwrap_err();
        (error.code, error.may_change(), error.message, demux.place_named(0).map(|place| place.line))
    };
    let action =
        "ERROR! couldn't resolve module/action 'x'.\n\nThe error appears to be in '/c/p.yml': line 3, column 7";
    let message = "Ansible did not run the recipe: couldn't resolve module/action 'x'.".to_owned();
    assert_eq!(
        ended(4, &format!("[WARNING]: y\n{action}, but may")),
        (ErrorCode::RecipeInvalid, false, message, Some(3))
    );
    let (code, may_change, ..) = ended(250, "ERROR! Unexpected Exception, this is probably a bug: [Errno 5]");
    assert_eq!((code, may_change), (ErrorCode::RecipeInvalid, true));
    assert!(ended(-9, "").1);

    let failed = |msg: &str| {
        let event = serde_json::json!({"v": 1, "run": "r", "seq": 1, "ts": 0, "e": "failed", "host": "10.0.0.1_0",
                                       "name": "T", "res": {"msg": msg}});
        let stats = r#"{"v":1,"run":"r","seq":2,"ts":0,"e":"stats","stats":{"10.0.0.1_0":{"failures":1}}}"#;
        let end = r#"{"v":1,"run":"r","seq":3,"ts":0,"e":"run_end","rc":2,"state":"finished","tail":""}"#;
        let mut demux = demux(JournalPosition::default());
        demux.feed(format!("{event}\n{stats}\n{end}\n").as_bytes());
        let error = demux.results(&RunSubject::default()).unwrap().remove(&0).unwrap().unwrap_err();
        (error.code, error.may_change(), error.message)
    };
    let undefined =
        "'x' is undefined\n\nThe error appears to be in '/c/p.yml': line 3, column 7, but may\nbe elsewhere";
    assert_eq!(failed(undefined), (ErrorCode::TaskFailed, true, "task 'T': 'x' is undefined".to_owned()));
    let (code, may_change, _) =
        failed("Unsupported parameters for (copy) module: dset. Supported parameters include: x");
    assert_eq!((code, may_change), (ErrorCode::RecipeInvalid, false));
    let (code, may_change, _) = failed("Incorrect sudo password");
    assert_eq!((code, may_change), (ErrorCode::SudoDenied, false));
}

/// What a run may add to the log of the infrastructure, to that of a machine and to its result is bounded, whatever kind of
/// event it comes as; and so is its journal.
#[test]
fn floods_of_every_kind_are_bounded() {
    let line = |seq: u64, rest: &str| format!(r#"{{"run":"r","seq":{seq},"host":"10.0.0.1_0",{rest}}}"#) + "\n";
    let long = "x".repeat(1900);
    let kinds = [
        format!(
            r#""e":"item_failed","name":"{}","loop_item":"{long}","res":{{"msg":"{long}"}}"#,
            crate::plan::builtin::INSTALL
        ),
        format!(r#""e":"warn","text":"{long}""#),
        format!(r#""e":"include","name":"{long}""#),
        format!(r#""e":"retry","name":"{long}""#),
        format!(r#""e":"play","play":"{long}""#),
        format!(r#""e":"skipped","name":"{long}""#),
        format!(r#""e":"host_start","name":"{long}""#),
        format!(r#""e":"failed","name":"{long}","res":{{"msg":"{}"}}"#, long.repeat(20)),
        r#""e":"stats","stats":{"10.0.0.1_0":{"ok":1}}"#.to_owned(),
    ];
    for kind in &kinds {
        let log_max = 100_000;
        let hosts = [("10.0.0.1_0".to_owned(), 0)].into();
        let mut demux = Demux::new("r", hosts, Cleaner::new([], false), log_max, JournalPosition::default());
        let mut told = 0;
        for seq in 1..150 {
            for report in demux.feed(line(seq, kind).as_bytes()) {
                told += match report {
                    Report::InfrastructureLog(text) | Report::VmLog { text, .. } => text.len(),
                    _ => 0,
                };
            }
        }
        let end = format!(r#""e":"run_end","rc":2,"state":"finished","tail":"{}""#, format!("{long}\\n").repeat(100));
        demux.feed(line(150, &end).as_bytes());
        let kept = serde_json::to_string(&demux.position).unwrap().len();
        assert!(told < 2 * log_max && kept < log_max, "{told} and {kept} bytes of {kind}");
    }

    // A journal of zeros, or one with more events than anybody reads: the run is over.
    let mut demux = demux(JournalPosition::default());
    let zeros = vec![0; 1 << 20];
    let read = (0..1000).find(|_| {
        demux.feed(&zeros);
        demux.is_flooded()
    });
    assert!(read.is_some_and(|megabytes| megabytes < 100), "{read:?}");
    let error = demux.results(&RunSubject::default()).unwrap()[&0].clone().unwrap_err();
    assert!(error.message.contains("too long to be read"), "{error:?}");
}

/// A short password is masked where it stands alone, a longer one everywhere.
#[test]
fn short_secrets_are_masked_as_words() {
    let cleaner = Cleaner::new(["yoyo", "secret-1", "abc"].map(str::to_owned), false);
    assert_eq!(
        cleaner.clean("yoyo, 'yoyo' yoyos myyoyo yoyoyoyo _yoyo"),
        "********, '********' yoyos myyoyo yoyoyoyo _yoyo"
    );
    assert_eq!(cleaner.clean("xsecret-1x abc"), "x********x abc");
}
