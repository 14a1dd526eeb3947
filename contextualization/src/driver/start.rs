//! What the runner on a control node is told to start a run. It comes on standard input: secrets are in it.

use super::{
    items::Runs,
    link::Master,
    rules::{
        item::Item,
        progress::{OpenRun, Progress},
    },
    stop::Stop,
};
use crate::{
    access::Proxy,
    contract::VmFacts,
    plan::{
        carrier::{Carrier, PLUGINS},
        control::ControlNode,
        inventory,
        recipe::DONE,
    },
};
use radl::yaml::YamlError;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::time::Instant;

/// The password of a machine as its facts have it.
fn password(vms: &[VmFacts], vm: u32) -> Option<String> {
    vms.iter().find(|v| v.id == vm)?.info.systems.first()?.credentials().password
}

/// What opens an encrypted recipe, and how its playbook is made of it.
fn vault(item: &Item) -> Option<Value> {
    let header = item.playbook.header;
    item.playbook.vault.as_ref().map(|vault| {
        json!({
            "password": vault.password,
            "recipe": vault.recipe,
            "keep_hosts": header.keep_hosts,
            "become_root": header.become_root,
            "end": DONE,
        })
    })
}

impl Runs<'_> {
    /// Starts a run.
    pub(super) async fn start(&self, master: &Master<'_>, item: &Item, run: &OpenRun) -> Result<(), Stop> {
        let progress = self.recorder.progress().await;
        let vms = self.job.vms.borrow().clone();
        let plan = self.plan(master, item, run, &progress, &vms).map_err(|e| Stop::Failed(e.to_string()))?;
        let started = master.link.ask(&master.runtime, &["start"], &plan).await;
        started.map_err(|e| Stop::Redo(format!("cannot start Ansible on the master: {e}")))
    }

    fn plan(
        &self,
        master: &Master<'_>,
        item: &Item,
        run: &OpenRun,
        progress: &Progress,
        vms: &[VmFacts],
    ) -> Result<Value, YamlError> {
        let host = |vm: &u32| Some(progress.hosts.get(vm)?.host(*vm, password(vms, *vm)));
        let hosts: Vec<inventory::Host> = run.hosts.values().filter_map(host).collect();
        let local = self.local_password(&master.control, progress, vms);
        let peer = |host: &inventory::Host| json!([host.address, host.port, host.user, host.sudo_password]);
        let im_host: Vec<&str> = run.hosts.keys().map(String::as_str).collect();
        let mut vars = json!({ "IM_HOST": im_host.join(",") });
        if run.carrier == Carrier::Mitogen {
            // What it sends is compressed already.
            vars["mitogen_ssh_compression"] = false.into();
        }
        let mut command = master.runtime.playbook.clone();
        command.extend(["-i".to_owned(), format!("{}/hosts", self.conf_dir)]);
        let left = self.job.deadline.saturating_duration_since(Instant::now());
        let deadline = (SystemTime::now() + left).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        Ok(json!({
            "run": run.run,
            "command": command,
            "playbook": item.playbook.playbook,
            "next": run.next,
            "env": self.environment(master, run),
            "forks": self.job.settings.forks.min(hosts.len() as u32).max(1),
            "vars": vars,
            "secrets": inventory::secrets(&hosts)?,
            "proxies": self.proxies(vms, progress),
            "local_secrets": local.map(|password| inventory::local_secrets(&password)).transpose()?,
            "vault": vault(item),
            "deadline": deadline,
            "peers": hosts.iter().map(peer).collect::<Vec<Value>>(),
        }))
    }

    /// Environment of `ansible-playbook`.
    fn environment(&self, master: &Master<'_>, run: &OpenRun) -> BTreeMap<&'static str, String> {
        let mut env = BTreeMap::from([
            ("ANSIBLE_CONFIG", format!("{}/ansible.cfg", self.conf_dir)),
            ("ANSIBLE_STRATEGY", run.carrier.plugin(run.strategy)),
        ]);
        if let Some(path) = &master.runtime.python_path {
            env.insert("PYTHONPATH", path.clone());
        }
        if run.carrier == Carrier::Mitogen {
            env.insert("ANSIBLE_STRATEGY_PLUGINS", format!("{}/{PLUGINS}", self.conf_dir));
            // It counts the start of interpreters, too, of all machines at once.
            env.insert("ANSIBLE_TIMEOUT", "60".to_owned());
        }
        env
    }

    /// Password that sudo asks for where Ansible runs.
    fn local_password(&self, control: &ControlNode, progress: &Progress, vms: &[VmFacts]) -> Option<String> {
        match control {
            ControlNode::Vm(vm) => progress.hosts.get(vm)?.host(*vm, password(vms, *vm)).sudo_password,
            ControlNode::Host(id) => {
                let host = self.job.radl.ansible_hosts.iter().find(|host| host.id == *id)?;
                host.features.text("credentials.password").map(str::to_owned)
            }
        }
    }

    /// The proxy hosts that any machine may be reached through: a recipe may turn to machines that are not its own.
    fn proxies(&self, vms: &[VmFacts], progress: &Progress) -> BTreeMap<String, Value> {
        let mut proxies = BTreeMap::new();
        for (vm, record) in &progress.hosts {
            let Some((name, host_key)) = &record.proxy else { continue };
            let Some(Ok(Some(proxy))) = vms.iter().find(|v| v.id == *vm).map(|v| Proxy::of(&v.info)) else { continue };
            if proxy.name() == *name && !proxies.contains_key(name) {
                let key = Some(host_key).filter(|_| self.job.settings.check_host_keys);
                proxies.insert(name.clone(), proxy.for_runner(key.map(String::as_str)));
            }
        }
        proxies
    }
}
