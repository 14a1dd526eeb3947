//! Ansible, and the roles and collections of the document, come to a control node; a role that fails concerns the machines
//! that need it.

use super::{pass::Pass, rules::progress::Progress, stop::Stop};
use crate::{
    access::Target,
    bootstrap::{self, BootstrapError, Privilege, Runtime},
    contract::{Cause, ErrorCode, Report, VmError, VmFacts},
    galaxy::{self, Wanted, install::Installation},
    plan::{
        control::ControlNode,
        decide::{option, system_of},
    },
    ssh::{SshError, SshSession},
};
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// Phase of these failures.
const PHASE: &str = "galaxy";

impl Pass<'_, '_> {
    /// Brings Ansible, and the roles and collections of the document, to a control node.
    pub(super) async fn install(&self, node: &ControlNode, target: &Target, session: &SshSession) -> Result<(), Stop> {
        let (context, recorder) = (self.context, self.context.recorder);
        let version = option(&context.job.radl, bootstrap::VERSION);
        let plain = |v: &&str| v.len() <= 40 && v.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
        let what = version.filter(plain).map_or(String::new(), |v| format!(" (v. {v})"));
        let place = match node {
            ControlNode::Vm(_) => "master VM".to_owned(),
            ControlNode::Host(_) => node.to_string(),
        };
        let lines = [
            "Performing preliminary steps to configure Ansible.".to_owned(),
            format!("Configure Ansible{what} in the {place}."),
        ];
        recorder.log_once(lines).await?;
        let (settings, privilege) = (&context.job.settings, Privilege::of(target));
        let (runtime, mut notes) = bootstrap::bootstrap(session, settings, &context.conf_dir, version, &privilege)
            .await
            .map_err(|e| match e {
                BootstrapError::Ssh(SshError::Disconnected { .. }) => Stop::Redo(e.to_string()),
                e => Stop::Refused(e.code(), format!("Error configuring master node: {node}: {e}")),
            })?;
        notes.push(format!("Ansible successfully configured in the {place}."));
        let reports = notes.into_iter().map(Report::InfrastructureLog).collect();
        let keep = |p: &mut Progress| {
            for record in p.controls.iter_mut().filter(|record| record.node == *node) {
                record.runtime = Some(runtime.clone());
            }
        };
        recorder.once(reports, keep).await?;
        self.roles(node, &runtime, &privilege, session).await
    }

    /// Installs on a control node the roles and collections that its machines need.
    async fn roles(
        &self,
        node: &ControlNode,
        runtime: &Runtime,
        privilege: &Privilege,
        session: &SshSession,
    ) -> Result<(), Stop> {
        let (context, recorder) = (self.context, self.context.recorder);
        let job = context.job;
        let mirror = job.settings.galaxy_server.as_deref();
        if let Err(fault) = galaxy::check(&job.radl, mirror) {
            recorder.log_once([format!("WARNING: not installed: {fault}")]).await?;
        }
        let mut wanted = galaxy::wanted(&job.radl, mirror);
        if let ControlNode::Host(_) = node {
            wanted.retain(|wanted| self.vms().iter().any(|vm| self.needs(node, vm, wanted)));
        }
        if wanted.is_empty() {
            return Ok(());
        }
        recorder.log_once(wanted.iter().map(galaxy::install::announcement)).await?;
        let time = job.deadline.saturating_duration_since(Instant::now());
        let again = job.cause == Cause::Reconfigure;
        let places = (context.conf_dir.as_str(), wanted.as_slice());
        let installed = galaxy::install::install(session, &job.settings, runtime, privilege, places, again, time)
            .await
            .map_err(|e| Stop::Redo(format!("roles and collections cannot be installed: {e}")))?;
        self.record_roles(node, &wanted, installed).await
    }

    /// Records what became of roles and collections; a failure is one of all machines that need what failed.
    async fn record_roles(
        &self,
        node: &ControlNode,
        wanted: &[Wanted],
        installed: Vec<Installation>,
    ) -> Result<(), Stop> {
        let recorder = self.context.recorder;
        let (mut reports, mut results, mut lock_step) = (Vec::new(), Vec::new(), Vec::new());
        let (mut alone_roles, mut faults) = (Vec::new(), BTreeMap::new());
        for (wanted, Installation { fresh, error, lock_step: needs, alone }) in wanted.iter().zip(installed) {
            let (kind, requirement) = (wanted.requirement.kind, &wanted.requirement);
            if needs {
                lock_step.push(requirement.installed_name().to_owned());
            }
            if alone {
                alone_roles.push(requirement.installed_name().to_owned());
            }
            let Some(error) = error else {
                let state = if fresh { "installed" } else { "there already" };
                reports.push(Report::InfrastructureLog(format!("Galaxy {kind} {requirement}: {state}.")));
                continue;
            };
            let error: String = error.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            let message = format!("the {kind} {requirement} could not be installed: {error}");
            // Other machines may use it, too: they hear the same when it turns out.
            faults.insert(galaxy::fault_key(kind, requirement.installed_name()), message.clone());
            reports.push(Report::InfrastructureLog(format!("WARNING: {message}.")));
            for vm in self.vms().iter().filter(|vm| self.needs(node, vm, wanted)) {
                let error = VmError::new(ErrorCode::RoleInstall, PHASE, message.clone());
                let text = format!("ERROR: Galaxy {kind} {requirement}\n{}", error.final_cause());
                reports.push(Report::VmLog { vm: vm.id, text });
                results.push((vm.id, Err(error)));
            }
        }
        let note = |p: &mut Progress| {
            p.lock_step_roles.extend(lock_step);
            p.alone_roles.extend(alone_roles);
            p.not_installed.extend(faults);
        };
        recorder.once(reports, note).await?;
        // A machine that lacks two roles has one result.
        let mut seen = BTreeSet::new();
        results.retain(|(vm, _)| seen.insert(*vm));
        Ok(recorder.results(results).await?)
    }

    /// Whether the machine, configured by this control node, needs it.
    fn needs(&self, node: &ControlNode, vm: &VmFacts, wanted: &Wanted) -> bool {
        let here = matches!(node, ControlNode::Vm(_)) || self.in_charge(node, vm);
        here && wanted.systems.contains(system_of(vm))
    }
}
