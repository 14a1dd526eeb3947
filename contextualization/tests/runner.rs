//! Rules of the runner that need no machine.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::Command;

/// Case: L-24.
#[test]
fn forks_are_limited_by_memory() {
    let code = "import runner
for wish, available, wanted in [(30, 2048, 30), (50, 2048, 50), (50, 700, 14), (50, 300, 2), (50, 10, 2), (1, 4096, 2)]:
    assert runner.forks(wish, available) == wanted, (wish, available, runner.forks(wish, available))
assert 0 < runner.available_memory() < 1 << 30
assert runner.interpreter(['/opt/python', '-m', 'ansible', 'playbook']) == '/opt/python'
assert runner.interpreter(['/no/such/program']) == runner.sys.executable
";
    python(code);
}

/// Passwords are in no event, and events stay what they are whatever the passwords: one may be a word of the journal itself.
#[test]
fn passwords_are_masked_in_texts_alone() {
    let code = r#"import json, os, sys, tempfile, types
ansible, plugins, callback = (types.ModuleType(n) for n in ('ansible', 'ansible.plugins', 'ansible.plugins.callback'))
callback.CallbackBase = object
sys.modules.update({'ansible': ansible, 'ansible.plugins': plugins, 'ansible.plugins.callback': callback})
import im_journal
with tempfile.TemporaryDirectory() as place:
    os.environ.update(IM_EVENTS=os.path.join(place, 'events'), IM_RUN='run-1')
    journal = im_journal.CallbackModule()
    journal.remember(['failed', 'run-1x', 'pass', 'rc', None, 'a "q" b', 'true'])
    nested = json.dumps({'inner': json.dumps({'p': 'a "q" b'})})
    res = {'msg': 'it failed: pass, compass, rc true', 'rc': 1, 'changed': True, 'stdout': [nested, 'a "q" b']}
    journal.emit('failed', host='pass', res=res, name='pass the run-1x')
    event = json.loads(open(os.environ['IM_EVENTS']).read())
mask = '********'
assert (event['e'], event['run'], event['host'], event['name']) == ('failed', 'run-1', 'pass', mask + ' the ' + mask), event
assert event['res']['msg'] == 'it ' + mask + ': ' + mask + ', compass, rc ' + mask, event
assert (event['res']['rc'], event['res']['changed']) == (1, True), event
assert json.loads(json.loads(event['res']['stdout'][0])['inner'])['p'] == mask and event['res']['stdout'][1] == mask, event
"#;
    python(code);
}

/// Mitogen that hangs before the first task is ended, as if it had died, so that the run is repeated without it. A long task
/// is left alone, and so is Ansible without mitogen, whatever it waits for.
#[test]
fn mitogen_that_never_begins_is_ended() {
    let code = r#"import json, os, subprocess, tempfile, time
import runner
runner.STUCK = runner.HEARTBEAT = 0.2
def watch(events, strategy):
    with tempfile.TemporaryDirectory() as place:
        with open(os.path.join(place, 'events.jsonl'), 'w') as f:
            f.writelines(json.dumps({'e': kind}) + '\n' for kind in events)
        plan = {'run': '1-x', 'conf_dir': place, 'env': {'ANSIBLE_STRATEGY': strategy}, 'deadline': time.time() + 1.5}
        supervisor = runner.Supervisor(place, plan, None)
        supervisor.status['sockets'] = []
        child = subprocess.Popen(['sleep', '4343'], start_new_session=True)
        ended = supervisor.watch(child)
        assert child.poll() is not None
        return ended[1]
assert watch(['run_start', 'play'], 'mitogen_free') == 'finished'
assert watch(['run_start', 'play', 'host_start'], 'mitogen_free') == 'timeout'
assert watch(['run_start', 'play'], 'free') == 'timeout'
"#;
    python(code);
}

/// Runs Python that knows what is sent to masters.
fn python(code: &str) {
    let assets = concat!(env!("CARGO_MANIFEST_DIR"), "/assets");
    let mut python = Command::new("python3");
    let output = python.args(["-B", "-c", code]).env("PYTHONPATH", assets).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
