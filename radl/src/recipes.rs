//! Rules on recipes: their size, their syntax, and whether Ansible can run those that it is to run.

use crate::error::RadlError;
use crate::model::{Configure, Radl, System, Tool};
use crate::yaml::{self, Reader, Shape, YamlError};
use std::collections::HashMap;

/// Bytes of one recipe.
pub const MAX_RECIPE: usize = 1 << 20;
/// Bytes of all recipes of an infrastructure.
pub const MAX_RECIPES: usize = 16 << 20;

/// Size and syntax of one recipe.
pub(crate) fn check(configure: &Configure) -> Result<(), RadlError> {
    let Some(recipe) = &configure.recipe else { return Ok(()) };
    check_size(configure)?;
    yaml::check(recipe).map_err(|reason| invalid(configure, &reason))
}

fn invalid(configure: &Configure, reason: &YamlError) -> RadlError {
    let text = format!("Invalid YAML code: {reason} (configure {}).", configure.name);
    RadlError::at_line(configure.line, text).about(&configure.name).inside("configure", &configure.name)
}

/// Size of one recipe.
pub(crate) fn check_size(configure: &Configure) -> Result<(), RadlError> {
    if configure.recipe.as_ref().is_some_and(|recipe| recipe.len() > MAX_RECIPE) {
        let text = format!("The recipe of the configure '{}' has more than {MAX_RECIPE} bytes", configure.name);
        return Err(RadlError::at_line(configure.line, text).about(&configure.name));
    }
    Ok(())
}

/// Size of all recipes, and what is to run with Ansible: lists of plays, and the password where they are encrypted; and
/// what cloud-init is to read. Recipes of configures that nobody runs may be anything: they are included by others.
pub(crate) fn check_use(radl: &Radl) -> Result<(), RadlError> {
    let size: usize = radl.configures.iter().filter_map(|configure| configure.recipe.as_ref()).map(String::len).sum();
    if size > MAX_RECIPES {
        return Err(RadlError::without_line(format!("The recipes have more than {MAX_RECIPES} bytes together")));
    }
    let configures: HashMap<&str, &Configure> = radl.configures.iter().map(|one| (one.name.as_str(), one)).collect();
    let systems: HashMap<&str, &System> = radl.systems.iter().map(|one| (one.name.as_str(), one)).collect();
    let mut shapes: HashMap<&str, Shape> = HashMap::new();
    for (system, configure) in radl.ansible_pairs() {
        let Some(configure) = configures.get(configure) else { continue };
        let Some(recipe) = &configure.recipe else { continue };
        let name = &configure.name;
        let fail = |text: String| Err(RadlError::at_line(configure.line, text).about(name).inside("configure", name));
        let is_encrypted = match *shapes.entry(name).or_insert_with(|| yaml::shape(recipe)) {
            Shape::Other => return fail(format!("configure {name}: expected a list of plays")),
            Shape::Vault => true,
            Shape::Plays { has_vault } => has_vault,
            Shape::Empty => false,
        };
        // The features of a reference are not known yet.
        let known = systems.get(system).filter(|system| !system.reference);
        if is_encrypted && known.is_some_and(|system| !system.features.has("vault.password")) {
            let text = format!(
                "configure {name}: it is encrypted with ansible-vault, and the system {system} has no vault.password"
            );
            return fail(text);
        }
    }
    let items = radl.contextualize.iter().flat_map(|section| &section.items);
    for item in items.filter(|item| item.tool() == Some(Tool::CloudInit)) {
        let Some(configure) = configures.get(item.configure.as_str()) else { continue };
        let recipe = configure.recipe.as_deref().unwrap_or_default();
        yaml::check_for(Reader::CloudInit, recipe).map_err(|reason| invalid(configure, &reason))?;
    }
    Ok(())
}
