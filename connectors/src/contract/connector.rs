//! The trait of all clouds.

use super::{
    Candidate, Capabilities, CloudImage, Found, ImageIntent, InfrastructureIntent, InfrastructureMark, Location,
    Observation, PowerOperation, ProviderId, Quota, Resize, SharedResources, VmIntent, VmMark,
};
use crate::{dns::RecordProvider, error::ConnectorError};
use async_trait::async_trait;
use radl::System;
use std::collections::BTreeMap;

/// One cloud account. Methods are safe to repeat; a caller may drop the future at any time, or die, and call again.
///
/// Whatever is made carries the mark of its infrastructure, and of its machine unless all machines share it, from the
/// moment it exists. The daemon stores what it is about to ask for before it asks, so the marks are all that a
/// connector needs to take up what an earlier attempt began: it keeps no state of its own. An operation that takes
/// several requests looks first what is there, and makes, attaches or deletes the rest.
///
/// A machine is found by its id, or by its mark. One that carries the mark of another infrastructure is never touched,
/// whoever names its id ([`VmMark::admit`]); one without any mark was made elsewhere, and may be.
///
/// What is refused changes nothing, and its clean-up succeeds: what deletes looks for marks and finds none, whatever was
/// wrong with the names and sizes that were asked for.
#[async_trait]
pub trait Connector: Send + Sync {
    /// What this connector can do.
    fn capabilities(&self) -> Capabilities;

    /// Concrete systems for an abstract one, the best of each usable image URL and location; empty when no image fits. What
    /// of the system can be nothing here, whatever its image, is told as an error of the class
    /// [`ErrorClass::Invalid`](crate::ErrorClass). No side effects.
    async fn candidates(&self, system: &System) -> Result<Vec<Candidate>, ConnectorError>;

    /// Makes or finds the shared resources of an infrastructure (networks, security groups, ...).
    async fn ensure_shared(&self, intent: &InfrastructureIntent) -> Result<SharedResources, ConnectorError>;

    /// Makes the machine with all that belongs to it and can be made before it runs, or what is missing of that, and returns
    /// the one machine of `intent.uid`. Returns once the cloud knows the machine, which may be long before it is up.
    async fn create_vm(&self, intent: &VmIntent) -> Result<ProviderId, ConnectorError>;

    /// Whether something of this machine can be made only when it runs: then [`Connector::reconcile`] is called for it
    /// after its boot. No remote call.
    fn is_completed_after_boot(&self, _vm: &VmIntent) -> bool {
        false
    }

    /// Makes what is missing of a machine that runs: addresses, volumes, routes, records. It looks what is there, and each
    /// of its steps may be done again; nobody remembers which were done. Called when the machine is first seen running, and
    /// again whenever the cloud says that something is missing ([`Observation::missing`]).
    async fn reconcile(&self, _vm: &VmIntent, _id: &ProviderId) -> Result<(), ConnectorError> {
        Ok(())
    }

    /// The machines that carry the mark of the infrastructure.
    async fn find(&self, mark: &InfrastructureMark) -> Result<Vec<Found>, ConnectorError>;

    /// State of the machines of one location, read only, one remote call where the cloud allows. Ids that the cloud no
    /// longer knows are missing in the answer.
    async fn observe(&self, location: &Location, ids: &[ProviderId]) -> Result<Vec<Observation>, ConnectorError>;

    /// Deletes the machine and everything with its mark, also if it never came to a machine; what is missing is a
    /// success.
    async fn delete_vm(&self, vm: &VmMark) -> Result<(), ConnectorError>;

    /// Deletes the shared resources of an infrastructure; missing ones are a success.
    async fn delete_shared(&self, mark: &InfrastructureMark) -> Result<(), ConnectorError>;

    /// Starts, stops or resets a machine. The mark has the id.
    async fn power(&self, _vm: &VmMark, _operation: PowerOperation) -> Result<(), ConnectorError> {
        Err(ConnectorError::unsupported())
    }

    /// Changes sizes, adds disks, adds or removes the public address: all that is asked for, or nothing of it is begun and
    /// the refusal says which property is to blame. A disk that is there already, of an earlier attempt, is as good as a
    /// new one if it is the one that is asked for. What needs a running machine may be left to [`Connector::reconcile`].
    /// The mark has the id.
    async fn resize(&self, _vm: &VmMark, _resize: &Resize) -> Result<(), ConnectorError> {
        Err(ConnectorError::unsupported())
    }

    /// Makes the image of a disk of the machine, or finds the one that an earlier attempt made; its URL. The mark has the
    /// id.
    async fn snapshot(&self, _vm: &VmMark, _image: &ImageIntent) -> Result<String, ConnectorError> {
        Err(ConnectorError::unsupported())
    }

    /// Deletes what an attempt to make the image left; nothing is a success.
    async fn discard_snapshot(&self, _image: &ImageIntent) -> Result<(), ConnectorError> {
        Err(ConnectorError::unsupported())
    }

    /// Deletes an image made by [`Connector::snapshot`] in this location; a missing one is a success.
    async fn delete_image(&self, _url: &str, _location: &Location) -> Result<(), ConnectorError> {
        Err(ConnectorError::unsupported())
    }

    /// The zones that the cloud has for this account, where it has any: it makes the records of the names of its machines. The
    /// engine asks it as it asks other providers of records, without the layers.
    fn record_provider(&self) -> Option<&dyn RecordProvider> {
        None
    }

    /// Images of the account; `filters` are connector-specific (`distribution`, `version`, `region`).
    async fn images(&self, _filters: &BTreeMap<String, String>) -> Result<Vec<CloudImage>, ConnectorError> {
        Err(ConnectorError::unsupported())
    }

    /// Limits of the account by name (`cores`, `ram` in GB, `instances`, ...), in a region where they differ; none for the
    /// account's own.
    async fn quotas(&self, _region: Option<&str>) -> Result<BTreeMap<String, Quota>, ConnectorError> {
        Err(ConnectorError::unsupported())
    }
}
