//! Docker: a real engine.

use clouds::docker::{Engine, IMAGE};
use connectors::{
    CloudAccount, ConnectContext, Connector, ConnectorSettings, Endpoint,
    conformance::{Backstage, Case, Subject},
    docker::CLOUD,
    http::HttpSettings,
};
use radl::Radl;
use std::sync::Arc;

fn connect(engine: &Engine) -> Arc<dyn Connector> {
    let http = HttpSettings { environment_proxy: false, ..HttpSettings::default() };
    let context = ConnectContext::new(ConnectorSettings { http, ..ConnectorSettings::default() });
    let at = engine.proxy().address();
    let endpoint = Endpoint {
        protocol: "http".to_owned(),
        server: at.ip().to_string(),
        port: Some(at.port()),
        path: String::new(),
    };
    let account =
        CloudAccount { id: "docker".to_owned(), kind: CLOUD.kind.to_owned(), endpoint, fields: Default::default() };
    (CLOUD.connect)(&context, &account).unwrap()
}

/// A machine with all that a container can have, but for ports of the engine's host: several machines of one document share
/// these, and only one of them could have those that it names.
fn document() -> Radl {
    let text = format!(
        "network open (outbound = 'yes')\n\
         network inside ()\nnetwork other ()\n\
         system node (disk.0.image.url = ['one://elsewhere/1', 'docker://{IMAGE}'] and cpu.count = 1 and \
         memory.size = 256M and net_interface.0.connection = 'open' and net_interface.1.connection = 'inside' and \
         net_interface.2.connection = 'other' and disk.1.mount_path = '/data')\n"
    );
    Radl::parse(&text).unwrap()
}

async fn conforms(_name: &str, case: Case) {
    let engine = Arc::new(Engine::start().await);
    let connector = connect(&engine);
    let document = document();
    let mut system = connector.candidates(&document.systems[0]).await.unwrap().remove(0).system;
    system.features.set_text("disk.0.os.credentials.public_key", "ssh-ed25519 AAAA daemon");
    let backstage: Arc<dyn Backstage> = engine.clone();
    let subject = Subject { backstage: Some(backstage), ..Subject::new(connector, system, document.networks) };
    case(&subject).await;
    assert_eq!(engine.holdings(), Vec::<String>::new(), "nothing is left in the engine");
}

mod conformance {
    connectors::conformance!(super::conforms);
}
