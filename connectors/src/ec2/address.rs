//! Elastic addresses: those that are made for a machine, and those of the user that it is to have.

use super::{
    client::Api,
    map::{self, ADDRESS, ELASTIC, INFRASTRUCTURE, UID},
    replies::{Addresses, ElasticAddress, Instance, tag},
    request::Call,
    storage::tag_with,
};
use crate::{ConnectorError, ErrorClass, VmMark};

/// The addresses with the mark of a machine.
async fn marked(api: &Api, region: &str, vm: &VmMark) -> Result<Vec<ElasticAddress>, ConnectorError> {
    let call = Call::new("DescribeAddresses")
        .filter(&format!("tag:{INFRASTRUCTURE}"), [&vm.infrastructure])
        .filter(&format!("tag:{UID}"), [&vm.uid.0]);
    api.look::<Addresses>(region, &call).await
}

/// The first interface of a machine.
pub(super) fn first_interface(instance: &Instance) -> Option<&str> {
    let index = |nic: &&super::replies::Interface| nic.attachment.as_ref().and_then(|found| found.device_index);
    instance.network_interface_set.iter().min_by_key(index).map(|nic| nic.network_interface_id.as_str())
}

/// Gives a machine the address that its tags say; `pool` is where a new one is taken from.
pub(super) async fn ensure(
    api: &Api,
    region: &str,
    vm: &VmMark,
    instance: &Instance,
    pool: Option<&str>,
) -> Result<(), ConnectorError> {
    let Some(wanted) = map::wanted_address(instance) else { return Ok(()) };
    if map::has_address(instance, wanted) {
        return Ok(());
    }
    let address = if wanted == ELASTIC {
        match marked(api, region, vm).await?.into_iter().next() {
            Some(known) => known,
            None => {
                let call = Call::new("AllocateAddress")
                    .with("Domain", "vpc")
                    .with_some("PublicIpv4Pool", pool)
                    .tagged("elastic-ip", &map::marks(&vm.infrastructure, &vm.uid));
                api.call::<ElasticAddress>(region, &call).await?
            }
        }
    } else {
        let call = Call::new("DescribeAddresses").filter("public-ip", [wanted]);
        let missing = || map::invalid(format!("The account has no elastic address {wanted}"));
        api.look::<Addresses>(region, &call).await?.into_iter().next().ok_or_else(missing)?
    };
    match address.instance_id.as_deref().filter(|id| !id.is_empty()) {
        Some(id) if id == instance.instance_id => return Ok(()),
        Some(id) if address.association_id.is_some() => {
            let text = format!("The elastic address {} is in use by {id}", address.public_ip);
            return Err(ConnectorError::new(ErrorClass::Conflict, text));
        }
        _ => {}
    }
    let call = Call::new("AssociateAddress")
        .with_some("AllocationId", address.allocation_id)
        .with("AllowReassociation", false);
    // A machine with several interfaces has to be told which.
    let call = match first_interface(instance) {
        Some(interface) => call.with("NetworkInterfaceId", interface),
        None => call.with("InstanceId", &instance.instance_id),
    };
    api.run_once_known(region, &call).await
}

/// Says that a machine is to have an elastic address, where it has no public one.
pub(super) async fn ask(api: &Api, region: &str, instance: &mut Instance) -> Result<(), ConnectorError> {
    set(api, region, instance, ELASTIC).await
}

async fn set(api: &Api, region: &str, instance: &mut Instance, value: &str) -> Result<(), ConnectorError> {
    if tag(&instance.tag_set, ADDRESS).unwrap_or_default() == value {
        return Ok(());
    }
    tag_with(api, region, &instance.instance_id, ADDRESS, value).await?;
    let tags = &mut instance.tag_set.items;
    tags.retain(|tag| tag.key != ADDRESS);
    tags.push(super::replies::Tag { key: ADDRESS.to_owned(), value: value.to_owned() });
    Ok(())
}

/// Takes the public addresses off a machine: ours go, those of the user stay his, that of the machine is given back.
pub(super) async fn remove(
    api: &Api,
    region: &str,
    vm: &VmMark,
    instance: &mut Instance,
) -> Result<(), ConnectorError> {
    set(api, region, instance, "").await?;
    let call = Call::new("DescribeAddresses").filter("instance-id", [&instance.instance_id]);
    for address in api.look::<Addresses>(region, &call).await? {
        disassociate(api, region, &address).await?;
    }
    release(api, region, vm).await?;
    let of_machine = instance.network_interface_set.iter().find(|nic| {
        nic.association.as_ref().is_some_and(|association| association.ip_owner_id.as_deref() == Some("amazon"))
    });
    if let Some(nic) = of_machine {
        let call = Call::new("ModifyNetworkInterfaceAttribute")
            .with("NetworkInterfaceId", &nic.network_interface_id)
            .with("AssociatePublicIpAddress", false);
        api.run(region, &call).await?;
    }
    Ok(())
}

async fn disassociate(api: &Api, region: &str, address: &ElasticAddress) -> Result<(), ConnectorError> {
    let Some(association) = address.association_id.as_deref().filter(|id| !id.is_empty()) else { return Ok(()) };
    api.delete(region, &Call::new("DisassociateAddress").with("AssociationId", association)).await
}

/// Releases the addresses that were made for a machine.
pub(super) async fn release(api: &Api, region: &str, vm: &VmMark) -> Result<(), ConnectorError> {
    for address in marked(api, region, vm).await? {
        disassociate(api, region, &address).await?;
        let call = Call::new("ReleaseAddress").with_some("AllocationId", address.allocation_id);
        api.delete(region, &call).await?;
    }
    Ok(())
}
