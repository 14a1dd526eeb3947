//! Known Java clients fail on keys they do not know: every JSON answer of the old contract, read by a decoder that takes
//! no other key than the contract's, and misses none.

use crate::support::{Answer, Server, document};
use reqwest::{Method, header};
use serde::{Deserialize, de::DeserializeOwned};
use std::collections::BTreeMap;

macro_rules! strict {
    ($($name:ident { $($(#[$meta:meta])? $field:ident: $kind:ty),+ $(,)? })+) => {
        $(#[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[allow(dead_code)]
        struct $name { $($(#[$meta])? $field: $kind,)+ })+
    };
}

strict! {
    Error { message: String, code: u16 }
    Version { version: String }
    Uri { uri: String }
    Uris { #[serde(rename = "uri-list")] uris: Vec<Uri> }
    State { state: States }
    States { state: String, vm_states: BTreeMap<String, String> }
    Log { contmsg: String }
    Document { radl: String }
    Machine { radl: Vec<serde_json::Map<String, serde_json::Value>> }
    Owners { authorization: Vec<String> }
    Data { data: String }
    Images { images: Vec<Image> }
    Image { uri: String, name: String }
    Quotas { quotas: BTreeMap<String, Quota> }
    Quota { used: u64, limit: u64 }
    Statistics { stats: Vec<Row> }
    Row {
        creation_date: String, tosca_name: String, vm_count: u64, cpu_count: u64, memory_size: u64,
        cloud_type: Option<String>, cloud_host: Option<String>, hybrid: bool, deleted: bool, im_user: String,
        inf_id: String, last_date: String,
    }
    Estimate {
        #[serde(rename = "cloudType")] kind: String,
        #[serde(rename = "cloudEndpoint")] endpoint: String,
        compute: Vec<Compute>,
        storage: Vec<Storage>,
    }
    Compute {
        #[serde(rename = "cpuCores")] cores: u64,
        #[serde(rename = "memoryInMegabytes")] memory: u64,
        #[serde(rename = "publicIP")] public: Option<u64>,
    }
    Storage { #[serde(rename = "sizeInGigabytes")] size: u64 }
}

#[tokio::test]
async fn no_answer_has_a_key_of_its_own() {
    let server = Server::start().await;
    let path = server.create(2).await;
    async fn read<T: DeserializeOwned>(server: &Server, method: Method, path: &str, body: String, status: u16) -> T {
        let request = server.request(method, path).header(header::ACCEPT, "application/json").body(body);
        let answer = Answer::of(request).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.text);
        serde_json::from_str(&answer.text).unwrap_or_else(|error| panic!("{path}: {error}: {}", answer.text))
    }
    macro_rules! get {
        ($kind:ty, $path:expr) => {
            read::<$kind>(&server, Method::GET, &$path, String::new(), 200).await
        };
    }
    get!(Version, "/version");
    assert_eq!(get!(Uris, "/infrastructures").uris.len(), 1);
    assert_eq!(get!(Uris, path).uris.len(), 2);
    assert_eq!(get!(State, format!("{path}/state")).state.vm_states.len(), 2);
    get!(Log, format!("{path}/contmsg"));
    get!(Document, format!("{path}/radl"));
    get!(Owners, format!("{path}/authorization"));
    get!(Data, format!("{path}/data"));
    get!(Machine, format!("{path}/vms/0"));
    get!(Log, format!("{path}/vms/0/contmsg"));
    get!(BTreeMap<String, u64>, format!("{path}/vms/0/memory.size"));
    get!(Images, "/clouds/dummy/images");
    assert!(!get!(Quotas, "/clouds/dummy/quotas").quotas.is_empty());
    assert_eq!(get!(Statistics, "/stats").stats.len(), 1);
    let post = |path: &str| (Method::POST, path.to_owned());
    let (method, estimate) = post("/infrastructures?dry_run=1");
    let estimate: BTreeMap<String, Estimate> = read(&server, method, &estimate, document(1), 200).await;
    assert_eq!(estimate["dummy"].compute.len(), 1);
    let (method, create) = post("/infrastructures");
    read::<Uri>(&server, method, &create, document(1), 200).await;
    read::<Uris>(&server, Method::POST, &path, document(1), 200).await;
    read::<Machine>(&server, Method::PUT, &format!("{path}/vms/0"), "system node ( cpu.count = 2 )".into(), 200).await;
    read::<Error>(&server, Method::GET, &format!("{path}/vms/77"), String::new(), 404).await;
    read::<Error>(&server, Method::POST, "/infrastructures", "bad".to_owned(), 400).await;
    read::<Error>(&server, Method::GET, "/nothing", String::new(), 404).await;
}
