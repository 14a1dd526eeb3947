//! What a document may ask for that is not offered yet: one sentence each, so that nothing is left out in silence.

use radl::Radl;

/// Sentences on what this contextualization will not do, for the infrastructure's log.
#[must_use]
pub fn unsupported(radl: &Radl) -> Vec<String> {
    let mut notes = Vec::new();
    let systems = || radl.systems.iter().map(|s| &s.features);
    if systems().any(|f| f.has("vault.password")) {
        notes.push("WARNING: vault.password is not used yet: encrypted recipes cannot run.".to_owned());
    }
    if systems().any(|f| f.text("nat_instance") == Some("yes")) {
        notes
            .push("WARNING: nat_instance is not set up yet: configure the address translation in a recipe.".to_owned());
    }
    notes
}
