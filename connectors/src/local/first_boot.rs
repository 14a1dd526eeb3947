//! What a node does at its first boot. There is no cloud-init in nodes: of the user data the parts that need no distribution
//! (files, commands, scripts) become one shell script, and the rest is named in its log.

use super::tool::Result;
use crate::{
    error::{ConnectorError, ErrorClass},
    user_data::{UserData, cloud_config},
};
use radl::yaml::{Node, NodeKind};

/// Keys of a cloud-config that nodes obey, in the order that cloud-init keeps.
const KEYS: [&str; 3] = ["bootcmd", "write_files", "runcmd"];
/// Keys that say nothing about the machine.
const SILENT: [&str; 2] = ["merge_how", "merge_type"];

/// The script; none when there is nothing to do.
///
/// # Errors
/// `Invalid` for commands or files of a form that is not understood.
pub(super) fn script(data: &UserData) -> Result<Option<String>> {
    let recipe = data.recipe.as_deref().map(str::trim).filter(|recipe| !recipe.is_empty());
    if recipe.is_none() && data.commands.is_empty() {
        return Ok(None);
    }
    let mut lines = vec!["#!/bin/sh".to_owned()];
    let mut left: Vec<&str> = Vec::new();
    let pairs = recipe.and_then(cloud_config).unwrap_or_default();
    let is_script = recipe.is_some_and(|recipe| recipe.starts_with("#!"));
    match recipe {
        Some(recipe) if is_script => {
            let file = "/var/lib/imd/user-script";
            lines.push(format!("printf %s {} >{file} && chmod 700 {file} && {file}", quoted(&format!("{recipe}\n"))));
        }
        Some(_) if pairs.is_empty() => left.push("the recipe, which is neither a script nor a cloud-config"),
        _ => {}
    }
    for key in KEYS {
        let value = pairs.iter().rfind(|(name, _)| name.scalar() == Some(key)).map(|(_, value)| value);
        for item in value.map(items).transpose()?.unwrap_or_default() {
            lines.push(if key == "write_files" { file(item)? } else { command(key, item)? });
        }
    }
    lines.extend(data.commands.iter().cloned());
    let names = pairs.iter().filter_map(|(name, _)| name.scalar());
    left.extend(names.filter(|name| !KEYS.contains(name) && !SILENT.contains(name)));
    left.extend((!data.packages.is_empty()).then_some("packages"));
    if !left.is_empty() {
        let text = format!("imd: nodes of the local cloud have no cloud-init; left out: {}", left.join(", "));
        lines.insert(1, format!("echo {}", quoted(&text)));
    }
    Ok(Some(lines.join("\n") + "\n"))
}

fn invalid(text: &str) -> ConnectorError {
    ConnectorError::new(ErrorClass::Invalid, format!("The cloud-init recipe: {text}"))
}

fn items(value: &Node) -> Result<&[Node]> {
    match &value.kind {
        NodeKind::Sequence(items) => Ok(items),
        _ if value.is_empty() => Ok(&[]),
        _ => Err(invalid("bootcmd, runcmd and write_files must be lists")),
    }
}

/// A line of shell, or a program with its arguments.
fn command(key: &str, item: &Node) -> Result<String> {
    let fault = || invalid(&format!("a command of {key} must be a text or a list of texts"));
    match &item.kind {
        NodeKind::Scalar(line, _) => Ok(line.clone()),
        NodeKind::Sequence(words) => {
            let words: Option<Vec<String>> = words.iter().map(|word| word.scalar().map(quoted)).collect();
            words.map(|words| words.join(" ")).ok_or_else(fault)
        }
        _ => Err(fault()),
    }
}

/// An entry of `write_files`, as commands.
fn file(item: &Node) -> Result<String> {
    let text = |key: &str| item.get(key).and_then(Node::scalar);
    let path = text("path").ok_or_else(|| invalid("an entry of write_files has no path"))?;
    let decode = match text("encoding").unwrap_or_default() {
        "" | "text/plain" => "",
        "b64" | "base64" => " | base64 -d",
        "gz+b64" | "gz+base64" | "gzip+b64" | "gzip+base64" => " | base64 -d | gzip -d",
        other => return Err(invalid(&format!("write_files: the encoding '{other}' is not understood"))),
    };
    let arrow = if text("append").is_some_and(|append| append.eq_ignore_ascii_case("true")) { ">>" } else { ">" };
    let mode = text("permissions").unwrap_or("0644");
    let (path, content) = (quoted(path), quoted(text("content").unwrap_or_default()));
    let owner = text("owner").map(|owner| format!(" && chown {} {path}", quoted(owner))).unwrap_or_default();
    Ok(format!(
        "mkdir -p \"$(dirname {path})\" && printf %s {content}{decode} {arrow}{path} && chmod {} {path}{owner}",
        quoted(mode)
    ))
}

/// One word for the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::process::Command;

    fn data(recipe: &str) -> UserData {
        UserData { recipe: Some(recipe.to_owned()), ..UserData::default() }
    }

    /// The script does what it says, in order; what is left out is named.
    #[test]
    fn files_and_commands() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().display();
        let recipe = format!(
            "#cloud-config\npackages: [jq]\nruncmd:\n- cd {path}\n- [sh, -c, 'cat \"a file\" >> log']\n\
             - echo \"it's $((1+1))\" >> log\nbootcmd:\n- echo boot >> {path}/log\nwrite_files:\n\
             - path: {path}/a file\n  content: \"x'y\\n\"\n  permissions: '0600'\n\
             - path: {path}/sub/b\n  encoding: b64\n  content: aGk=\n"
        );
        let wanted = UserData { commands: vec!["echo ours >> log".to_owned()], ..data(&recipe) };
        let script = script(&wanted).unwrap().unwrap();
        let output = Command::new("sh").arg("-c").arg(&script).output().unwrap();
        let read = |name: &str| std::fs::read_to_string(place.path().join(name)).unwrap();
        assert_eq!(read("log"), "boot\nx'y\nit's 2\nours\n", "{output:?}");
        assert_eq!(read("sub/b"), "hi");
        let log = String::from_utf8(output.stdout).unwrap();
        assert_eq!(log, "imd: nodes of the local cloud have no cloud-init; left out: packages\n");
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(place.path().join("a file")).unwrap());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn nothing_and_what_is_not_understood() {
        assert_eq!(script(&UserData::default()).unwrap(), None);
        assert!(script(&data("hello")).unwrap().unwrap().contains("neither a script"));
        for recipe in
            ["runcmd: ls", "runcmd: [{a: b}]", "write_files: [{content: x}]", "write_files: [{path: /x, encoding: y}]"]
        {
            assert_eq!(script(&data(recipe)).unwrap_err().class, ErrorClass::Invalid, "{recipe}");
        }
    }
}
