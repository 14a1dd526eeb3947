//! Limits of an account in a region, by Service Quotas, and what is in use of them.

use super::{
    Ec2, map,
    replies::{Addresses, Groups, Instance, Volumes},
    request::Call,
};
use crate::{ConnectorError, ErrorClass, Quota};
use std::collections::BTreeMap;

/// Cores of on-demand machines of the standard families.
const CORES: (&str, &str) = ("ec2", "L-1216C47A");
/// Elastic addresses.
const ADDRESSES: (&str, &str) = ("ec2", "L-0263D0A3");
/// Security groups of a region.
const GROUPS: (&str, &str) = ("vpc", "L-E79EC296");
/// Storage of gp3 volumes in TiB.
const STORAGE: (&str, &str) = ("ebs", "L-7A658B76");

impl Ec2 {
    pub(super) async fn limits(&self, region: &str) -> Result<BTreeMap<String, Quota>, ConnectorError> {
        let call =
            Call::new("DescribeInstances").filter("instance-state-name", ["pending", "running", "stopping", "stopped"]);
        let instances = self.instances(region, call).await?;
        let running: Vec<&Instance> = instances
            .iter()
            .filter(|found| matches!(found.instance_state.name.as_str(), "pending" | "running"))
            .collect();
        let names = running.iter().map(|instance| instance.instance_type.as_str());
        let sizes = self.sizes.named(&self.api, region, names).await?;
        let of = |instance: &&&Instance| sizes.get(&instance.instance_type);
        let cores: u32 = running.iter().filter_map(|instance| of(&instance)).map(|size| size.cpu.cores).sum();
        let memory: u64 =
            running.iter().filter_map(|instance| of(&instance)).map(|size| size.memory_info.mebibytes).sum();
        let addresses = self.api.look::<Addresses>(region, &Call::new("DescribeAddresses")).await?;
        let groups = self.api.list::<Groups>(region, Call::new("DescribeSecurityGroups")).await?;
        let volumes = self.api.list::<Volumes>(region, Call::new("DescribeVolumes")).await?;
        let size: u64 = volumes.iter().map(|volume| volume.size).sum();
        let quota = |used: f64, limit: f64| Quota { used, limit };
        let unlimited = |used: f64| quota(used, -1.0);
        let storage = self.limit(region, STORAGE).await?;
        let storage = if storage < 0.0 { storage } else { storage * 1024.0 };
        let quotas = [
            ("cores", quota(f64::from(cores), self.limit(region, CORES).await?)),
            // EC2 counts cores, not memory and machines.
            ("ram", unlimited(memory as f64 / 1024.0)),
            ("instances", unlimited(instances.iter().filter(|instance| map::is_alive(instance)).count() as f64)),
            ("floating_ips", quota(addresses.len() as f64, self.limit(region, ADDRESSES).await?)),
            ("security_groups", quota(groups.len() as f64, self.limit(region, GROUPS).await?)),
            ("volumes", unlimited(volumes.len() as f64)),
            ("volume_storage", quota(size as f64, storage)),
        ];
        Ok(quotas.into_iter().map(|(name, quota)| (name.to_owned(), quota)).collect())
    }

    /// A limit; -1 where the cloud knows none, or does not tell it to this account.
    async fn limit(&self, region: &str, (service, code): (&str, &str)) -> Result<f64, ConnectorError> {
        match self.api.quota(region, service, code).await {
            Ok(limit) => Ok(limit),
            Err(error) if matches!(error.class, ErrorClass::NotFound | ErrorClass::Denied | ErrorClass::Invalid) => {
                Ok(-1.0)
            }
            Err(error) => Err(error),
        }
    }
}
