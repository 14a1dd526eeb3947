//! Roles and collections of the document come to the master; a failing one concerns the machines that need it.

use super::{Stop, progress::Progress, stages::Stage};
use crate::{
    bootstrap::{Privilege, Runtime},
    contract::{Cause, Effect, ErrorCode, VmError, VmFacts},
    galaxy::{self, Wanted, install::Installed},
    plan::{control::ControlNode, decide::system_of},
    ssh::SshSession,
};
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// Phase of these failures.
const PHASE: &str = "galaxy";

impl Stage<'_, '_> {
    /// Installs on a control node what its machines need, records the failures, and remembers which roles need lock step.
    pub(super) async fn roles(
        &self,
        node: &ControlNode,
        runtime: &Runtime,
        privilege: &Privilege,
        session: &SshSession,
    ) -> Result<(), Stop> {
        let (driver, recorder) = (self.driver, self.driver.recorder);
        let job = driver.job;
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
        let places = (driver.conf_dir.as_str(), wanted.as_slice());
        let installed = galaxy::install::install(session, &job.settings, runtime, privilege, places, again, time)
            .await
            .map_err(|e| Stop::Redo(format!("roles and collections cannot be installed: {e}")))?;

        let (mut effects, mut results, mut lock_step) = (Vec::new(), Vec::new(), Vec::new());
        let (mut alone_roles, mut faults) = (Vec::new(), BTreeMap::new());
        for (wanted, Installed { fresh, error, lock_step: needs, alone }) in wanted.iter().zip(installed) {
            let (kind, requirement) = (wanted.requirement.kind, &wanted.requirement);
            if needs {
                lock_step.push(requirement.installed_name().to_owned());
            }
            if alone {
                alone_roles.push(requirement.installed_name().to_owned());
            }
            let Some(error) = error else {
                let state = if fresh { "installed" } else { "there already" };
                effects.push(Effect::InfrastructureLog(format!("Galaxy {kind} {requirement}: {state}.")));
                continue;
            };
            let error: String = error.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            let message = format!("the {kind} {requirement} could not be installed: {error}");
            // Other machines may use it, too: they hear the same when it turns out.
            faults.insert(galaxy::fault_key(kind, requirement.installed_name()), message.clone());
            effects.push(Effect::InfrastructureLog(format!("WARNING: {message}.")));
            for vm in self.vms().iter().filter(|vm| self.needs(node, vm, wanted)) {
                let error = VmError::new(ErrorCode::RoleInstall, PHASE, message.clone());
                let text = format!("ERROR: Galaxy {kind} {requirement}\n{}", error.final_cause());
                effects.push(Effect::VmLog { vm: vm.id, text });
                results.push((vm.id, Err(error)));
            }
        }
        let note = |p: &mut Progress| {
            p.lock_step_roles.extend(lock_step);
            p.alone_roles.extend(alone_roles);
            p.not_installed.extend(faults);
        };
        recorder.once(effects, note).await?;
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
