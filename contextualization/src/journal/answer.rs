//! What Ansible answers to a recipe that it cannot read or run: the useful lines of it, and the place that it names.
//!
//! Ansible names a place in the playbook that was made of the recipe; [`excerpt`] shows it in the user's own text.

use super::text::Cleaner;
use radl::yaml;
use serde::{Deserialize, Serialize};

/// Where what Ansible says of a place begins: up to 2.18, and later.
const PLACES: [&str; 2] = ["The error appears to be in '", "Origin: "];
/// Beginnings of lines that help nobody: what was tried before the text was read as YAML.
const USELESS: [&str; 2] = ["We were unable to read either as JSON nor YAML", "JSON: "];
/// What follows the lines of a file that Ansible shows.
const HERE: &str = "^ here";

/// A place that Ansible names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePlace {
    /// The file on the master.
    pub file: String,
    /// Its line, from 1.
    pub line: usize,
    /// The column in it, from 1.
    pub column: usize,
    /// The lines that Ansible showed.
    pub shown: Vec<String>,
}

/// What Ansible answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnsibleAnswer {
    /// What is wrong, on one line.
    pub said: String,
    /// Where.
    pub place: Option<FilePlace>,
}

impl AnsibleAnswer {
    /// The answer in the last lines of a run's output; none when there is none.
    #[must_use]
    pub fn of_output(output: &str) -> Option<Self> {
        let at = ["ERROR! ", "[ERROR]: "].iter().filter_map(|mark| Some(output.rfind(mark)? + mark.len())).max()?;
        Some(Self::of_message(&output[at..]))
    }

    /// The answer in the message of a task.
    #[must_use]
    pub fn of_message(message: &str) -> Self {
        let at = PLACES.iter().filter_map(|mark| message.find(mark)).min();
        let (said, place) = message.split_at(at.unwrap_or(message.len()));
        let useful = |line: &&str| !line.is_empty() && !USELESS.iter().any(|start| line.starts_with(start));
        let said: Vec<&str> = said.lines().map(str::trim).filter(useful).collect();
        Self { said: said.join(" "), place: file_place(place) }
    }
}

/// Reads `... in 'FILE': line L, column C, ...` or `Origin: FILE:L:C`.
fn file_place(text: &str) -> Option<FilePlace> {
    let first = text.lines().next()?;
    let (file, line, column) = if let Some(rest) = first.strip_prefix(PLACES[0]) {
        let (file, rest) = rest.split_once("': line ")?;
        let (line, rest) = rest.split_once(", column ")?;
        (file, line, rest.split(|c: char| !c.is_ascii_digit()).next()?)
    } else {
        let mut parts = first.strip_prefix(PLACES[1])?.rsplitn(3, ':');
        let (column, line) = (parts.next()?, parts.next()?);
        (parts.next()?, line, column)
    };
    let end = text.find(HERE).map(|at| at + HERE.len());
    let shown = end.and_then(|end| text[..end].split_once(":\n\n")).map(|(_, shown)| shown).unwrap_or_default();
    let shown = shown.lines().skip_while(|line| line.is_empty()).map(str::to_owned).collect();
    Some(FilePlace { file: file.to_owned(), line: line.parse().ok()?, column: column.parse().ok()?, shown })
}

/// Texts that a place may be in.
pub struct Texts<'a> {
    /// The directory of all files on the master.
    pub conf_dir: &'a str,
    /// The recipe.
    pub recipe: &'a str,
    /// The name of its playbook in the directory, and the playbook.
    pub playbook: (&'a str, &'a str),
    /// Names of other recipes in the directory, and their texts.
    pub others: &'a [(String, &'a str)],
}

/// The lines that show a place: of the user's own text where that is known, else those that Ansible showed.
#[must_use]
pub fn excerpt(place: &FilePlace, texts: &Texts<'_>, cleaner: &Cleaner) -> Vec<String> {
    let file = place.file.strip_prefix(texts.conf_dir).map_or(place.file.as_str(), |file| file.trim_start_matches('/'));
    let (name, playbook) = texts.playbook;
    let own = if file == name {
        let at = yaml::counterpart(playbook, (place.line, place.column), texts.recipe);
        at.map(|at| ("the recipe".to_owned(), texts.recipe, at))
    } else {
        let other = texts.others.iter().find(|(other, _)| other == file);
        other.map(|(name, text)| (name.clone(), *text, (place.line, place.column)))
    };
    let lines = match own {
        Some((name, text, (line, column))) => {
            let mut lines = vec![format!("In {name}, line {line} column {column}:")];
            let from = line.saturating_sub(2);
            lines.extend(text.lines().skip(from).take(line - from).map(str::to_owned));
            lines.push(format!("{}^", " ".repeat(column.saturating_sub(1))));
            lines
        }
        None if file == name => Vec::new(),
        None => {
            let mut lines = vec![format!("In {file}, line {} column {}:", place.line, place.column)];
            lines.extend(place.shown.iter().cloned());
            lines
        }
    };
    lines.iter().map(|line| cleaner.name(line)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const OLD: &str = "[WARNING]: x\nERROR! couldn't resolve module/action 'nosuch'. This often indicates a misspelling, \
                       missing collection, or incorrect module path.\n\nThe error appears to be in \
                       '/c/roles/r/tasks/main.yml': line 3, column 7, but may\nbe elsewhere in the file depending on the \
                       exact syntax problem.\n\nThe offending line appears to be:\n\n\n- name: x\n  ^ here\n";
    const NEW: &str = "[ERROR]: couldn't resolve module/action 'nosuch'.\nOrigin: /c/web_front_task_all.yml:6:7\n\n\
                       5   tasks:\n6     - name: x\n        ^ column 7\n";
    const UNREAD: &str = "ERROR! We were unable to read either as JSON nor YAML, these are the errors we got from each:\n\
                          JSON: Expecting value: line 1 column 1 (char 0)\n\nSyntax Error while loading YAML.\n  found \
                          unacceptable key (unhashable type: 'AnsibleMapping')\n\nThe error appears to be in \
                          '/c/part.yml': line 2, column 9, but may\n";

    #[test]
    fn answers_of_ansible() {
        let answer = AnsibleAnswer::of_output(OLD).unwrap();
        assert!(answer.said.starts_with("couldn't resolve module/action 'nosuch'. This often"), "{answer:?}");
        assert!(answer.said.ends_with("incorrect module path."), "{answer:?}");
        let place = answer.place.unwrap();
        assert_eq!((place.file.as_str(), place.line, place.column), ("/c/roles/r/tasks/main.yml", 3, 7));
        assert_eq!(place.shown, ["- name: x", "  ^ here"]);
        let answer = AnsibleAnswer::of_output(UNREAD).unwrap();
        let said = "Syntax Error while loading YAML. found unacceptable key (unhashable type: 'AnsibleMapping')";
        assert_eq!(answer.said, said);
        let answer = AnsibleAnswer::of_message(
            "The error was: 'x' is undefined\n\nThe error appears to be in '/c/a.yml': line 4, ",
        );
        assert_eq!((answer.said.as_str(), answer.place), ("The error was: 'x' is undefined", None));
        assert_eq!(AnsibleAnswer::of_output("Traceback\nkilled"), None);
    }

    /// In the words of the user, whatever the playbook looks like; secrets are masked.
    #[test]
    fn places_in_the_users_own_text() {
        let recipe = "\n# Comment\n- hosts: all\n  tasks: [{name: ok}, {nosuch: {}, name: 'secret-1'}]\n";
        let playbook = "- hosts: x\n  become: yes\n  tasks:\n  - name: ok\n  - nosuch: {}\n    name: 'secret-1'\n";
        let others = [("part.yml".to_owned(), "- a\n- b: c\n")];
        let texts = Texts { conf_dir: "/c", recipe, playbook: ("web_front_task_all.yml", playbook), others: &others };
        let cleaner = Cleaner::new(["secret-1".to_owned()], false);
        let shown = |output: &str| excerpt(&AnsibleAnswer::of_output(output).unwrap().place.unwrap(), &texts, &cleaner);
        let own = [
            "In the recipe, line 4 column 24:",
            "- hosts: all",
            "  tasks: [{name: ok}, {nosuch: {}, name: '********'}]",
            "                       ^",
        ];
        assert_eq!(shown(&NEW.replace(":6:7", ":5:5")), own);
        assert_eq!(shown(OLD), ["In roles/r/tasks/main.yml, line 3 column 7:", "- name: x", "  ^ here"]);
        assert_eq!(shown(UNREAD), ["In part.yml, line 2 column 9:", "- a", "- b: c", "        ^"]);
        // Of what the daemon added there is nothing to show.
        assert_eq!(shown(&NEW.replace(":6:7", ":2:3")), [""; 0]);
    }
}
