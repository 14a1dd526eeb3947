//! Statistics.

use super::{
    Shared,
    arguments::{day, places},
    fault::Failure,
    values,
};
use dxr::Value;

/// `GetStats(initDate, endDate, auth)`
pub(super) async fn statistics(shared: &Shared, arguments: Vec<Value>) -> Result<Value, Failure> {
    let [from, to, auth] = places(arguments);
    let caller = shared.caller(auth).await?;
    let (from, to) = (day(&from, "init_date")?, day(&to, "end_date")?);
    values::of(&shared.engine().statistics(&caller, from, to).await?)
}
