//! The doors of the machines: each is waited for and opened through the connection to its control node.

use super::{
    pass::{Growing, Pass, error},
    rules::progress::HostRecord,
    stop::Stop,
};
use crate::{
    access::{self, Accessed, Routes, Sudo, Target},
    contract::{ErrorCode, InstalledCredentials, Report, VmError, VmFacts, VmPower},
    plan::{control::ControlNode, decide::is_windows, inventory},
    ssh::SshSession,
};
use futures::{FutureExt, StreamExt};

/// Doors that are opened at once.
const DOORS: usize = 50;

impl Pass<'_, '_> {
    /// Opens the doors of machines of a control node; one that stays shut concerns nobody else. Those that are open, or
    /// stay shut, come to `settled`.
    pub(super) async fn doors(
        &self,
        node: &ControlNode,
        session: SshSession,
        vms: Vec<VmFacts>,
        settled: &Growing,
    ) -> Result<(), Stop> {
        let tunnels = self.tunnels(node, session.clone());
        let routes = &Routes::from(session);
        let mut open = Vec::new();
        for vm in vms {
            let door = async move {
                let id = vm.id;
                self.door(node, vm, routes).await?;
                settled.send_modify(|all| all.extend([id]));
                Ok(())
            };
            open.push(door.boxed());
        }
        let opened = futures::stream::iter(open).buffer_unordered(DOORS).collect::<Vec<Result<(), Stop>>>();
        tokio::select! {
            opened = opened => opened.into_iter().collect(),
            // Without end.
            () = tunnels => Ok(()),
        }
    }

    /// Records a door that stays shut, with a line for the log of the infrastructure.
    pub(super) async fn door_shut(&self, vm: &VmFacts, e: VmError, line: Option<String>) -> Result<(), Stop> {
        let recorder = self.context.recorder;
        let text = format!("Error Waiting access to VM: {}\n{}", vm.id, e.final_cause());
        let mut reports: Vec<_> = line.into_iter().map(Report::InfrastructureLog).collect();
        reports.push(Report::VmLog { vm: vm.id, text });
        recorder.once(reports, |_| {}).await?;
        Ok(recorder.results([(vm.id, Err(e))]).await?)
    }

    async fn door(&self, node: &ControlNode, vm: VmFacts, routes: &Routes) -> Result<(), Stop> {
        let (context, recorder, id) = (self.context, self.context.recorder, vm.id);
        let limit = context.job.settings.wait_running;
        let up = |vms: &[VmFacts]| vms.iter().all(|vm| vm.id != id || vm.power != VmPower::Pending);
        if !self.wait(limit, up).await {
            let text = format!("the machine was not running within {} s", limit.as_secs());
            return self.door_shut(&vm, error(ErrorCode::NotRunning, "access", text), None).await;
        }
        // None: deleted meanwhile.
        let Some(vm) = &self.facts(id) else { return Ok(()) };
        if vm.power == VmPower::Down {
            let line =
                format!("WARNING: The VM ID: {id} is not running, do not include in the contextualization agent.");
            return self
                .door_shut(vm, error(ErrorCode::NotRunning, "access", "the machine is not running"), Some(line))
                .await;
        }
        if is_windows(vm) {
            return self.windows_door(node, vm, routes.master()).await;
        }
        let text = format!("Waiting SSH access to VM: {}\n", inventory::main_ip(vm).unwrap_or_default());
        recorder.once(vec![Report::VmLog { vm: vm.id, text }], |_| {}).await?;
        let mut target = match Target::of(vm, &context.job.ansible_key) {
            Ok(target) => target,
            Err(e) => return self.door_shut(vm, e, None).await,
        };
        if let ControlNode::Host(_) = node {
            // Reverse tunnels lead to the master of the infrastructure, not to a host that others use, too.
            target.addresses.retain(|place| place.host != "127.0.0.1");
        }
        // As long as agents of the reference tried: twice as long as the daemon waits for the master.
        let settings = self.access(context.job.settings.wait_ssh * 2);
        let mut opened = std::pin::pin!(access::access_all(routes, std::slice::from_ref(&target), &settings));
        tokio::select! {
            opened = opened.next() => match opened.map(|(_, accessed)| accessed) {
                Some(Ok(accessed)) => self.door_opened(node, vm, &target, &accessed).await,
                Some(Err(e)) if e.code == ErrorCode::MasterLost => Err(Stop::Redo(e.message)),
                Some(Err(e)) => self.door_shut(vm, e, None).await,
                None => Ok(()),
            },
            () = self.gone(vm.id) => Ok(()),
        }
    }

    /// Records an open door.
    pub(super) async fn door_opened(
        &self,
        node: &ControlNode,
        vm: &VmFacts,
        target: &Target,
        accessed: &Accessed,
    ) -> Result<(), Stop> {
        let Some(name) = inventory::host_name(vm) else { return Ok(()) };
        let proxy = target.proxy.as_ref().zip(accessed.proxy_host_key.as_ref());
        // Whatever leads to the master concerns the daemon alone.
        let is_control = *node == ControlNode::Vm(vm.id);
        let record = HostRecord {
            name,
            address: accessed.address.host.clone(),
            port: accessed.address.port,
            user: target.user.clone(),
            python: accessed.facts.python().map(|python| python.path.clone()),
            sudo_asks: accessed.facts.sudo == Sudo::Password,
            key: Some(accessed.host_key.clone()),
            proxy: proxy.filter(|_| !is_control).map(|(proxy, key)| (proxy.name(), key.clone())),
            windows: false,
            control: node.clone(),
        };
        let mut reports = Vec::new();
        if vm.host_key.as_ref() != Some(&accessed.host_key) {
            reports.push(Report::HostKey { vm: vm.id, key: accessed.host_key.clone() });
        }
        let proxy_key = proxy.map(|(proxy, key)| proxy.remember(key));
        if let Some(key) = proxy_key.filter(|key| vm.proxy_host_key.as_ref() != Some(key)) {
            reports.push(Report::ProxyHostKey { vm: vm.id, key });
        }
        self.record_door(vm.id, record, reports, accessed.installed, &target.notes).await
    }

    /// Records an open door of any kind.
    pub(super) async fn record_door(
        &self,
        vm: u32,
        record: HostRecord,
        mut reports: Vec<Report>,
        installed: InstalledCredentials,
        notes: &[String],
    ) -> Result<(), Stop> {
        if installed.any() {
            reports.push(Report::CredentialsChanged { vm, installed });
        }
        let mut text = format!("Remote access to VM: {} Open!\n", record.address);
        notes.iter().for_each(|note| text.extend([note, "\n"]));
        reports.push(Report::VmLog { vm, text });
        Ok(self.context.recorder.once(reports, |p| drop(p.hosts.insert(vm, record))).await?)
    }
}
