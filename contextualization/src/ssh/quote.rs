//! Argument lists as command lines of a POSIX shell: the only place where text becomes part of a command.

/// Quotes an argument list so that a POSIX shell reads exactly these arguments. NUL cannot be part of an argument; it
/// is left out.
#[must_use]
pub fn quote(argv: &[&str]) -> String {
    let mut line = String::new();
    for (i, argument) in argv.iter().enumerate() {
        if i > 0 {
            line.push(' ');
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,+@%".contains(c);
        // A leading word with `=` would be an assignment and a reserved word a keyword, hence quotes for all but
        // simple words in the later positions.
        if i > 0 && !argument.is_empty() && argument.chars().all(plain) {
            line.push_str(argument);
            continue;
        }
        line.push('\'');
        line.push_str(&argument.replace('\0', "").replace('\'', r"'\''"));
        line.push('\'');
    }
    line
}
