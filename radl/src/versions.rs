//! Order of version texts: PEP 440 where they follow it, the closest sensible order where they do not.

use std::cmp::Ordering;

/// Compares two versions: `1.10 > 1.9`, `1.0 = 1.0.0`, `2.0rc1 < 2.0`, `2.0.post1 > 2.0`. Texts that are no versions of
/// PEP 440 (`1.8.0_131`) are compared part by part in the same way.
#[must_use]
pub fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (parts(a), parts(b));
    let end = &Part::End;
    (0..a.len().max(b.len()))
        .map(|at| order(a.get(at).unwrap_or(end), b.get(at).unwrap_or(end)))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// A run of digits (without leading zeros), a run of letters, or the end, which counts as a zero.
enum Part<'a> {
    Number(&'a str),
    Word(String),
    End,
}

fn parts(version: &str) -> Vec<Part<'_>> {
    let version = version.trim().trim_start_matches(['v', 'V']);
    let mut parts = Vec::new();
    let mut rest = version;
    while let Some(first) = rest.chars().next() {
        let same = |c: char| c.is_ascii_digit() == first.is_ascii_digit() && c.is_alphanumeric();
        let length = rest.find(|c| !same(c)).unwrap_or(rest.len()).max(first.len_utf8());
        let (run, after) = rest.split_at(length);
        rest = after;
        if first.is_ascii_digit() {
            parts.push(Part::Number(run.trim_start_matches('0')));
        } else if first.is_alphanumeric() {
            parts.push(Part::Word(run.to_lowercase()));
        }
    }
    parts
}

/// Rank of a part among parts of another kind: development and pre-releases come before the end, others after it.
fn rank(part: &Part<'_>) -> i8 {
    match part {
        Part::Word(word) => match word.as_str() {
            "dev" => -4,
            "a" | "alpha" => -3,
            "b" | "beta" => -2,
            "c" | "rc" | "pre" | "preview" => -1,
            _ => 1,
        },
        Part::End => 0,
        Part::Number("") => 0,
        Part::Number(_) => 2,
    }
}

fn order(a: &Part<'_>, b: &Part<'_>) -> Ordering {
    match (a, b) {
        (Part::Number(a), Part::Number(b)) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
        (Part::Word(a_word), Part::Word(b_word)) => {
            let ranks = rank(a).cmp(&rank(b));
            // Synonyms (`rc`, `c`) have one rank; unknown words go by the alphabet.
            if rank(a) == 1 { ranks.then_with(|| a_word.cmp(b_word)) } else { ranks }
        }
        _ => rank(a).cmp(&rank(b)),
    }
}
