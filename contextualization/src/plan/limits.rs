//! What a document may ask for that is not offered yet: one sentence each, so that nothing is left out in silence.

use radl::Radl;

/// Sentences on what this contextualization will not do, for the infrastructure's log.
#[must_use]
pub fn unsupported(radl: &Radl) -> Vec<String> {
    let mut notes = Vec::new();
    let items = radl.contextualize.iter().flat_map(|section| &section.items);
    let data: Vec<&str> =
        items.filter(|item| item.tool() == Some(radl::Tool::CloudInit)).map(|item| item.configure.as_str()).collect();
    if !data.is_empty() {
        notes.push(format!(
            "WARNING: no cloud of this version runs cloud-init: the configure {} is left out.",
            data.join(", ")
        ));
    }
    notes
}
