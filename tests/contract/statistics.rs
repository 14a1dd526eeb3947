//! Statistics (docs/spec/api.md 6.1).

use crate::support::{Answer, STRANGER, Server};
use reqwest::{Method, header};

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

    let csv = |path: &str| Answer::of(server.request(Method::GET, path).header(header::ACCEPT, "text/csv"));
    let table = csv("/stats").await;
    assert_eq!((table.status.as_u16(), table.header("content-type")), (200, "text/csv"));
    let lines: Vec<&str> = table.text.split("\r\n").collect();
    assert_eq!((lines.len(), lines[0], lines[3]), (4, expected.join(",").as_str(), ""));
    assert!(lines[2].contains(",Dummy,,False,True,user,"), "{}", lines[2]);
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
