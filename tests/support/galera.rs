//! A Galera cluster of a test: three MariaDB servers on loopback that replicate to each other. Needs `galera-4`, `rsync` and
//! `lsof`. Shared by the test binaries, each of which uses a part of it.
#![allow(dead_code)]

use crate::mariadb::MariaDb;
use std::{
    net::TcpListener,
    path::Path,
    time::{Duration, Instant},
};

const PROVIDER: &str = "/usr/lib/galera/libgalera_smm.so";
const PATIENCE: Duration = Duration::from_secs(120);

/// Servers with one database.
pub struct Galera {
    pub servers: Vec<MariaDb>,
}

impl Galera {
    /// Starts one server after the other: each takes the data of those that run.
    pub fn start() -> Self {
        assert!(Path::new(PROVIDER).exists(), "galera-4 is not installed");
        let sockets: Vec<TcpListener> = (0..9).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let port = |number: usize| sockets[number].local_addr().unwrap().port();
        let address = |server: usize| format!("127.0.0.1:{}", port(server));
        let all = [0, 1, 2].map(address).join(",");
        let options = |server: usize| {
            let (own, transfer, increment) = (address(server), address(server + 3), address(server + 6));
            vec![
                "--binlog-format=ROW".to_owned(),
                "--default-storage-engine=InnoDB".to_owned(),
                "--innodb-autoinc-lock-mode=2".to_owned(),
                "--innodb-flush-log-at-trx-commit=0".to_owned(),
                "--wsrep-on=ON".to_owned(),
                format!("--wsrep-provider={PROVIDER}"),
                "--wsrep-cluster-name=im".to_owned(),
                format!("--wsrep-cluster-address=gcomm://{all}"),
                format!("--wsrep-node-name=server{server}"),
                format!("--wsrep-node-address={own}"),
                "--wsrep-sst-method=rsync".to_owned(),
                format!("--wsrep-sst-receive-address={transfer}"),
                format!(
                    "--wsrep-provider-options=base_port={};gmcast.listen_addr=tcp://{own};ist.recv_addr={increment};\
                     gcache.size=32M",
                    port(server)
                ),
            ]
        };
        let mut servers = [0, 1, 2].map(|server| MariaDb::installed(options(server), |_| ()));
        drop(sockets);
        for (number, server) in servers.iter_mut().enumerate() {
            if number == 0 {
                server.run_with(&["--wsrep-new-cluster"]);
                server.make_database();
            } else {
                server.run();
            }
            until_synced(server, number + 1);
        }
        Self { servers: servers.into() }
    }

    /// Cuts a server off from the others.
    pub fn cut_off(&self, server: usize) {
        self.servers[server].sql("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=1'");
    }

    /// Lets it find the others again, and waits until it has what they have.
    pub fn heal(&self, server: usize) {
        self.servers[server].sql("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=0'");
        until_synced(&self.servers[server], self.servers.len());
    }

    /// Whether a server takes no changes, for it is without the others.
    pub fn is_alone(&self, server: usize) -> bool {
        status(&self.servers[server], "wsrep_cluster_status") != "Primary"
    }
}

fn status(server: &MariaDb, name: &str) -> String {
    server.sql(&format!("SHOW STATUS LIKE '{name}'")).split_whitespace().nth(1).unwrap_or_default().to_owned()
}

fn until_synced(server: &MariaDb, size: usize) {
    let started = Instant::now();
    while status(server, "wsrep_local_state_comment") != "Synced"
        || status(server, "wsrep_cluster_size") != size.to_string()
    {
        assert!(started.elapsed() < PATIENCE, "the server does not become a member of its cluster");
        std::thread::sleep(Duration::from_millis(50));
    }
}
