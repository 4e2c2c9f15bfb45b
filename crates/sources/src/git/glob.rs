//! Globs as doublestar (v4) reads them (`warehouses` 4.3), made into regular
//! expressions, which match in linear time.

use regex::Regex;

/// How many patterns the braces of one glob may stand for.
const MAX_ALTERNATIVES: usize = 1000;
/// How long a glob may be, in bytes.
const MAX_LENGTH: usize = 4096;
/// The memory that one compiled glob may take, in bytes.
const MAX_SIZE: usize = 4 << 20;

/// Compiles a glob.
///
/// # Errors
/// `syntax error in pattern`, or that it is too large.
pub(super) fn compile(glob: &str) -> Result<Regex, String> {
    if glob.len() > MAX_LENGTH {
        return Err(format!("a pattern may have {MAX_LENGTH} bytes, not {}", glob.len()));
    }
    let tokens = tokens(glob).ok_or("syntax error in pattern")?;
    let mut alternatives = Vec::new();
    expand(&tokens, Vec::new(), &mut alternatives)?;
    let all: Vec<String> = alternatives.iter().map(|a| regular(a)).collect();
    regex::RegexBuilder::new(&format!("^(?:{})$", all.join("|")))
        .dot_matches_new_line(true)
        .size_limit(MAX_SIZE)
        .build()
        .map_err(|_| "the pattern is too large".to_owned())
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Literal(char),
    /// `?`
    One,
    /// `*`
    Star,
    /// `[…]`, as a class of a regular expression.
    Class(String),
    /// `{a,b}`
    Alternatives(Vec<Vec<Token>>),
}

/// `None` for what is no glob: an open or empty class, braces that do not
/// match, a backslash at the end.
fn tokens(glob: &str) -> Option<Vec<Token>> {
    // Each level: the alternatives that are complete, and the one being read.
    let mut levels: Vec<(Vec<Vec<Token>>, Vec<Token>)> = vec![(Vec::new(), Vec::new())];
    let mut chars = glob.chars().peekable();
    while let Some(c) = chars.next() {
        let depth = levels.len();
        let (done, current) = levels.last_mut()?;
        match c {
            '\\' => current.push(Token::Literal(chars.next()?)),
            '?' => current.push(Token::One),
            '*' => current.push(Token::Star),
            '[' => current.push(Token::Class(class(&mut chars)?)),
            '{' => levels.push((Vec::new(), Vec::new())),
            ',' if depth > 1 => done.push(std::mem::take(current)),
            '}' => {
                let (mut done, last) = levels.pop()?;
                done.push(last);
                levels.last_mut()?.1.push(Token::Alternatives(done));
            }
            c => current.push(Token::Literal(c)),
        }
    }
    match levels.as_mut_slice() {
        [(_, tokens)] => Some(std::mem::take(tokens)),
        _ => None,
    }
}

/// A class, up to its `]`.
fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    let mut out = String::from("[");
    if chars.next_if(|c| *c == '^' || *c == '!').is_some() {
        out.push('^');
    }
    let mut members = String::new();
    let next = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| match chars.next()? {
        ']' => Some(None),
        '\\' => chars.next().map(|c| Some((c, true))),
        c => Some(Some((c, false))),
    };
    let mut last: Option<char> = None;
    let mut any = false;
    while let Some((c, escaped)) = next(chars)? {
        any = true;
        // A range, where something stands on both sides of the hyphen.
        if let (Some(low), '-', false) = (last, c, escaped)
            && chars.peek().is_some_and(|c| *c != ']')
        {
            let (high, _) = next(chars)??;
            if low <= high {
                members.push_str(&format!("{}-{}", member(low), member(high)));
            }
            last = None;
            continue;
        }
        members.push_str(&member(c));
        last = Some(c);
    }
    if !any {
        return None;
    }
    // Ranges the wrong way round match nothing.
    if members.is_empty() {
        return Some(if out == "[^" { r"[\s\S]".to_owned() } else { r"[^\s\S]".to_owned() });
    }
    out.push_str(&members);
    out.push(']');
    Some(out)
}

fn member(c: char) -> String {
    format!("\\x{{{:x}}}", u32::from(c))
}

/// Writes the alternatives of braces out, one pattern each: whether `**`
/// fills a segment shows only there.
fn expand(
    tokens: &[Token],
    mut so_far: Vec<Token>,
    all: &mut Vec<Vec<Token>>,
) -> Result<(), String> {
    for (i, token) in tokens.iter().enumerate() {
        let Token::Alternatives(alternatives) = token else {
            so_far.push(token.clone());
            continue;
        };
        let rest = tokens.get(i + 1..).unwrap_or_default();
        for alternative in alternatives {
            let pattern: Vec<Token> = alternative.iter().chain(rest).cloned().collect();
            expand(&pattern, so_far.clone(), all)?;
        }
        return Ok(());
    }
    if all.len() >= MAX_ALTERNATIVES {
        return Err(format!("the braces stand for more than {MAX_ALTERNATIVES} patterns"));
    }
    all.push(so_far);
    Ok(())
}

/// One pattern without braces as a regular expression.
fn regular(tokens: &[Token]) -> String {
    const SLASH: Token = Token::Literal('/');
    let mut out = String::new();
    let mut i = 0;
    while let Some(token) = tokens.get(i) {
        let begins = i == 0 || tokens.get(i - 1) == Some(&SLASH);
        let double = *token == Token::Star && tokens.get(i + 1) == Some(&Token::Star);
        match (tokens.get(i + 2), double && begins) {
            // `/**` and `/**/` at the end match what they follow, too.
            (None, true) => {
                close(&mut out, ".*");
                i += 2;
                continue;
            }
            (Some(next), true) if *next == SLASH => {
                if tokens.len() == i + 3 {
                    close(&mut out, "(?:[^/]*/)*");
                } else {
                    out.push_str("(?:[^/]*/)*");
                }
                i += 3;
                continue;
            }
            _ => {}
        }
        match token {
            Token::Literal(c) => out.push_str(&regex::escape(&c.to_string())),
            Token::One => out.push_str("[^/]"),
            Token::Star => out.push_str("[^/]*"),
            Token::Class(class) => out.push_str(class),
            Token::Alternatives(_) => {}
        }
        i += 1;
    }
    out
}

/// Ends a pattern with `rest`, without which it matches, too, along with the
/// slash before.
fn close(out: &mut String, rest: &str) {
    if out.ends_with('/') {
        out.pop();
        out.push_str(&format!("(?:/{rest})?"));
    } else {
        out.push_str(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_as_doublestar_has_it() {
        for (id, glob, path, expected) in [
            ("warehouses/4.3-10", "*.yaml", "a.yaml", true),
            ("warehouses/4.3-10", "*.yaml", "d/a.yaml", false),
            ("warehouses/4.3-10", "*.yaml", "yaml", false),
            ("warehouses/4.3-11", "env/*/d.yaml", "env/p/d.yaml", true),
            ("warehouses/4.3-11", "env/*/d.yaml", "env/p/q/d.yaml", false),
            ("warehouses/4.3-12", "env/**/d.yaml", "env/d.yaml", true),
            ("warehouses/4.3-12", "env/**/d.yaml", "env/a/b/d.yaml", true),
            ("warehouses/4.3-13", "**/c", "c", true),
            ("warehouses/4.3-13", "**/c", "a/b/c", true),
            ("warehouses/4.3-13", "**/c", "a/abc", false),
            ("warehouses/4.3-14", "a/**", "a", true),
            ("warehouses/4.3-14", "a/**", "a/b/c", true),
            ("warehouses/4.3-15", "abc**", "abc/b", false),
            ("warehouses/4.3-16", "*.{yaml,yml}", "a.yaml", true),
            ("warehouses/4.3-16", "*.{yaml,yml}", "a.yml", true),
            ("warehouses/4.3-17", "app-[a-z].yaml", "app-A.yaml", false),
            ("warehouses/4.3-18", "a[^a]b", "a☺b", true),
            ("warehouses/4.3-19", "a?b", "a/b", false),
            ("warehouses/4.3-20", "a/", "a", false),
            ("warehouses/4.3-21", "a{,bc}", "a", true),
            ("warehouses/4.3-21", "a{,bc}", "abc", true),
            ("dot files", "*", ".a", true),
            ("all", "**", "a/b", true),
            ("a longer name", "a/**", "ab", false),
            ("not a segment", "a/b**", "a/b/c", false),
            ("not a segment", "a/**b", "a/x/b", false),
            ("end of a middle", "a/**/", "a", true),
            ("negated", "a[!b-d]e", "ace", false),
            ("negated", "a[!b-d]e", "axe", true),
            ("escaped", r"\*\{", "*{", true),
            ("escaped in a class", r"[\]x]", "]", true),
            ("nested braces", "a/{b,{c,d}/e}", "a/d/e", true),
            ("a slash in braces", "{a/b,c}/d", "a/b/d", true),
            ("segment in braces", "{a/**,b}/c", "a/x/y/c", true),
            ("segment in braces", "{a/**,b}/c", "b/x/c", false),
            ("hyphen at the end", "[a-]", "-", true),
            ("literal comma", "a,b", "a,b", true),
            ("regular characters", "a.b+c", "axb+c", false),
        ] {
            let compiled = compile(glob).unwrap_or_else(|e| panic!("{id}: {glob}: {e}"));
            assert_eq!(compiled.is_match(path), expected, "{id}: {glob} on {path}");
        }
    }

    #[test]
    fn what_is_no_glob_is_refused() {
        // spec: warehouses/4.3-22
        for glob in ["[", "[]a]", "ab{c,d}[", "\\", "{a", "a}", "[^]", "[a", "{a,{b}", "[a\\"] {
            assert_eq!(compile(glob).unwrap_err(), "syntax error in pattern", "{glob}");
        }
        assert!(compile(&"{a,b}".repeat(20)).unwrap_err().contains("more than 1000"));
        assert!(compile(&"a".repeat(5000)).unwrap_err().contains("4096"));
    }
}
