//! What Ansible said in a step of a contextualization log (docs/spec/tosca.md 10.2).

use crate::yaml::Value;
use serde_json::Value as Json;

/// The state or output of a task: the keys are the step, `tasks`, the name of the task, and which of both.
pub(super) fn output(log: &str, keys: &[Value]) -> Value {
    let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
    let [step, tasks, task, what] = keys.as_slice() else { return Value::NULL };
    if tasks != "tasks" {
        return Value::NULL;
    }
    let found = result(log, step, task).and_then(|(state, rest)| match what.as_str() {
        "state" => Some(state.to_owned()),
        "output" => message(rest),
        _ => None,
    });
    found.map_or(Value::NULL, Value::from)
}

/// The first word of the line that tells the result of a task, and what follows its machine.
fn result<'l>(log: &'l str, step: &str, task: &str) -> Option<(&'l str, &'l str)> {
    let name = |part: &&str| part.lines().next().map(str::trim) == Some(step);
    let part = log.split("Launch task: ").skip(1).filter(name).last()?;
    let title = format!("\nTASK [{task}] **");
    let (at, _) = part.match_indices(&title).last()?;
    let task = part.get(at + title.len()..)?;
    let end = task.find("\nTASK [").unwrap_or(task.len());
    let mut rest = task.get(..end)?;
    while let Some(at) = rest.find('\n') {
        rest = rest.get(at + 1..)?;
        if let Some((state, after)) = rest.split_once(": [")
            && !state.is_empty()
            && state.bytes().all(|b| b.is_ascii_alphabetic())
        {
            return Some((state, after));
        }
    }
    None
}

/// What a task printed: the message in its JSON, or the JSON as it stands there.
fn message(result: &str) -> Option<String> {
    let line = result.lines().next()?;
    let (_, head) = line.split_once("] => ")?;
    let at = result.find(head)?;
    let json = result.get(at..).filter(|text| text.starts_with('{'))?;
    // The JSON ends where it is complete: braces in it are no end.
    let mut values = serde_json::Deserializer::from_str(json).into_iter::<Json>();
    if let Some(Ok(value)) = values.next() {
        let text = json.get(..values.byte_offset()).unwrap_or(json);
        return Some(told(&value).unwrap_or_else(|| text.to_owned()));
    }
    let end = json.find("}\n").map_or(json.len(), |at| at + 1);
    json.get(..end).map(str::to_owned)
}

/// `msg`, also inside a single variable; else the only value that there is.
fn told(value: &Json) -> Option<String> {
    let object = value.as_object()?;
    let text = |value: &Json| match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    if let Some(message) = object.get("msg") {
        return Some(text(message));
    }
    match (object.len(), object.values().next()) {
        (1, Some(Json::Object(inner))) => inner.get("msg").map(text),
        (1, Some(only)) => Some(text(only)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "Launch task: basic\nTASK [x] ****\nok: [a] => {\"msg\": \"other\"}\nLaunch task: app\nTASK [one] ***\n\
                       ok: [a] => {\"changed\": false, \"msg\": {\"a\": {\"b\": 1}}}\nTASK [two] ****\n\
                       ok: [a] => {\n    \"out\": {\"msg\": \"deep\"}\n}\nTASK [bad] ****\nfailed: [a]: FAILED! => {\"msg\": \"no\"}\n";

    fn ask(step: &str, task: &str, what: &str) -> Value {
        output(LOG, &[step, "tasks", task, what].map(Value::from))
    }

    #[test]
    fn tasks_are_found_by_step_and_name() {
        assert_eq!(ask("app", "one", "output"), "{\"a\":{\"b\":1}}".into());
        assert_eq!(ask("app", "two", "output"), "deep".into());
        assert_eq!(ask("basic", "x", "output"), "other".into());
        assert_eq!(ask("app", "x", "output"), Value::NULL);
        assert_eq!(ask("app", "bad", "state"), "failed".into());
        assert_eq!(ask("app", "bad", "output"), Value::NULL);
        assert_eq!(ask("none", "x", "state"), Value::NULL);
    }
}
