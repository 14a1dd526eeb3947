//! Statistics (docs/spec/api.md 6.1).

use crate::{
    support::{Answer, STRANGER, Server},
    xmlrpc::{auth, string},
};
use dxr::Value;
use reqwest::{Method, header};
use serde_json::json;

#[tokio::test]
async fn statistics_of_what_is_and_was() {
    let server = Server::start().await;
    let gone = server.create(1).await;
    let here = server.create(2).await;
    assert_eq!(server.delete(&gone).await.status, 200);
    let stats = server.get("/stats").await;
    let rows = stats.json()["stats"].as_array().unwrap().clone();
    let id = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let told: Vec<_> = rows
        .iter()
        .map(|row| (row["inf_id"].as_str().unwrap().to_owned(), row["deleted"] == true, row["vm_count"].as_u64()))
        .collect();
    assert_eq!(told, [(id(&here), false, Some(2)), (id(&gone), true, Some(1))]);
    assert_eq!((&rows[0]["memory_size"], &rows[0]["cpu_count"]), (&1024.into(), &2.into()));
    let keys: Vec<&String> = rows[0].as_object().unwrap().keys().collect();
    let expected = [
        "creation_date",
        "tosca_name",
        "vm_count",
        "cpu_count",
        "memory_size",
        "cloud_type",
        "cloud_host",
        "hybrid",
        "deleted",
        "im_user",
        "inf_id",
        "last_date",
    ];
    assert_eq!(keys, expected);

    // What is not whole stays so, and what nobody says is empty.
    let two_halves = "network pub ( outbound = 'yes' )\nsystem node ( cpu.count = 0.5 and memory.size = 512m and \
                      net_interface.0.connection = 'pub' and disk.0.image.url = 'mock0://linux.for.ev.er/image1' )\n\
                      contextualize ()\ndeploy node 2";
    for body in [two_halves, ""] {
        assert_eq!(server.post("/infrastructures", body.to_owned()).await.status, 200);
    }
    let stats = server.get("/stats").await.json();
    let row = |at: usize, names: [&str; 5]| names.map(|name| stats["stats"][at][name].clone());
    let names = ["cpu_count", "memory_size", "cloud_type", "cloud_host", "hybrid"];
    assert_eq!(row(0, names), [json!(0), json!(0), json!(""), json!(""), json!(false)]);
    assert_eq!(row(1, names), [json!(1.0), json!(1024), json!("Dummy"), json!(""), json!(false)]);
    let calls = server.call("GetStats", &[string(""), string(""), auth()]).await;
    let Value::Array(rows) = calls else { panic!("{calls:?}") };
    let Value::Struct(halves) = &rows[1] else { panic!("{rows:?}") };
    assert_eq!((&halves["cpu_count"], &halves["cloud_host"]), (&Value::Double(1.0), &string("")));

    let csv = |path: &str| Answer::of(server.request(Method::GET, path).header(header::ACCEPT, "text/csv"));
    let table = csv("/stats").await;
    assert_eq!((table.status.as_u16(), table.header("content-type")), (200, "text/csv; charset=utf-8"));
    let lines: Vec<&str> = table.text.split("\r\n").collect();
    assert_eq!((lines.len(), lines[0], lines[5]), (6, expected.join(",").as_str(), ""));
    assert!(lines[2].contains(",2,1.0,1024,Dummy,,False,False,user,"), "{}", lines[2]);
    assert!(lines[4].contains(",Dummy,,False,True,user,"), "{}", lines[4]);
    assert_eq!(csv("/stats?end_date=2001-01-01").await.text, "\r\n");
    assert_eq!(server.get("/stats?init_date=2999/01/01").await.text, r#"{"stats": []}"#);
    let bad = server.get("/stats?end_date=2001-13-01").await;
    assert_eq!((bad.status.as_u16(), bad.text.as_str()), (400, "Incorrect format in end_date parameter: YYYY/MM/dd"));
    let others = server.client.get(server.url("/stats")).header(header::AUTHORIZATION, STRANGER);
    assert_eq!(Answer::of(others).await.text, r#"{"stats": []}"#);
    // Names are names, not patterns.
    let wild = "type = InfrastructureManager; username = %; password = %";
    let everybody = server.client.get(server.url("/stats")).header(header::AUTHORIZATION, wild);
    assert_eq!(Answer::of(everybody).await.text, r#"{"stats": []}"#);
}

/// Hosts differ from the first one that there is; machines before it do not count, as in the reference.
#[tokio::test]
async fn hybrid_is_what_has_machines_elsewhere() {
    let server = Server::start().await;
    let clouds = "type = InfrastructureManager; username = user; password = pass\\nid = a; type = Dummy; host = one.example\\n\
                  id = b; type = Dummy; host = http://two.example\\nid = c; type = Dummy";
    for (order, host, hybrid) in [
        (vec!["a", "b"], "one.example", true),
        (vec!["a", "a"], "one.example", false),
        (vec!["a", "c"], "one.example", true),
        (vec!["c", "a"], "one.example", false),
        (vec!["c", "c"], "", false),
        (vec!["c", "b", "c"], "two.example", true),
    ] {
        let mut document = "network pub ( outbound = 'yes' )\ncontextualize ()\n".to_owned();
        for (number, cloud) in order.iter().enumerate() {
            document.push_str(&format!(
                "system n{number} ( net_interface.0.connection = 'pub' and disk.0.image.url = \
                 'mock0://linux.for.ev.er/image1' )\ndeploy n{number} 1 {cloud}\n"
            ));
        }
        let request = server.client.post(server.url("/infrastructures")).header(header::AUTHORIZATION, clouds);
        let made = Answer::of(request.body(document)).await;
        assert_eq!(made.status, 200, "{}", made.text);
        let row = server.get("/stats").await.json()["stats"][0].clone();
        assert_eq!((&row["cloud_host"], &row["hybrid"]), (&json!(host), &json!(hybrid)), "{order:?}");
    }
}
