//! Section `[OpenNebula]`.

/// What the configuration says of OpenNebula clouds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenNebulaSettings {
    /// `TEMPLATE_CONTEXT`: attributes that are added to the CONTEXT of every machine, in OpenNebula's template syntax.
    pub template_context: String,
    /// `TEMPLATE_OTHER`: attributes that are added to the template of every machine.
    pub template_other: String,
    /// `IMAGE_UNAME`: the user whose images are meant by names; empty for the first one with the name.
    pub image_uname: String,
}

impl Default for OpenNebulaSettings {
    fn default() -> Self {
        Self {
            template_context: String::new(),
            template_other: "GRAPHICS = [type=\"vnc\",listen=\"0.0.0.0\"]".to_owned(),
            image_uname: String::new(),
        }
    }
}
