//! What single options cannot know: values that do not go together, and values that are allowed but dangerous.

use super::{Config, ExposeAuth, Problem, layers::Layers};

/// Adds what keeps the daemon from starting to `errors`, and what the operator should know to `warnings`.
pub(super) fn check(config: &Config, layers: &Layers, warnings: &mut Vec<Problem>, errors: &mut Vec<Problem>) {
    let problem_in = |section, key, text: String| Problem { place: layers.get(section, key).1.to_owned(), text };
    let problem = |key, text| problem_in("im", key, text);
    if config.vm_info_update_error_grace_period <= config.vm_info_update_frequency {
        errors.push(problem(
            "vm_info_update_error_grace_period",
            "VM_INFO_UPDATE_ERROR_GRACE_PERIOD must be greater than VM_INFO_UPDATE_FREQUENCY".into(),
        ));
    }
    for (key, value) in [
        ("max_simultaneous_launches", config.max_simultaneous_launches),
        ("max_vms_per_request", config.max_vms_per_request as usize),
        ("max_vm_fails", config.max_vm_fails as usize),
        ("playbook_retries", config.playbook_retries as usize),
        ("ctxt_forks", config.ctxt_forks as usize),
        ("ctxt_max_ssh", config.ctxt_max_ssh),
        ("rest_max_connections", config.rest_max_connections),
        ("xmlrcp_max_connections", config.xmlrcp_max_connections),
    ] {
        if value == 0 {
            errors.push(problem(key, format!("{} must be at least 1", key.to_uppercase())));
        }
    }
    // Below this the HTTP library cannot work, and no list of credentials fits.
    for (key, size) in [
        ("rest_max_header_size", config.rest_max_header_size),
        ("xmlrcp_max_header_size", config.xmlrcp_max_header_size),
    ] {
        if size < 8192 {
            errors.push(problem(key, format!("{} must be at least 8192", key.to_uppercase())));
        }
    }
    if let Err(error) = crate::store::check_url(config.data_db.as_str()) {
        errors.push(problem("data_db", format!("DATA_DB: {error}")));
    }
    if !config.activate_rest && !config.activate_xmlrpc {
        let text = "ACTIVATE_REST = False and ACTIVATE_XMLRPC = False leave the daemon without any API";
        errors.push(problem("activate_rest", text.into()));
    }
    if contextualization::bootstrap::Wish::new(None, &config.ansible_version).is_err() {
        let text = "ANSIBLE_VERSION: expected a version of the Ansible package (9), of ansible-core (2.16), or latest";
        errors.push(problem("ansible_version", text.into()));
    }
    if config.ctxt_expose_auth == ExposeAuth::Full {
        let text = "CTXT_EXPOSE_AUTH = full: every recipe can act as the owner of its infrastructure";
        warnings.push(problem("ctxt_expose_auth", text.into()));
    }
    if config.force_oidc_auth {
        let text = "FORCE_OIDC_AUTH: tokens cannot be validated in this version, so every request will be refused";
        warnings.push(problem("force_oidc_auth", text.into()));
    }
    if config.local.enabled {
        let text = "[Local] ENABLED: whoever may call the API can run programs as root in nodes of this host";
        warnings.push(problem_in("Local", "enabled", text.into()));
    }
}
