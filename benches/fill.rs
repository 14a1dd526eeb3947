//! Fills a new SQLite database with infrastructures of simulated machines: `fill DATABASE KEY-FILE NUMBER MACHINES`. The
//! last hundred belong to `user` with the password `pass`, the others to a user each.

use imd::{
    auth::Identity,
    engine::exchange::{record::InfrastructureRecord, stored},
    store::{Keyring, Store, open},
};
use serde_json::{Value, json};
use std::{error::Error, path::Path, sync::Arc};

/// Infrastructures of the one user.
const OWN: u32 = 100;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [database, key, number, machines] = arguments.as_slice() else {
        return Err("usage: fill DATABASE KEY-FILE NUMBER MACHINES".into());
    };
    let keyring = Arc::new(Keyring::load(Path::new(key), None)?);
    let store = open(database, keyring.clone()).await?;
    let (number, machines): (u32, u32) = (number.parse()?, machines.parse()?);
    let all: Vec<u32> = (0..number).collect();
    for group in all.chunks(256) {
        let creations = group.iter().map(|index| {
            let user = if index + OWN >= number { "user".to_owned() } else { format!("user-{index}") };
            create(&*store, &keyring, *index, machines, user)
        });
        futures::future::try_join_all(creations).await?;
    }
    println!("{} infrastructures", store.index().await?.len());
    Ok(())
}

async fn create(
    store: &dyn Store,
    keyring: &Keyring,
    index: u32,
    machines: u32,
    user: String,
) -> Result<(), Box<dyn Error>> {
    let record: InfrastructureRecord = serde_json::from_value(json!({
        "id": uuid::Uuid::new_v4().to_string(),
        "vm_list": (0..machines).map(|vm| machine(index, vm)).collect::<Vec<_>>(),
        "radl": format!("network public (outbound = 'yes')\nsystem node (cpu.count >= 1)\ndeploy node {machines}\n"),
        "cont_out": "Select master VM\nWait master VM to boot\n",
        "configured": true,
        "creation_date": 1_700_000_000 + i64::from(index),
    }))?;
    let owner = Identity { key: keyring.owner_key(&user, "pass"), username: user, token: false };
    let (row, changes) = stored::to_rows(record, vec![owner], 1_800_000_000)?;
    Ok(store.create(row, changes).await?)
}

fn machine(index: u32, number: u32) -> Value {
    let system = "cpu.count = 2 and\nmemory.size = 2147483648 and\ndisk.0.os.name = 'linux' and\n\
                  disk.0.image.url = 'mock0://linux.for.ev.er/image1' and\ndisk.0.os.credentials.username = 'root' and\n\
                  disk.0.os.credentials.password = 'a password' and\nnet_interface.0.connection = 'public'";
    let (a, b) = (index / 250 % 250, index % 250);
    json!({
        "id": format!("{index}-{number}"),
        "im_id": number,
        "state": "configured",
        "configured": true,
        "creation_date": 1_700_000_000 + i64::from(index),
        "cloud": {"id": "dummy", "type": "Dummy"},
        "info": format!(
            "network public (outbound = 'yes')\nsystem node (\n{system} and\nprovider.type = 'Dummy' and\n\
             net_interface.0.ip = '10.{a}.{b}.{}' and\nnet_interface.0.dns_name = 'vnode-{number}' and\nstate = 'configured'\n)\n",
            number + 1
        ),
        "requested_radl": format!("network public (outbound = 'yes')\nsystem node (\n{system}\n)\n"),
        "cont_out": "TASK [a step] ok\n".repeat(20),
    })
}
