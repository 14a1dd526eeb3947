//! The same over database servers that the daemons share.

use crate::{
    anywhere::{CLOUD, every_daemon_answers},
    cluster::{Cluster, SLOW},
    failover::{alone, killed_and_gone_on_with, slept_too_long},
    mariadb::MariaDb,
    mongo_server::Mongo,
};

/// On MariaDB another daemon goes on when the holder dies, and one that slept too long cannot write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn daemons_share_mariadb() {
    let (server, other) = (MariaDb::start(), MariaDb::start());
    killed_and_gone_on_with(Cluster::with(3, SLOW, "", Some(&server.url())).await).await;
    slept_too_long(Cluster::with(2, SLOW, "", Some(&other.url())).await).await;
}

/// On MongoDB, which has no transactions here, any daemon answers, and nobody waits for a lease without need.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn daemons_share_mongodb() {
    let server = Mongo::start_with(&["--standalone"]);
    every_daemon_answers(Cluster::with(3, CLOUD, "", Some(&server.url())).await).await;
    let server = Mongo::start();
    alone(Cluster::with(1, SLOW, "", Some(&server.url())).await).await;
}

/// On MongoDB another daemon goes on when the holder dies, and one that slept too long cannot write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn daemons_that_share_mongodb_die_or_sleep() {
    let server = Mongo::start();
    killed_and_gone_on_with(Cluster::with(3, SLOW, "", Some(&server.url())).await).await;
    let server = Mongo::start();
    slept_too_long(Cluster::with(2, SLOW, "", Some(&server.url())).await).await;
}
