//! Filters of infrastructures: a regular expression that is searched in texts, with bounds of its size and of its time.
//!
//! The search goes byte by byte through an automaton that is made on the way, so that it can stop at any time. What costs so
//! much that its time is over is refused, whatever the expression is.

use crate::engine::error::OperationError;
use regex::{Regex, RegexBuilder};
use regex_automata::{
    Anchored,
    hybrid::dfa::{Cache, DFA},
    nfa::thompson,
    util::start,
};
use std::{
    error::Error,
    time::{Duration, Instant},
};

/// Bytes that an expression may have.
const LONGEST: usize = 4096;
/// Bytes that the compiled expression may have.
const SIZE: usize = 1 << 20;
/// Time that all searches of a request may take together.
pub const TIME: Duration = Duration::from_secs(1);
/// Bytes between two looks at the clock. A step that makes a new state takes up to a tenth of a millisecond.
const STRIDE: usize = 256;
/// States of the expression times bytes of the text that are searched in a small part of that time in any case.
const CHEAP: usize = 1 << 24;

/// A filter, and the time that is left for it.
pub struct Filter {
    expression: String,
    automaton: DFA,
    cache: Cache,
    left: Duration,
}

impl Filter {
    /// A filter whose searches take at most `time` together.
    ///
    /// # Errors
    /// Not a regular expression, or one that is too large.
    pub fn new(expression: &str, time: Duration) -> Result<Self, OperationError> {
        let invalid = |why: String| OperationError::Invalid(format!("Invalid filter: {why}"));
        if expression.len() > LONGEST {
            return Err(invalid(format!("it has more than {LONGEST} bytes")));
        }
        let size = thompson::Config::new().nfa_size_limit(Some(SIZE)).which_captures(thompson::WhichCaptures::None);
        let bounds = DFA::config().unicode_word_boundary(true).skip_cache_capacity_check(true);
        let automaton = DFA::builder().configure(bounds).thompson(size).build(expression);
        let automaton = automaton.map_err(|error| invalid(cause(&error)))?;
        let cache = automaton.create_cache();
        Ok(Self { expression: expression.to_owned(), automaton, cache, left: time })
    }

    /// Whether the expression is found in the text, whose making counts as well.
    ///
    /// # Errors
    /// The time is over.
    pub fn matches(&mut self, text: impl FnOnce() -> String) -> Result<bool, OperationError> {
        let started = Instant::now();
        let text = text();
        let found = self.search(text.as_bytes(), started);
        self.left = self.left.saturating_sub(started.elapsed());
        match found {
            Found::Yes => Ok(true),
            Found::No => Ok(false),
            Found::Later => Err(self.too_expensive()),
            Found::OtherLetters => self.matches_beyond_ascii(&text),
        }
    }

    fn too_expensive(&self) -> OperationError {
        let text = "The filter takes too long. Use a simpler one, such as a word of the document.";
        OperationError::Invalid(text.to_owned())
    }

    fn search(&mut self, text: &[u8], started: Instant) -> Found {
        let Self { automaton, cache, left, .. } = self;
        let Ok(mut state) = automaton.start_state(cache, &start::Config::new().anchored(Anchored::No)) else {
            return Found::OtherLetters;
        };
        for piece in text.chunks(STRIDE) {
            if started.elapsed() >= *left {
                return Found::Later;
            }
            for byte in piece {
                // It fails where it is told to give up, which it is not.
                let Ok(next) = automaton.next_state(cache, state, *byte) else { return Found::Later };
                state = next;
                if state.is_tagged() {
                    if state.is_match() {
                        return Found::Yes;
                    } else if state.is_dead() {
                        return Found::No;
                    } else if state.is_quit() {
                        return Found::OtherLetters;
                    }
                }
            }
        }
        match automaton.next_eoi_state(cache, state) {
            Ok(state) if state.is_match() => Found::Yes,
            Ok(_) => Found::No,
            Err(_) => Found::Later,
        }
    }

    /// The automaton knows borders of words only between letters of ASCII.
    fn matches_beyond_ascii(&mut self, text: &str) -> Result<bool, OperationError> {
        if self.automaton.get_nfa().states().len().saturating_mul(text.len()) > CHEAP || self.left.is_zero() {
            return Err(self.too_expensive());
        }
        let started = Instant::now();
        let regex = RegexBuilder::new(&self.expression).size_limit(4 * SIZE).build();
        let found = regex.as_ref().map(|regex: &Regex| regex.is_match(text)).unwrap_or_default();
        self.left = self.left.saturating_sub(started.elapsed());
        Ok(found)
    }
}

enum Found {
    Yes,
    No,
    Later,
    OtherLetters,
}

/// What is at the bottom of an error, which says best what is wrong.
fn cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn expressions_find_what_the_library_finds() {
        let texts = ["", "system front (\ncpu.count = 2\n)", "naïve café front-end", "aab\n", "deploy wn 2"];
        for expression in [
            "",
            "front",
            "^system",
            "wn [0-9]+$",
            r"\bfront\b",
            r"\bcafé\b",
            r"\bcaf\b",
            r"(?i)SYSTEM\s+\w+",
            "a+b$",
            r"a+b\s*$",
            r"[^a-z]{3}",
            "(x|deploy) wn",
            r"\Bro",
            "é",
            r"(?-u)\xc3",
            "(?s)front.*2",
            r"\d\z",
        ] {
            let Ok(regex) = Regex::new(expression) else {
                continue;
            };
            for text in texts {
                let found = Filter::new(expression, TIME).unwrap().matches(|| text.to_owned()).unwrap();
                assert_eq!(found, regex.is_match(text), "{expression} in {text:?}");
            }
        }
    }

    #[test]
    fn what_is_too_large_or_takes_too_long_is_refused() {
        for expression in ["(", "[z-a]", r"\w{5000}", &"a".repeat(LONGEST + 1), "(?Z)"] {
            let refused = Filter::new(expression, TIME).err().unwrap().to_string();
            assert!(refused.starts_with("Invalid filter: ") && refused.len() > 20, "{refused}");
        }
        let text = "ab".repeat(8 << 20);
        for expression in ["a[ab]{1000}[^abc]{3}", "a[ab]{3000}[^abc]{3}", r"\b[a-z]{900}é{9}\b"] {
            let started = Instant::now();
            let mut filter = Filter::new(expression, Duration::from_millis(200)).unwrap();
            let refused = filter.matches(|| text.clone()).unwrap_err();
            assert!(refused.to_string().starts_with("The filter takes too long."), "{expression}");
            assert!(started.elapsed() < Duration::from_secs(10), "{expression}: {:?}", started.elapsed());
            assert!(filter.matches(|| "x".to_owned()).is_err(), "the time is that of all texts");
        }
        assert!(!Filter::new("zzz", 10 * TIME).unwrap().matches(|| text).unwrap());
    }
}
