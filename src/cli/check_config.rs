//! `imd check-config`: what the configuration is, and what is wrong with it.

use super::Output;
use crate::config::{Problem, Report};
use std::fmt::Write;

/// The report on standard output; without success when there are errors.
pub(super) fn run(report: &Report) -> Output {
    let mut text = String::new();
    let mut list = |title: &str, none: &str, lines: Vec<String>| {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{title}:");
        if lines.is_empty() {
            let _ = writeln!(text, "  {none}");
        }
        for line in lines {
            let _ = writeln!(text, "  {}", line.replace('\n', "\n    "));
        }
    };
    let problems = |problems: &[Problem]| problems.iter().map(ToString::to_string).collect();
    list("Files read", "none", report.files.iter().map(|file| file.display().to_string()).collect());
    let settings = report.settings.iter().map(|s| format!("{} = {}  ({})", s.name, s.shown, s.place)).collect();
    list("Options that differ from their defaults", "none", settings);
    list("Warnings", "none", problems(&report.warnings));
    list("Errors", "none: the configuration can be used", problems(&report.errors));
    Output { stdout: text, stderr: String::new(), success: report.errors.is_empty() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn shows_what_is_set_what_is_wrong_and_no_secret() {
        let check = |text: &str| run(&config::read(&[("im.cfg".into(), text.to_owned())], &[]));
        let good = check(
            "[im]\nREST_PORT = 8801\nREST_PROT = 1\nADMIN_USER = {\"username\": \"u\", \"password\": \"sesame\"}\n",
        );
        assert!(good.success);
        assert_eq!(
            good.stdout,
            "Files read:\n  im.cfg\n\
             Options that differ from their defaults:\n  REST_PORT = 8801  (im.cfg:2)\n  ADMIN_USER = ***  (im.cfg:4)\n\
             Warnings:\n  im.cfg:3: unknown option REST_PROT is ignored; did you mean REST_PORT?\n\
             Errors:\n  none: the configuration can be used\n"
        );
        let bad = check("[im]\nREST_PORT = x\n");
        assert!(!bad.success && bad.stdout.contains("im.cfg:2: REST_PORT: expected a whole number"));
    }
}
