//! A harvester of OAI-PMH (PyPI `sickle`) against `/oai`: all verbs, and a list that comes in pages. `scripts/make-clients`
//! installs it.

use crate::support::{Daemon, Setup};
use std::{fs, path::Path, process::Command};

const VERSION: &str = "0.7.0";

const HARVEST: &str = r#"
import sys
from sickle import Sickle
from sickle.oaiexceptions import IdDoesNotExist, NoRecordsMatch, NoSetHierarchy
oai = Sickle(sys.argv[1])
identify = oai.Identify()
assert identify.repositoryName == "Templates", identify.raw
assert identify.adminEmail == "admin@example.org" and identify.granularity == "YYYY-MM-DD"
assert [f.metadataPrefix for f in oai.ListMetadataFormats()] == ["oai_dc", "oai_openaire", "oai_datacite"]
records = list(oai.ListRecords(metadataPrefix="oai_dc"))
assert len(records) == 130, len(records)
assert len({record.header.identifier for record in records}) == 130
first = records[0]
assert first.metadata["title"] == ["Template 0"] and first.header.datestamp == "2021-02-03", first.raw
headers = list(oai.ListIdentifiers(metadataPrefix="oai_datacite", **{"from": "2021-02-03", "until": "2021-02-03"}))
assert len(headers) == 130
one = oai.GetRecord(identifier=first.header.identifier, metadataPrefix="oai_openaire")
assert one.metadata["title"] == ["Template 0"], one.raw
for call, error in [
    (lambda: oai.ListSets(), NoSetHierarchy),
    (lambda: oai.GetRecord(identifier="nothing", metadataPrefix="oai_dc"), IdDoesNotExist),
    (lambda: oai.ListRecords(metadataPrefix="oai_dc", until="1999-01-01"), NoRecordsMatch),
]:
    try:
        call()
    except error:
        continue
    raise SystemExit(f"no {error.__name__}")
print("harvested")
"#;

#[tokio::test]
async fn a_harvester_reads_the_whole_catalogue() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("target/clients/sickle-{VERSION}/bin/python"));
    assert!(python.exists(), "{} is missing: run scripts/make-clients", python.display());
    let mirror = tempfile::tempdir().unwrap();
    let folder = mirror.path().join("templates.example.org/all");
    fs::create_dir_all(&folder).unwrap();
    for number in 0..130 {
        let text =
            format!("metadata:\n  display_name: Template {number}\n  creation_date: 2021-02-03\n  tag: [a, b]\n");
        fs::write(folder.join(format!("{number:03}.yaml")), text).unwrap();
    }
    // What is no template does not break the catalogue.
    fs::write(folder.join("broken.yaml"), "metadata: [").unwrap();
    fs::write(folder.join("README.md"), "# Templates").unwrap();
    let mut daemon = Daemon::over_dummy(Setup {
        options: format!(
            "TOSCA_MIRROR_DIR = {}\nOAIPMH_REPO_BASE_IDENTIFIER_URL = https://templates.example.org/all\n\
             OAIPMH_REPO_NAME = Templates\nOAIPMH_REPO_DESCRIPTION = All of them\n\
             OAIPMH_REPO_ADMIN_EMAIL = admin@example.org\n",
            mirror.path().display()
        ),
        ..Setup::default()
    });
    daemon.start().await;
    let url = daemon.url("/oai");
    let harvest = move || Command::new(python).args(["-c", HARVEST, &url]).env("NO_PROXY", "*").output().unwrap();
    let output = tokio::task::spawn_blocking(harvest).await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && output.stdout == b"harvested\n", "{errors}");
}
