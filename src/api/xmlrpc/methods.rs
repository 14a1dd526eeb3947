//! The table of methods: names, parameters, operations (docs/spec/api.md 3.2).

use super::fault::{self, Failure};
use dxr::Value;

/// What a method does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Version,
    List,
    Create,
    Machines,
    Log,
    State,
    Document,
    Owners,
    ChangeOwners,
    Destroy,
    Add,
    Remove,
    StartAll,
    StopAll,
    Reconfigure,
    Export,
    Import,
    Machine,
    MachineProperty,
    MachineLog,
    Alter,
    Start,
    Stop,
    Reboot,
    Snapshot,
    CloudImages,
    CloudQuotas,
    Estimate,
    Statistics,
}

/// A method as clients call it: arguments have no names on the wire, only places.
#[derive(Debug)]
pub(super) struct Method {
    /// Its name.
    pub(super) name: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
    /// What it does.
    pub(super) operation: Operation,
}

const fn method(
    name: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
    operation: Operation,
) -> Method {
    Method { name, required, optional, operation }
}

use Operation as O;

/// Every method.
#[rustfmt::skip]
const METHODS: &[Method] = &[
    method("GetVersion", &[], &[], O::Version),
    method("GetInfrastructureList", &["auth_data"], &["flt"], O::List),
    method("CreateInfrastructure", &["radl_data", "auth_data"], &["async_call"], O::Create),
    method("GetInfrastructureInfo", &["inf_id", "auth_data"], &[], O::Machines),
    method("GetInfrastructureContMsg", &["inf_id", "auth_data"], &["headeronly"], O::Log),
    method("GetInfrastructureState", &["inf_id", "auth_data"], &[], O::State),
    method("GetInfrastructureRADL", &["inf_id", "auth_data"], &[], O::Document),
    method("GetInfrastructureOwners", &["inf_id", "auth_data"], &[], O::Owners),
    method("ChangeInfrastructureAuth", &["inf_id", "new_auth", "overwrite", "auth_data"], &[], O::ChangeOwners),
    method("DestroyInfrastructure", &["inf_id", "auth_data"], &["force", "async_call"], O::Destroy),
    method("AddResource", &["inf_id", "radl_data", "auth_data"], &["context"], O::Add),
    method("RemoveResource", &["inf_id", "vm_list", "auth_data"], &["context"], O::Remove),
    method("StartInfrastructure", &["inf_id", "auth_data"], &[], O::StartAll),
    method("StopInfrastructure", &["inf_id", "auth_data"], &[], O::StopAll),
    method("Reconfigure", &["inf_id", "radl_data", "auth_data"], &["vm_list"], O::Reconfigure),
    method("ExportInfrastructure", &["inf_id", "delete", "auth_data"], &[], O::Export),
    method("ImportInfrastructure", &["inf_data", "auth_data"], &[], O::Import),
    method("GetVMInfo", &["inf_id", "vm_id", "auth_data"], &[], O::Machine),
    method("GetVMProperty", &["inf_id", "vm_id", "property_name", "auth_data"], &[], O::MachineProperty),
    method("GetVMContMsg", &["inf_id", "vm_id", "auth_data"], &[], O::MachineLog),
    method("AlterVM", &["inf_id", "vm_id", "radl_data", "auth_data"], &[], O::Alter),
    method("StartVM", &["inf_id", "vm_id", "auth_data"], &[], O::Start),
    method("StopVM", &["inf_id", "vm_id", "auth_data"], &[], O::Stop),
    method("RebootVM", &["inf_id", "vm_id", "auth_data"], &[], O::Reboot),
    method(
        "CreateDiskSnapshot",
        &["inf_id", "vm_id", "disk_num", "image_name", "auto_delete", "auth_data"],
        &[],
        O::Snapshot,
    ),
    method("GetCloudImageList", &["cloud_id", "auth_data"], &["filters"], O::CloudImages),
    method("GetCloudQuotas", &["cloud_id", "auth_data"], &[], O::CloudQuotas),
    method("EstimateResources", &["radl_data", "auth_data"], &[], O::Estimate),
    method("GetStats", &["init_date", "end_date", "auth_data"], &[], O::Statistics),
    // As the documents of the reference spell them.
    method("EstimateResouces", &["radl_data", "auth_data"], &[], O::Estimate),
    method("GetStat", &["init_date", "end_date", "auth_data"], &[], O::Statistics),
];

/// The method of a name.
///
/// # Errors
/// The fault of a name that there is not.
pub(super) fn find(name: &str) -> Result<&'static Method, Failure> {
    METHODS.iter().find(|method| method.name == name).ok_or_else(|| fault::unknown_method(name))
}

impl Method {
    /// The arguments as a list of known length: those left out are nil.
    ///
    /// # Errors
    /// The fault of too few or too many.
    pub(super) fn complete(&self, mut arguments: Vec<Value>) -> Result<Vec<Value>, Failure> {
        let (least, most) = (self.required.len(), self.required.len() + self.optional.len());
        if arguments.len() < least {
            return Err(fault::missing_arguments(self.name, &self.required[arguments.len()..]));
        }
        if arguments.len() > most {
            return Err(fault::too_many_arguments(self.name, least, most, arguments.len()));
        }
        arguments.resize(most, Value::Nil);
        Ok(arguments)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn names_are_unique_and_who_calls_is_always_told() {
        for (index, method) in METHODS.iter().enumerate() {
            assert!(METHODS[..index].iter().all(|other| other.name != method.name), "{}", method.name);
            assert!(method.name == "GetVersion" || method.required.contains(&"auth_data"), "{}", method.name);
        }
    }

    #[test]
    fn the_number_of_arguments_is_checked() {
        let fault = |name: &str, number: usize| match find(name).unwrap().complete(vec![Value::Nil; number]) {
            Err(Failure::Protocol(fault)) => format!("{} {}", fault.code(), fault.string()),
            other => panic!("{name} {number}: {other:?}"),
        };
        for (name, number, text) in [
            ("GetVMInfo", 2, "1 <class 'TypeError'>:GetVMInfo() missing 1 required positional argument: 'auth_data'"),
            (
                "GetVMInfo",
                1,
                "1 <class 'TypeError'>:GetVMInfo() missing 2 required positional arguments: 'vm_id' and 'auth_data'",
            ),
            (
                "GetVMInfo",
                0,
                "1 <class 'TypeError'>:GetVMInfo() missing 3 required positional arguments: 'inf_id', 'vm_id', and 'auth_data'",
            ),
            ("GetVMInfo", 4, "1 <class 'TypeError'>:GetVMInfo() takes 3 positional arguments but 4 were given"),
            ("GetVersion", 1, "1 <class 'TypeError'>:GetVersion() takes 0 positional arguments but 1 was given"),
            (
                "AddResource",
                5,
                "1 <class 'TypeError'>:AddResource() takes from 3 to 4 positional arguments but 5 were given",
            ),
        ] {
            assert_eq!(fault(name, number), text);
        }
        assert_eq!(find("AddResource").unwrap().complete(vec![Value::Integer(1); 3]).unwrap()[3], Value::Nil);
        assert!(
            matches!(find("Foo"), Err(Failure::Protocol(fault)) if fault.string() == "<class 'Exception'>:method \"Foo\" is not supported")
        );
    }
}
