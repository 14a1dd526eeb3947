//! The doors of Windows machines.

use super::{pass::Pass, rules::progress::HostRecord, stop::Stop};
use crate::{
    access::access_windows,
    contract::{ErrorCode, Report, VmFacts},
    plan::{control::ControlNode, inventory},
    ssh::SshSession,
};

impl Pass<'_, '_> {
    /// Waits for WinRM and sets the new password.
    pub(super) async fn windows_door(
        &self,
        node: &ControlNode,
        vm: &VmFacts,
        session: &SshSession,
    ) -> Result<(), Stop> {
        let (job, recorder) = (self.context.job, self.context.recorder);
        let Some(name) = inventory::host_name(vm) else { return Ok(()) };
        let text = format!("Waiting WinRM access to VM: {}\n", inventory::main_ip(vm).unwrap_or_default());
        recorder.record(vec![Report::VmLog { vm: vm.id, text }], |_| {}).await?;
        let settings = self.access(job.settings.wait_ssh * 2);
        let opened = tokio::select! {
            opened = access_windows(session, vm, &settings) => opened,
            () = self.gone(vm.id) => return Ok(()),
        };
        let accessed = match opened {
            Ok(accessed) => accessed,
            Err(e) if e.code == ErrorCode::MasterLost => return Err(Stop::Redo(e.message)),
            Err(e) => return self.door_shut(vm, e, None).await,
        };
        let record = HostRecord {
            name,
            address: accessed.address.host,
            port: accessed.address.port,
            user: accessed.user,
            python: None,
            sudo_asks: false,
            key: None,
            proxy: None,
            windows: true,
            control: node.clone(),
        };
        self.record_door(vm.id, record, Vec::new(), accessed.installed, &accessed.notes).await
    }
}
