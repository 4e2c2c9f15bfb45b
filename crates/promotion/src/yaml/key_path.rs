//! The keys that address a value in a file (`steps-files` 0.6).

/// Splits a key such as `spec.values.deployment\.tag` into its parts.
///
/// `.` ends a part, `\.` and `\:` are literal, and a `:` is allowed (and
/// dropped) at the start of a part only.
///
/// # Errors
/// In the words of `steps-files` 0.6: an empty key or part, another escape, a
/// colon elsewhere.
pub fn split(key: &str) -> Result<Vec<String>, String> {
    let trimmed = key.trim();
    if trimmed.is_empty() {
        return Err("empty key".to_owned());
    }
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut at_start = true;
    let mut chars = trimmed.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(escaped @ ('.' | ':')) => part.push(escaped),
                Some(_) => return Err(format!("invalid escape sequence in key \"{key}\"")),
                None => {}
            },
            '.' => {
                if part.is_empty() {
                    return Err(format!("empty key part in key \"{key}\""));
                }
                parts.push(std::mem::take(&mut part));
                at_start = true;
                continue;
            }
            ':' if at_start => continue,
            ':' => return Err(format!("unexpected colon in key \"{key}\"")),
            c => part.push(c),
        }
        at_start = false;
    }
    if part.is_empty() {
        return Err(format!("empty key part in key \"{key}\""));
    }
    parts.push(part);
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn keys_are_split_as_the_table_says() {
        let good: &[(&str, &str, &[&str])] = &[
            ("steps-files 0.6 row 1", "foo.bar.bat.baz", &["foo", "bar", "bat", "baz"]),
            ("steps-files 0.6 row 2", r"foo\.bar.bat\.baz", &["foo.bar", "bat.baz"]),
            ("steps-files 0.6 row 3", r"foo.bar\:bat.baz", &["foo", "bar:bat", "baz"]),
            ("steps-files 0.6 row 4", "foo.bar.:2.baz", &["foo", "bar", "2", "baz"]),
            ("steps-files 0.6 row 5", " a ", &["a"]),
            ("a lone trailing backslash is dropped", r"a\", &["a"]),
            ("two colons are one hint", "::a", &["a"]),
        ];
        for (case, key, parts) in good {
            assert_eq!(split(key).unwrap(), *parts, "{case}");
        }
        let bad = [
            ("steps-files 0.6 row 6", "", "empty key"),
            ("steps-files 0.6 row 6", " ", "empty key"),
            ("steps-files 0.6 row 7", ".foo", "empty key part"),
            ("steps-files 0.6 row 7", "foo.", "empty key part"),
            ("steps-files 0.6 row 7", "foo..bar", "empty key part"),
            ("steps-files 0.6 row 7", ":", "empty key part"),
            ("steps-files 0.6 row 7", "a.:", "empty key part"),
            ("steps-files 0.6 row 8", r"foo\nbar", "invalid escape sequence"),
            ("steps-files 0.6 row 8", r"a\\b", "invalid escape sequence"),
            ("steps-files 0.6 row 9", "foo:bar", "unexpected colon"),
        ];
        for (case, key, error) in bad {
            let got = split(key).unwrap_err();
            assert!(got.starts_with(error), "{case}: {got}");
        }
    }
}
