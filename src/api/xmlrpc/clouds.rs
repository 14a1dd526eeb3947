//! Images and limits of the caller's clouds.

use super::{
    Shared,
    arguments::{self, places},
    fault::Failure,
    values,
};
use dxr::Value;

/// `GetCloudImageList(cloudId, auth, [filters])`
pub(super) async fn images(shared: &Shared, arguments: Vec<Value>) -> Result<Value, Failure> {
    let [cloud, auth, filters] = places(arguments);
    let caller = shared.caller(auth).await?;
    let (cloud, filters) = (arguments::text(&cloud, "cloud_id")?, arguments::filters(&filters)?);
    values::of(&shared.engine().cloud_images(&caller, &cloud, &filters).await?)
}

/// `GetCloudQuotas(cloudId, auth)`
pub(super) async fn quotas(shared: &Shared, arguments: Vec<Value>) -> Result<Value, Failure> {
    let [cloud, auth] = places(arguments);
    let caller = shared.caller(auth).await?;
    let cloud = arguments::text(&cloud, "cloud_id")?;
    Ok(values::json(shared.engine().cloud_quotas(&caller, &cloud, None).await?))
}
