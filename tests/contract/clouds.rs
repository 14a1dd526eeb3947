//! Clouds of the caller, and what a document would use of them (docs/spec/api.md 6.2 and 6.3).

use crate::support::{Answer, Server, TEXT};
use reqwest::{Method, header};
use serde_json::json;

#[tokio::test]
async fn images_and_quotas() {
    let server = Server::start().await;
    let images = server.get("/clouds/dummy/images?filters=distribution=debian,version=12").await;
    let image = |n: u8| json!({"uri": format!("mock0://linux.for.ev.er/image{n}"), "name": format!("Image Name{n}")});
    assert_eq!(images.json(), json!({"images": [image(1), image(2)]}));
    let quotas = server.get_json("/clouds/dummy/quotas").await;
    assert_eq!(quotas.json()["quotas"]["cores"], json!({"used": 1, "limit": 10}), "{}", quotas.text);
    let refusals = [
        ("/clouds/nocloud/quotas", 400, "Error getting cloud info: Cloud ID nocloud not found."),
        ("/clouds/dummy/images?filters=", 400, "Invalid format in filters parameter."),
        ("/clouds/dummy/images?filters=a=b=c", 400, "Invalid format in filters parameter."),
        ("/clouds/dummy/other", 404, "Incorrect cloud property"),
    ];
    for (path, status, text) in refusals {
        assert_eq!(server.get(path).await.parts(), (status, TEXT, text), "{path}");
    }
    let text = Answer::of(server.request(Method::GET, "/clouds/dummy/images").header(header::ACCEPT, "text/plain"));
    assert_eq!(text.await.status, 415);
}

#[tokio::test]
async fn an_estimate_makes_nothing() {
    let server = Server::start().await;
    let document = "network pub ( outbound = 'yes' )
network inner ()
system front ( cpu.count = 2 and memory.size >= 512m and net_interface.0.connection = 'pub' and
  disk.0.image.url = 'mock0://linux.for.ev.er/image1' and disk.0.size = 10g and disk.1.size = 1g and disk.1.type = 'ssd' )
system inside ( net_interface.0.connection = 'inner' and disk.0.image.url = 'mock0://linux.for.ev.er/image1' )
deploy front 1
deploy inside 2
";
    let estimate = server.post("/infrastructures?dry_run=yes", document.to_owned()).await;
    assert_eq!((estimate.status.as_u16(), estimate.header("content-type")), (200, "application/json"));
    let inside = json!({"cpuCores": 1, "memoryInMegabytes": 512});
    let front = json!({"cpuCores": 2, "memoryInMegabytes": 512, "diskSizeInGigabytes": 10, "publicIP": 1});
    let expected = json!({"dummy": {
        "cloudType": "Dummy",
        "cloudEndpoint": "http://:80",
        "compute": [front, inside, inside],
        "storage": [{"sizeInGigabytes": 10}, {"sizeInGigabytes": 1, "type": "ssd"}],
    }});
    assert_eq!(estimate.json(), expected);
    assert_eq!(server.get("/infrastructures").await.text, "");
    // What is not whole stays so; whole amounts are rounded to whole ones.
    let sizes = async |features: &str| {
        let document = format!(
            "network pub ( )\nsystem a ( net_interface.0.connection = 'pub' and cpu.count = 0.5 and disk.0.image.url = \
             'mock0://linux.for.ev.er/image1' and {features} )\ndeploy a 1"
        );
        let estimate = server.post("/infrastructures?dry_run=yes", document).await.json();
        (estimate["dummy"]["compute"][0].clone(), estimate["dummy"]["storage"].clone())
    };
    let disks = "disk.0.size = 10.4GB and disk.0.free_size = 3.92GB and disk.1.size = 1.5GB and disk.2.size = 2500M";
    let (compute, storage) = sizes(disks).await;
    assert_eq!((&compute["cpuCores"], &compute["diskSizeInGigabytes"]), (&json!(0.5), &json!(14.32)));
    let storage_of = |sizes: &[serde_json::Value]| {
        serde_json::Value::from_iter(sizes.iter().map(|size| json!({"sizeInGigabytes": size})))
    };
    assert_eq!(storage, storage_of(&[json!(10.4), json!(1.5), json!(2)]));
    let (compute, storage) = sizes("memory.size = 1500k and disk.0.size = 1.0GB").await;
    assert_eq!((&compute["memoryInMegabytes"], &compute["diskSizeInGigabytes"]), (&json!(2), &json!(1.0)));
    assert_eq!(storage, storage_of(&[json!(1.0)]));
    let nothing = server.post("/infrastructures?dry_run=1", "system a ()".to_owned()).await;
    assert_eq!(nothing.text, "{}");
}
