//! Reading of whole configurations.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use std::time::Duration;

fn file(text: &str) -> Vec<(PathBuf, String)> {
    vec![("im.cfg".into(), text.into())]
}

fn texts(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

#[test]
fn defaults_are_valid_and_silent() {
    let report = read(&[], &[]);
    assert_eq!((texts(&report.errors), texts(&report.warnings)), (String::new(), String::new()));
    let config = report.into_config().unwrap();
    assert_eq!((config.rest_port, config.max_vm_fails, config.boot_mode), (8800, 3, BootMode::Normal));
    assert!(config.verifi_ssl && !config.local.enabled);
    assert!(config.activate_rest && config.activate_xmlrpc && config.xmlrcp_port == 8899);
    assert_eq!(config.private_net_masks.len(), 7);
    assert_eq!(config.wait_ssh_acccess_timeout, Duration::from_secs(300));
}

/// `UPDATE_IM_CFG=1 cargo test` writes the file anew after a change of the table.
#[test]
fn the_distributed_file_documents_every_option_and_changes_none() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/im.cfg");
    if std::env::var_os("UPDATE_IM_CFG").is_some() {
        std::fs::write(&path, template()).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, template(), "etc/im.cfg is not what the table of options says: run with UPDATE_IM_CFG=1");

    // Read with every option uncommented it sets all of them, to their defaults.
    let uncommented: String = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(option) if option.starts_with(|c: char| c.is_ascii_uppercase()) => format!("{option}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let entries = ini::read(&uncommented).0;
    for row in rows() {
        let entry = entries.iter().find(|entry| entry.section == row.section && entry.key == row.key);
        assert_eq!(entry.map(|entry| entry.value.as_str()), Some(row.default), "{}", row.key);
    }
    let report = read(&file(&uncommented), &[]);
    assert!(report.settings.is_empty() && report.warnings.is_empty() && report.errors.is_empty(), "{report:?}");
}

#[test]
fn later_files_and_then_the_environment_win_option_by_option() {
    let files = [
        (PathBuf::from("a"), "[im]\nrest_port = 1\nBOOT_MODE = 1\nDATA_DB = sqlite:///a%%40b\n".to_owned()),
        (PathBuf::from("b"), "[im]\nREST_PORT = 2\nOIDC_SCOPES = a , b,\n[Local]\nMAX_VMS = 7\n".to_owned()),
    ];
    let variables = [("IM_REST_PORT", "3"), ("IM_LOCAL_STATE_DIR", "/x"), ("IM_REST_PROT", "4")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let report = read(&files, &variables);
    assert!(
        texts(&report.warnings).contains("IM_REST_PROT: names no option and is ignored; did you mean IM_REST_PORT?")
    );
    let config = report.into_config().unwrap();
    assert_eq!((config.rest_port, config.boot_mode, config.local.max_vms), (3, BootMode::ReadOnly, 7));
    assert_eq!(
        (config.data_db.as_str(), config.oidc_scopes),
        ("sqlite:///a%40b", vec!["a".to_owned(), "b".to_owned()])
    );
    assert_eq!(config.local.state_dir, Path::new("/x"));
}

#[test]
fn one_variable_describes_a_single_opennebula_site() {
    let report = read(&[], &[("IM_SINGLE_SITE_ONE_HOST".into(), "one.example".into())]);
    assert_eq!(texts(&report.warnings).matches("has no effect").count(), 5);
    let config = report.into_config().unwrap();
    assert_eq!(config.single_site_auth_host, "http://one.example:2633");
    assert_eq!(config.opennebula.tts_url, "https://one.example:8443");
}

#[test]
fn what_is_misspelt_misplaced_or_without_effect_is_said() {
    let report = read(
        &file(
            "[im]\nREST_PROT = 1\nXYZZY = 1\nTTS_URL = x\nOIDC_ISSUERS = https://i\nBOOT_MODE = 0\nBOOT_MODE = 0\n[locl]\nENABLED = 1\n",
        ),
        &[],
    );
    assert_eq!(
        texts(&report.warnings),
        "im.cfg:2: unknown option REST_PROT is ignored; did you mean REST_PORT?\n\
         im.cfg:3: unknown option XYZZY is ignored\n\
         im.cfg:4: TTS_URL is an option of [OpenNebula], not of [im]; it is ignored here\n\
         im.cfg:7: BOOT_MODE was set in line 6 already; this one counts\n\
         im.cfg:9: unknown section [locl], ENABLED is ignored; did you mean [Local]?\n\
         im.cfg:5: OIDC_ISSUERS has no effect: not available in this version: OpenID Connect; every token is refused\n"
    );
}

#[test]
fn every_error_names_its_place_and_secrets_never_show() {
    let report = read(
        &file(
            "[im]\nREST_PORT = many\nVERIFI_SSL = maybe\nADMIN_USER = {\"username\": \"u\", \"password\": sesame}\n\
             DATA_DB = mysql://im:sesame@db/im\nOIDC_CLIENT_SECRET = sesame\nVM_INFO_UPDATE_FREQUENCY = 500\n=\n",
        ),
        &[],
    );
    let all = format!("{report:?}{}{}", texts(&report.errors), texts(&report.warnings));
    assert!(!all.contains("sesame"), "{all}");
    let errors = texts(&report.errors);
    for place in [
        "im.cfg:2: REST_PORT: expected a whole number from 0 to 65535, not \"many\"",
        "im.cfg:3:",
        "im.cfg:4:",
        "im.cfg:8:",
    ] {
        assert!(errors.contains(place), "{errors}");
    }
    assert!(report.into_config().is_err());

    let report = read(
        &file(
            "[im]\nADMIN_USER = [{\"username\": \"u\", \"password\": \"sesame\"}]\nDATA_DB = mysql://im:sesame/x@db/im\n\
                             VM_INFO_UPDATE_FREQUENCY = 500\nANSIBLE_VERSION = newest\n",
        ),
        &[],
    );
    let errors = texts(&report.errors);
    assert!(errors.contains("im.cfg:3: DATA_DB") && errors.contains("GRACE_PERIOD must be greater"), "{errors}");
    assert!(errors.contains("im.cfg:5: ANSIBLE_VERSION: expected a version"), "{errors}");
    let shown: Vec<&str> = report.settings.iter().map(|setting| setting.shown.as_str()).collect();
    assert_eq!(shown, ["mysql://im:***@db/im", "***", "500", "newest"]);
    assert!(!format!("{report:?}").contains("sesame"));
}

#[test]
fn a_named_file_must_be_there_and_replaces_the_search() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("bin/imd");
    std::fs::create_dir_all(directory.path().join("etc")).unwrap();
    std::fs::write(directory.path().join("im.cfg"), "[im]\nREST_PORT = 1\n").unwrap();
    std::fs::write(directory.path().join("etc/im.cfg"), "[im]\nREST_PORT = 2\n").unwrap();
    let mut variables = vec![("ANSIBLE_VERSION".to_owned(), "11".to_owned())];
    let version =
        |variables: &[_]| load(None, &program, variables.iter().cloned()).into_config().unwrap().ansible_version;
    assert_eq!(version(&variables), "11");
    variables.insert(0, ("IM_ANSIBLE_VERSION".to_owned(), "8".to_owned()));
    assert_eq!(version(&variables), "8");
    let found = load(None, &program, std::iter::empty());
    assert!(found.files.starts_with(&[directory.path().join("im.cfg"), directory.path().join("etc/im.cfg")]));
    let missing = load(Some(&directory.path().join("none")), &program, std::iter::empty());
    assert!(texts(&missing.errors).contains("none: cannot be read"));
    let named = load(Some(&directory.path().join("im.cfg")), &program, std::iter::empty());
    assert_eq!(named.into_config().unwrap().rest_port, 1);
}
