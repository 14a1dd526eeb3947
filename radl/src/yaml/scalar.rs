//! Which type YAML 1.1 gives a scalar (https://yaml.org/type/), as PyYAML reads it, and how Python prints one.

use super::value::Data;

/// Beginning of the standard tags.
pub(super) const STANDARD: &str = "tag:yaml.org,2002:";

/// A scalar with its tag, if any; only a plain one without a tag has a type of its own.
pub(super) fn typed(tag: Option<&str>, text: String, is_plain: bool) -> Result<Data, String> {
    let tag = tag.filter(|tag| *tag != "!").map(|tag| tag.strip_prefix(STANDARD).unwrap_or(tag));
    match tag {
        None if is_plain => Ok(plain(&text)),
        None | Some("str" | "timestamp" | "binary") => Ok(Data::Text(text)),
        Some("null") => Ok(Data::Null),
        Some("int") => integer(&text).map(Data::Integer).ok_or_else(|| "found a text tagged as a number".to_owned()),
        Some("float") => {
            let whole = || integer(&text).map(|whole| whole as f64);
            float(&text).or_else(whole).map(Data::Float).ok_or_else(|| "found a text tagged as a number".to_owned())
        }
        Some("bool") => boolean(&text).map(Data::Bool).ok_or_else(|| "found a text tagged as true or false".to_owned()),
        Some(_) => Err("found a tag that stands for nothing here".to_owned()),
    }
}

/// A plain scalar, whose text says its type.
#[must_use]
pub fn plain(text: &str) -> Data {
    if matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        return Data::Null;
    }
    if let Some(truth) = boolean(text) {
        return Data::Bool(truth);
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Data::Text(text.to_owned());
    }
    match integer(text) {
        Some(whole) => Data::Integer(whole),
        None => float(text).map_or_else(|| Data::Text(text.to_owned()), Data::Float),
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

fn signed(text: &str) -> (bool, &str) {
    match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    }
}

/// A whole number: decimal, octal with 0, hexadecimal with 0x, binary with 0b, or in base 60 with colons.
fn integer(text: &str) -> Option<i128> {
    let (is_negative, digits) = signed(text);
    let of_base = |digits: &str, base: u32| {
        let known = !digits.is_empty() && digits.chars().all(|c| c == '_' || c.is_digit(base));
        known.then(|| i128::from_str_radix(&digits.replace('_', ""), base).ok())?
    };
    let magnitude = if let Some(digits) = digits.strip_prefix("0b") {
        of_base(digits, 2)?
    } else if let Some(digits) = digits.strip_prefix("0x") {
        of_base(digits, 16)?
    } else if digits == "0" {
        0
    } else if let Some(digits) = digits.strip_prefix('0') {
        of_base(digits, 8)?
    } else if digits.contains(':') {
        sixties(digits, |part| of_base(part, 10))?
    } else if digits.starts_with(|c: char| c.is_ascii_digit()) {
        of_base(digits, 10)?
    } else {
        return None;
    };
    Some(if is_negative { -magnitude } else { magnitude })
}

/// `1:30` is 90.
fn sixties(text: &str, number: impl Fn(&str) -> Option<i128>) -> Option<i128> {
    let mut parts = text.split(':');
    let first = number(parts.next().filter(|first| !first.starts_with('0'))?)?;
    parts.try_fold(first, |sum, part| {
        let fits = matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']);
        sum.checked_mul(60)?.checked_add(fits.then(|| number(part))??)
    })
}

/// A number with a point; an exponent has a sign.
fn float(text: &str) -> Option<f64> {
    let (is_negative, rest) = signed(text);
    let sign = if is_negative { -1.0 } else { 1.0 };
    match rest {
        ".inf" | ".Inf" | ".INF" => return Some(sign * f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" if rest == text => return Some(f64::NAN),
        _ => {}
    }
    let (mantissa, exponent) = rest.split_once(['e', 'E']).map_or((rest, None), |(m, e)| (m, Some(e)));
    let (whole, fraction) = mantissa.split_once('.')?;
    let digits = |text: &str| text.chars().all(|c| c == '_' || c.is_ascii_digit());
    let begins = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let exponent_fits = exponent.is_none_or(|exponent| {
        exponent.strip_prefix(['+', '-']).is_some_and(|e| !e.is_empty() && e.bytes().all(|b| b.is_ascii_digit()))
    });
    if !digits(whole) || !digits(fraction) || !exponent_fits || !(begins(whole) || whole.is_empty() && begins(fraction))
    {
        return None;
    }
    let number: f64 = format!("0{rest}").replace('_', "").parse().ok()?;
    Some(sign * number)
}

/// A number with a point as Python prints it: `2.0`, `0.25`, `1e+20`.
#[must_use]
pub fn float_text(number: f64) -> String {
    let magnitude = number.abs();
    if number.is_nan() || number.is_infinite() {
        return format!("{number}").to_lowercase();
    }
    if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        let text = format!("{number:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    format!("{number:?}")
}

/// A text in quotes, as Python prints one within a list.
pub(super) fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}
