//! `imd radl`: parses, checks and prints a RADL document, in text or JSON form.

use super::Output;
use clap::{Args, ValueEnum};
use radl::{Position, Radl, RadlError};
use serde_json::{Value, json};
use std::{io::Read, path::PathBuf};

/// Characters of a line that are shown with an error.
const EXCERPT: usize = 100;

/// Largest document read.
const MAX_DOCUMENT: u64 = 64 << 20;

/// Arguments of `imd radl`.
#[derive(Debug, Args)]
pub struct RadlArguments {
    /// The document, in text form, or in JSON when it starts with [ or { or its name ends in .json; - reads
    /// standard input
    file: PathBuf,
    /// Form to print it in
    #[arg(long, value_enum, default_value_t = OutputForm::Radl)]
    to: OutputForm,
    /// Do not check the rules between the parts of the document
    #[arg(long)]
    no_check: bool,
    /// How an error is told: text on standard error, or JSON on standard output
    #[arg(long, value_enum, default_value_t = ErrorFormat::Text)]
    errors: ErrorFormat,
}

/// Forms of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputForm {
    /// Text.
    Radl,
    /// JSON, two-space indent, sorted keys, ASCII only.
    Json,
}

/// Forms of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ErrorFormat {
    /// On standard error, with the line it is in and a mark under the place.
    Text,
    /// An object on standard output: error, phase, kind, line, column, detail.
    Json,
}

/// Reads the document and does what the arguments say.
pub(super) fn run(arguments: &RadlArguments) -> Output {
    match read(&arguments.file) {
        Ok(text) => {
            let named = arguments.file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
            let json = named || text.trim_start().starts_with(['[', '{']);
            document(&text, json, arguments.to, !arguments.no_check, arguments.errors)
        }
        Err(error) => Output { stderr: format!("imd: {}: {error}\n", arguments.file.display()), ..Output::default() },
    }
}

/// The text of a file; `-` is standard input.
///
/// # Errors
/// It cannot be read, is no UTF-8, or is too large.
pub(super) fn read(file: &std::path::Path) -> std::io::Result<String> {
    let mut text = String::new();
    let source: Box<dyn Read> =
        if file.as_os_str() == "-" { Box::new(std::io::stdin()) } else { Box::new(std::fs::File::open(file)?) };
    source.take(MAX_DOCUMENT + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_DOCUMENT {
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "the document is too large"));
    }
    Ok(text)
}

fn document(text: &str, json: bool, to: OutputForm, check: bool, errors: ErrorFormat) -> Output {
    let failure = |phase: &str, error: RadlError| failure(phase, text, &error.located_in(text), errors);
    let parsed = if json { Radl::from_json(text) } else { Radl::parse(text) };
    let radl = match parsed {
        Ok(radl) => radl,
        Err(error) => return failure("parse", error),
    };
    if check && let Err(error) = radl.check() {
        return failure("check", error);
    }
    let stdout = match to {
        OutputForm::Radl => radl.to_text(),
        OutputForm::Json => dump(&radl.to_json()),
    };
    let stderr = radl.warnings().iter().map(|warning| format!("WARNING: {warning}\n")).collect();
    Output { stdout, stderr, success: true }
}

fn failure(phase: &str, text: &str, error: &RadlError, format: ErrorFormat) -> Output {
    match format {
        ErrorFormat::Text => {
            let excerpt = error.position().and_then(|position| excerpt(text, position)).unwrap_or_default();
            Output { stderr: format!("{}\n{excerpt}", error.explained()), ..Output::default() }
        }
        ErrorFormat::Json => {
            // The line is there only when the message names it: consumers compare the two.
            let object = json!({
                "error": error.to_string(),
                "phase": phase,
                "kind": error.kind().as_str(),
                "line": error.line(),
                "column": error.column(),
                "detail": error.detail(),
            });
            Output { stdout: dump(&object) + "\n", ..Output::default() }
        }
    }
}

/// The line of a place, and a mark under its column where that is known; of a long line the part around it.
pub(super) fn excerpt(text: &str, place: Position) -> Option<String> {
    let line = text.split('\n').nth(usize::try_from(place.line).ok()?.checked_sub(1)?)?;
    let column = place.column.and_then(|column| usize::try_from(column).ok()?.checked_sub(1));
    let begin = column.unwrap_or_default().saturating_sub(EXCERPT / 2);
    // What a terminal would take for a command, or for more than one place, is shown as a blank.
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    let part: String = line.chars().skip(begin).take(EXCERPT).map(visible).collect();
    let mark = column.map(|column| format!("  {}^\n", " ".repeat(column - begin))).unwrap_or_default();
    Some(format!("  {}\n{mark}", part.trim_end()))
}

/// JSON with sorted keys, two-space indent and everything outside ASCII escaped (docs/spec/radl.md 14).
pub(super) fn dump(value: &Value) -> String {
    let mut value = value.clone();
    value.sort_all_objects();
    let mut text = String::new();
    let mut units = [0; 2];
    for c in format!("{value:#}").chars() {
        if c.is_ascii() && c != '\u{7f}' {
            text.push(c);
        } else {
            text.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_and_printed_and_errors_told_in_both_formats() {
        let text = "system s ( name = 'é😀' )\n";
        let json = document(text, false, OutputForm::Json, true, ErrorFormat::Text);
        assert_eq!(
            json.stdout,
            "[\n  {\n    \"class\": \"system\",\n    \"id\": \"s\",\n    \"name\": \"\\u00e9\\ud83d\\ude00\"\n  }\n]"
        );
        let back = document(&json.stdout, true, OutputForm::Radl, true, ErrorFormat::Text);
        assert!(back.success && back.stdout.contains("name = 'é😀'"), "{back:?}");

        let broken = document("system s (\n", false, OutputForm::Radl, true, ErrorFormat::Json);
        assert!(!broken.success && broken.stderr.is_empty());
        let error: Value = serde_json::from_str(&broken.stdout).unwrap_or_default();
        assert_eq!((&error["phase"], &error["kind"]), (&"parse".into(), &"radl".into()), "{error}");

        let unchecked = "deploy nobody 1\n";
        let checked = document(unchecked, false, OutputForm::Radl, true, ErrorFormat::Text);
        assert!(!checked.success && checked.stdout.is_empty() && checked.stderr.starts_with("Line 1: "), "{checked:?}");
        assert!(checked.stderr.ends_with("\n  deploy nobody 1\n         ^\n"), "{}", checked.stderr);
        assert!(document(unchecked, false, OutputForm::Radl, false, ErrorFormat::Text).success);
        let not_json = document("[{", true, OutputForm::Json, true, ErrorFormat::Json);
        assert!(not_json.stdout.contains("\"kind\": \"json\""), "{}", not_json.stdout);

        let told = |text: &str| document(text, false, OutputForm::Radl, true, ErrorFormat::Text).stderr;
        let shown = told("system s (\n\tcpu.arch = yes\n)");
        assert!(shown.ends_with("'text'\n   cpu.arch = yes\n              ^\n"), "{shown}");
        let long = told(&format!("system s ({} a = yes)", "b = 1 and ".repeat(99)));
        let lines: Vec<&str> = long.lines().collect();
        let under = |mark: &str| lines[1].chars().nth(mark.len() - 1);
        assert!(lines.len() == 3 && lines[1].len() < 110 && under(lines[2]) == Some('y'), "{long}");
        assert!(told("system s (\n a = 1").ends_with("line 1)\n   a = 1\n        ^\n"));
        let warned = document("system s (memory.size = 2)", false, OutputForm::Radl, true, ErrorFormat::Text);
        assert!(warned.success && warned.stderr.contains("memory.size is less than a megabyte"), "{warned:?}");
    }
}
