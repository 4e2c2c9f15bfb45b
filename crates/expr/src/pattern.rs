//! The operator `matches`: Go's regular expressions (RE2).

use crate::error::Error;
use crate::eval::Outcome;
use crate::ops;
use crate::value::Value;

/// The size that a compiled pattern may have, in bytes.
const MAX_SIZE: usize = 4 << 20;

pub(crate) fn matches(text: &Value, pattern: &Value) -> Outcome {
    if text.is_nil() || pattern.is_nil() {
        return Ok(Value::Bool(false));
    }
    let regex = compile(ops::to_str(pattern)?)?;
    Ok(Value::Bool(match text {
        Value::Bytes(bytes) => regex.is_match(&String::from_utf8_lossy(bytes)),
        text => regex.is_match(ops::to_str(text)?),
    }))
}

/// A regular expression in Go's syntax (RE2), from the cache when it was used
/// lately.
///
/// # Errors
/// `error parsing regexp: …`
///
/// ```
/// assert!(expr::compile_regex(r"^v\d+$").unwrap().is_match("v12"));
/// // Classes are ASCII, as in Go, and there is no look-around.
/// assert!(!expr::compile_regex(r"\d").unwrap().is_match("\u{663}"));
/// assert!(expr::compile_regex("(?=a)").is_err());
/// ```
pub fn compile(pattern: &str) -> Result<regex::Regex, Error> {
    static CACHE: std::sync::LazyLock<crate::cache::Cache<regex::Regex>> =
        std::sync::LazyLock::new(crate::cache::Cache::default);
    CACHE.get(pattern, |pattern| {
        let failed = |why: String| Error::run(format!("error parsing regexp: {why}"));
        let translated = translate(pattern).map_err(failed)?;
        regex::RegexBuilder::new(&translated)
            .size_limit(MAX_SIZE)
            .build()
            .map_err(|e| failed(format!("invalid pattern `{pattern}`: {}", last_line(&e))))
    })
}

fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or("").trim_start_matches("error: ").to_owned()
}

/// Go's syntax in the `regex` crate's: in Go `\d`, `\w`, `\s` and `\b` are
/// ASCII, `\Q…\E` quotes, `\C` is not there, `\z` is the end, a class has no
/// operators (`&&`, `--`, `~~`) and no nesting, and `(?u)`, `(?x)`, `(?R)`
/// are not flags.
fn translate(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    let mut repeated = false;
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or("");
        let was_repeated = std::mem::take(&mut repeated);
        match c {
            '*' | '+' | '?' => {
                if was_repeated {
                    return Err(format!("invalid nested repetition operator: `{c}`"));
                }
                out.push(c);
                rest = after;
                if let Some(after) = rest.strip_prefix('?') {
                    out.push('?');
                    rest = after;
                }
                // What the pattern begins with is no operand.
                repeated = true;
            }
            '{' => match repeat(after)? {
                Some(len) => {
                    if was_repeated {
                        return Err("invalid nested repetition operator".to_owned());
                    }
                    out.push('{');
                    out.push_str(after.get(..len).unwrap_or(""));
                    rest = after.get(len..).unwrap_or("");
                    if let Some(after) = rest.strip_prefix('?') {
                        out.push('?');
                        rest = after;
                    }
                    repeated = true;
                }
                None => {
                    out.push_str("\\{");
                    rest = after;
                }
            },
            '}' => {
                out.push_str("\\}");
                rest = after;
            }
            '\\' => {
                let Some(e) = after.chars().next() else {
                    return Err("trailing backslash at end of expression: ``".to_owned());
                };
                let tail = after.get(e.len_utf8()..).unwrap_or("");
                if e == 'Q' {
                    let (quoted, tail) = match tail.find("\\E") {
                        Some(i) => (tail.get(..i).unwrap_or(""), tail.get(i + 2..).unwrap_or("")),
                        None => (tail, ""),
                    };
                    out.push_str(&regex::escape(quoted));
                    rest = tail;
                    continue;
                }
                rest = escape(&mut out, e, tail, false)?;
            }
            '[' => rest = class(&mut out, after)?,
            '(' if after.starts_with('?') => {
                let flags: String = after
                    .chars()
                    .skip(1)
                    .take_while(|c| c.is_ascii_alphabetic() || *c == '-')
                    .collect();
                let end = after.chars().nth(1 + flags.len());
                let names = after.starts_with("?P<") || after.starts_with("?<");
                if !names
                    && (!matches!(end, Some(')' | ':'))
                        || flags.chars().any(|c| !matches!(c, 'i' | 'm' | 's' | 'U' | '-')))
                {
                    return Err(format!("invalid or unsupported Perl syntax: `(?{flags}`"));
                }
                out.push('(');
                rest = after;
            }
            _ => {
                out.push(c);
                rest = after;
            }
        }
    }
    Ok(out)
}

/// How long a repetition is after its brace, with the closing one; none where
/// the brace stands for itself.
fn repeat(after: &str) -> Result<Option<usize>, String> {
    let Some(end) = after.find('}') else { return Ok(None) };
    let body = after.get(..end).unwrap_or("");
    let (least, most) = body.split_once(',').unwrap_or((body, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if least.is_empty() || !digits(least) || !digits(most) {
        return Ok(None);
    }
    let number = |text: &str| text.parse::<u32>().unwrap_or(u32::MAX);
    if number(least) > 1000 || (!most.is_empty() && number(most) > 1000) {
        return Err(format!("invalid repeat count: `{{{body}}}`"));
    }
    Ok(Some(end + 1))
}

/// One escape; gives what follows it.
fn escape<'a>(out: &mut String, e: char, tail: &'a str, in_class: bool) -> Result<&'a str, String> {
    let set = |negated: bool, inside: &str| {
        if in_class && !negated {
            inside.to_owned()
        } else {
            format!("[{}{inside}]", if negated { "^" } else { "" })
        }
    };
    match e {
        'd' | 'D' => out.push_str(&set(e == 'D', "0-9")),
        'w' | 'W' => out.push_str(&set(e == 'W', "0-9A-Za-z_")),
        's' | 'S' => out.push_str(&set(e == 'S', r"\t\n\f\r ")),
        'b' | 'B' if !in_class => {
            out.push_str(if e == 'b' { r"(?-u:\b)" } else { r"(?-u:\B)" });
        }
        'A' | 'z' if !in_class => {
            out.push('\\');
            out.push(e);
        }
        'a' | 'f' | 't' | 'n' | 'r' | 'v' => {
            out.push('\\');
            out.push(e);
        }
        'p' | 'P' | 'x' => {
            out.push('\\');
            out.push(e);
            // A name or a code in braces is no repetition.
            if let (true, Some(end)) = (tail.starts_with('{'), tail.find('}')) {
                out.push_str(tail.get(..=end).unwrap_or(""));
                return Ok(tail.get(end + 1..).unwrap_or(""));
            }
        }
        '0'..='7' => {
            let mut digits = String::from(e);
            digits.extend(tail.chars().take(2).take_while(|c| ('0'..='7').contains(c)));
            if e != '0' && digits.len() < 2 {
                return Err(format!("invalid escape sequence: `\\{e}`"));
            }
            let code = u32::from_str_radix(&digits, 8).unwrap_or(0);
            out.push_str(&format!("\\x{{{code:x}}}"));
            return Ok(tail.get(digits.len() - 1..).unwrap_or(""));
        }
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => {
            out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
        }
        c => return Err(format!("invalid escape sequence: `\\{c}`")),
    }
    Ok(tail)
}

/// A class from after its `[`; gives what follows its `]`.
fn class<'a>(out: &mut String, inside: &'a str) -> Result<&'a str, String> {
    out.push('[');
    let mut rest = inside;
    if let Some(after) = rest.strip_prefix('^') {
        out.push('^');
        rest = after;
    }
    let mut first = true;
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or("");
        match c {
            ']' if !first => {
                out.push(']');
                return Ok(after);
            }
            '[' if after.starts_with(':') => match after.find(":]") {
                Some(i) => {
                    out.push('[');
                    out.push_str(after.get(..i + 2).unwrap_or(""));
                    rest = after.get(i + 2..).unwrap_or("");
                    first = false;
                    continue;
                }
                None => out.push_str("\\["),
            },
            '[' | ']' | '&' | '~' => {
                out.push('\\');
                out.push(c);
            }
            '-' => {
                // A dash that is literal must not form `--`.
                let literal = first || after.starts_with(']') || out.ends_with("\\-");
                out.push_str(if literal { "\\-" } else { "-" });
            }
            '\\' => {
                let Some(e) = after.chars().next() else {
                    return Err("missing closing ]".to_owned());
                };
                rest = escape(out, e, after.get(e.len_utf8()..).unwrap_or(""), true)?;
                first = false;
                continue;
            }
            c => out.push(c),
        }
        first = false;
        rest = after;
    }
    Err(format!("missing closing ]: `[{inside}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_go_syntax() {
        for (pattern, text, expected) in [
            (r"^v\d+$", "v12", Some(true)),
            (r"^\d$", "٣", Some(false)),
            (r"\Qa.b\E", "a.b", Some(true)),
            (r"\Qa.b\E", "axb", Some(false)),
            (r"[a&&b]", "&", Some(true)),
            (r"[]a]", "]", Some(true)),
            (r"[[:alpha:]]", "x", Some(true)),
            (r"[^\d]", "7", Some(false)),
            (r"[\w-]+$", "a-b", Some(true)),
            (r"\bfoo\b", "a foo b", Some(true)),
            (r"(?i)FOO", "foo", Some(true)),
            (r"(?P<n>a)", "a", Some(true)),
            (r"a\z", "ba", Some(true)),
            (r"\pL", "é", Some(true)),
            (r"\p{Greek}", "Ω", Some(true)),
            (r"[\p{Greek}]", "a", Some(false)),
            (r"\x{41}", "A", Some(true)),
            (r"(?x)a b", "ab", None),
            (r"(?=a)", "a", None),
            (r"(a)\1", "aa", None),
            (r"[a-z", "a", None),
            (r"(", "", None),
            (r"a\Z", "a", None),
            (r"{", "{", Some(true)),
            (r"a{,2}", "a{,2}", Some(true)),
            (r"^a{2,}$", "aaa", Some(true)),
            (r"a{1001}", "a", None),
            (r"a**", "a", None),
            (r"a+?b", "aab", Some(true)),
            (r"x\ y\_", "x y_", Some(true)),
        ] {
            let found = compile(pattern).ok().map(|re| re.is_match(text));
            assert_eq!(found, expected, "{pattern} on {text}");
        }
    }
}
