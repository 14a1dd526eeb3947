//! What no log shows.

use crate::{access::Proxy, contract::Job, journal::text::Cleaner, ssh::Login};

/// Masks everything secret that this job knows.
pub(super) fn cleaner(job: &Job) -> Cleaner {
    let mut secrets = vec![job.ansible_key.private.clone()];
    secrets.extend(job.exposed_auth.clone());
    for vm in job.vms.borrow().iter() {
        let proxy = Proxy::of(&vm.info).ok().flatten();
        secrets.extend(proxy.into_iter().flat_map(|proxy| proxy.logins).map(|login| match login {
            Login::Password(text) | Login::PrivateKey(text) => text,
        }));
    }
    // The document has what machines were made with, whatever took its place.
    let machines = job.vms.borrow().clone();
    secrets.extend(machines.iter().flat_map(|vm| vm.former_secrets.iter().cloned()));
    for system in machines.iter().flat_map(|vm| &vm.info.systems).chain(&job.radl.systems) {
        for credentials in [system.credentials(), system.new_credentials()] {
            secrets.extend(credentials.password);
            secrets.extend(credentials.private_key);
        }
    }
    for host in &job.radl.ansible_hosts {
        let texts = ["credentials.password", "credentials.private_key"].map(|name| host.features.text(name));
        secrets.extend(texts.into_iter().flatten().map(str::to_owned));
    }
    let passwords = job.radl.systems.iter().filter_map(|system| system.features.text("vault.password"));
    secrets.extend(passwords.map(str::to_owned));
    Cleaner::new(secrets, job.settings.log_ascii)
}
