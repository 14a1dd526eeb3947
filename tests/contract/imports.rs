//! Files that documents of TOSCA name: from copies on the host, and from nowhere that the configuration does not name.

use crate::support::{Answer, Server};
use imd::api::rest::RestSettings;
use reqwest::{Method, header};
use std::{fs, path::Path};

async fn create(server: &Server, document: String) -> Answer {
    let request = server.request(Method::POST, "/infrastructures").header(header::CONTENT_TYPE, "text/yaml");
    Answer::of(request.body(document)).await
}

#[tokio::test]
async fn documents_get_the_files_that_the_configuration_allows() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/tosca");
    let document = || fs::read_to_string(examples.join("two-tiers.yaml")).unwrap();
    let options = format!("TOSCA_MIRROR_DIR = {}", examples.join("mirror").display());
    let server = Server::configured(RestSettings::default(), &options).await;
    let created = create(&server, document()).await;
    assert_eq!(created.status.as_u16(), 200, "{}", created.text);
    let path = created.text.strip_prefix(&server.url("")).unwrap().to_owned();
    let radl = server.get(&format!("{path}/radl")).await.text;
    assert!(radl.contains("start-stop-daemon") && radl.contains("data of catalogue"), "{radl}");
    assert_eq!(server.get(&format!("{path}/tosca")).await.text, document());

    let closed = Server::start().await;
    let refused = create(&closed, document()).await;
    assert_eq!(refused.status.as_u16(), 400, "{}", refused.text);
    let known = refused.text.contains("https://recipes.example.org/tosca/web.yml");
    assert!(known && refused.text.contains("TOSCA_IMPORT_HOSTS"), "{}", refused.text);

    // Whatever hosts are named, this one is reached at no public address.
    let open = Server::configured(RestSettings::default(), "TOSCA_IMPORT_HOSTS = *").await;
    for (from, to, why) in [
        ("recipes.example.org", "127.0.0.1", "loopback"),
        ("recipes.example.org", "169.254.169.254", "link-local"),
        ("https://recipes.example.org", "http://recipes.example.org", "https"),
    ] {
        let refused = create(&open, document().replace(from, to)).await;
        assert!(refused.status.as_u16() == 400 && refused.text.contains(why), "{to}: {}", refused.text);
    }
}
