//! The same over a database server that the daemons share.

use crate::{
    cluster::{Cluster, SLOW},
    failover::{killed_and_gone_on_with, slept_too_long},
    mariadb::MariaDb,
};

/// On MariaDB another daemon goes on when the holder dies, and one that slept too long cannot write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn daemons_share_mariadb() {
    let (server, other) = (MariaDb::start(), MariaDb::start());
    killed_and_gone_on_with(Cluster::with(3, SLOW, "", Some(&server.url())).await).await;
    slept_too_long(Cluster::with(2, SLOW, "", Some(&other.url())).await).await;
}
