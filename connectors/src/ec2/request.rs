//! A request of the EC2 Query API (version 2016-11-15): an action and its numbered parameters.

/// An action with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    /// Name of the action.
    pub(super) action: &'static str,
    parameters: Vec<(String, String)>,
    filters: usize,
    tagged: usize,
}

impl Call {
    pub(super) fn new(action: &'static str) -> Self {
        Self { action, parameters: Vec::new(), filters: 0, tagged: 0 }
    }

    /// One parameter.
    pub(super) fn with(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.parameters.push((name.into(), value.to_string()));
        self
    }

    /// One parameter, where it has a value.
    pub(super) fn with_some(self, name: impl Into<String>, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// A list: `Name.1`, `Name.2`, ...
    pub(super) fn list<T: ToString>(self, name: &str, values: impl IntoIterator<Item = T>) -> Self {
        let numbered = values.into_iter().enumerate();
        numbered.fold(self, |call, (index, value)| call.with(format!("{name}.{}", index + 1), value))
    }

    /// Only what has one of these values.
    pub(super) fn filter<T: ToString>(mut self, name: &str, values: impl IntoIterator<Item = T>) -> Self {
        self.filters += 1;
        let prefix = format!("Filter.{}", self.filters);
        self.with(format!("{prefix}.Name"), name).list(&format!("{prefix}.Value"), values)
    }

    /// Tags that what is made has from the moment it exists.
    pub(super) fn tagged(mut self, kind: &str, tags: &[(String, String)]) -> Self {
        self.tagged += 1;
        let prefix = format!("TagSpecification.{}", self.tagged);
        let call = self.with(format!("{prefix}.ResourceType"), kind);
        tags.iter().enumerate().fold(call, |call, (index, (key, value))| {
            let tag = format!("{prefix}.Tag.{}", index + 1);
            call.with(format!("{tag}.Key"), key).with(format!("{tag}.Value"), value)
        })
    }

    /// The value of a parameter.
    #[cfg(test)]
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body of the request.
    pub(super) fn body(&self) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", self.action).append_pair("Version", "2016-11-15");
        form.extend_pairs(&self.parameters).finish()
    }
}
