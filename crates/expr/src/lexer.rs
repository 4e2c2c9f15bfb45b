//! Text to tokens (`expressions` 6.1).

use crate::error::Error;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    End,
    Name,
    Number,
    Text,
    Bytes,
    Operator,
    Bracket,
}

/// A token: its kind and where it lies, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    pub start: u32,
}

impl Token<'_> {
    pub(crate) fn is(&self, kind: Kind, text: &str) -> bool {
        self.kind == kind && self.text == text
    }

    pub(crate) fn end(&self) -> u32 {
        self.start + u32::try_from(self.text.len()).unwrap_or(u32::MAX)
    }
}

/// The token as the reference's messages show it.
impl std::fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            Kind::End => return f.write_str("EOF"),
            Kind::Name => "Identifier",
            Kind::Number => "Number",
            Kind::Text => "String",
            Kind::Bytes => "Bytes",
            Kind::Operator => "Operator",
            Kind::Bracket => "Bracket",
        };
        write!(f, "{kind}({})", crate::gotext::quote(self.text))
    }
}

/// Reads tokens one after the other. A copy is a place to come back to.
#[derive(Clone, Copy)]
pub(crate) struct Lexer<'a> {
    source: &'a str,
    at: usize,
    /// Whether the last token was `#`, which binds a name that follows at once.
    after_hash: bool,
}

fn starts_name(c: char) -> bool {
    c == '_' || c == '$' || c.is_alphabetic()
}

fn continues_name(c: char) -> bool {
    starts_name(c) || c.is_numeric()
}

/// Whether a name is an operator or a keyword.
fn is_keyword(name: &str) -> bool {
    matches!(
        name,
        "not"
            | "in"
            | "or"
            | "and"
            | "matches"
            | "contains"
            | "startsWith"
            | "endsWith"
            | "let"
            | "if"
            | "else"
    )
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(source: &'a str) -> Self {
        Self { source, at: 0, after_hash: false }
    }

    /// Where the next token is looked for.
    pub(crate) fn position(&self) -> u32 {
        u32::try_from(self.at).unwrap_or(u32::MAX)
    }

    fn rest(&self) -> &'a str {
        self.source.get(self.at..).unwrap_or("")
    }

    fn byte(&self, ahead: usize) -> u8 {
        self.source.as_bytes().get(self.at + ahead).copied().unwrap_or(0)
    }

    fn token(&mut self, kind: Kind, len: usize) -> Token<'a> {
        let start = self.at;
        self.at += len;
        Token {
            kind,
            text: self.source.get(start..self.at).unwrap_or(""),
            start: u32::try_from(start).unwrap_or(u32::MAX),
        }
    }

    fn skip_space(&mut self) -> Result<(), Error> {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with("//") {
                self.at += trimmed.find('\n').unwrap_or(trimmed.len());
            } else if let Some(comment) = trimmed.strip_prefix("/*") {
                let Some(end) = comment.find("*/") else {
                    return Err(Error::compile("unclosed comment"));
                };
                self.at += end + 4;
            } else {
                return Ok(());
            }
        }
    }

    /// The next token.
    pub(crate) fn next(&mut self) -> Result<Token<'a>, Error> {
        let after_hash = std::mem::take(&mut self.after_hash)
            && self.rest().chars().next().is_some_and(starts_name);
        if !after_hash {
            self.skip_space()?;
        }
        let Some(first) = self.rest().chars().next() else {
            return Ok(self.token(Kind::End, 0));
        };
        match first {
            '0'..='9' => self.number(),
            '.' if self.byte(1).is_ascii_digit() => self.number(),
            '"' | '\'' => self.text(first, 0, Kind::Text),
            '`' => self.raw_text(),
            'b' if matches!(self.byte(1), b'"' | b'\'') => {
                self.text(char::from(self.byte(1)), 1, Kind::Bytes)
            }
            '(' | '[' | '{' | ')' | ']' | '}' => Ok(self.token(Kind::Bracket, 1)),
            '#' => {
                self.after_hash = true;
                Ok(self.token(Kind::Operator, 1))
            }
            ',' | ':' | ';' | '%' | '+' | '-' | '^' | '/' => Ok(self.token(Kind::Operator, 1)),
            '?' => {
                let len = if matches!(self.byte(1), b'.' | b'?') { 2 } else { 1 };
                Ok(self.token(Kind::Operator, len))
            }
            '.' => {
                let len = if self.byte(1) == b'.' { 2 } else { 1 };
                Ok(self.token(Kind::Operator, len))
            }
            '&' | '|' | '!' | '=' | '<' | '>' | '*' => {
                let next = self.byte(1);
                let pair = match first {
                    '&' | '|' | '*' => next == first as u8,
                    _ => next == b'=',
                };
                Ok(self.token(Kind::Operator, if pair { 2 } else { 1 }))
            }
            c if starts_name(c) => {
                let rest = self.rest();
                let len = rest.find(|c| !continues_name(c)).unwrap_or(rest.len());
                let mut token = self.token(Kind::Name, len);
                if !after_hash && is_keyword(token.text) {
                    token.kind = Kind::Operator;
                }
                Ok(token)
            }
            c => Err(Error::compile(format!("unrecognized character: U+{:04X} {c:?}", c as u32))),
        }
    }

    fn number(&mut self) -> Result<Token<'a>, Error> {
        let bytes = self.rest().as_bytes();
        let at = |i: usize| bytes.get(i).copied().unwrap_or(0);
        let mut len = 0;
        let base = if at(0) == b'0' { at(1).to_ascii_lowercase() } else { 0 };
        if matches!(base, b'x' | b'o' | b'b') {
            len = 2;
            let digit = |b: u8| match base {
                b'x' => b.is_ascii_hexdigit(),
                b'o' => (b'0'..=b'7').contains(&b),
                _ => matches!(b, b'0' | b'1'),
            };
            while digit(at(len)) || at(len) == b'_' {
                len += 1;
            }
        } else {
            let digits = |mut i: usize| {
                while at(i).is_ascii_digit() || at(i) == b'_' {
                    i += 1;
                }
                i
            };
            len = digits(len);
            // `1..2` is a range, not a float and a name.
            if at(len) == b'.' && at(len + 1) != b'.' {
                len = digits(len + 1);
            }
            if matches!(at(len), b'e' | b'E') {
                let sign = usize::from(matches!(at(len + 1), b'+' | b'-'));
                len = digits(len + 1 + sign);
            }
        }
        if self.rest().get(len..).and_then(|r| r.chars().next()).is_some_and(continues_name) {
            let text = self.rest().get(..=len).unwrap_or("");
            return Err(Error::compile(format!(
                "bad number syntax: {}",
                crate::gotext::quote(text)
            )));
        }
        Ok(self.token(Kind::Number, len))
    }

    fn text(&mut self, quote: char, prefix: usize, kind: Kind) -> Result<Token<'a>, Error> {
        let bytes = self.rest().as_bytes();
        let mut i = prefix + 1;
        loop {
            match bytes.get(i) {
                None | Some(b'\n') => return Err(Error::compile("literal not terminated")),
                Some(b'\\') => {
                    if bytes.get(i + 1).is_none() {
                        return Err(Error::compile("literal not terminated"));
                    }
                    // Whether the escape is one is the parser's matter.
                    i += 2;
                }
                Some(b) if char::from(*b) == quote => return Ok(self.token(kind, i + 1)),
                Some(_) => i += 1,
            }
        }
    }

    fn raw_text(&mut self) -> Result<Token<'a>, Error> {
        let bytes = self.rest().as_bytes();
        let mut i = 1;
        loop {
            match bytes.get(i) {
                None => return Err(Error::compile("literal not terminated")),
                Some(b'`') if bytes.get(i + 1) == Some(&b'`') => i += 2,
                Some(b'`') => return Ok(self.token(Kind::Text, i + 1)),
                Some(_) => i += 1,
            }
        }
    }
}

/// The bytes that a literal with its quotes stands for.
pub(crate) fn unquote(literal: &str) -> Result<Vec<u8>, Error> {
    let literal_start = usize::from(literal.starts_with('b')) + 1;
    let body = literal.get(literal_start..literal.len().saturating_sub(1)).unwrap_or("");
    if literal.starts_with('`') {
        return Ok(body.replace("``", "`").into_bytes());
    }
    if !body.contains('\\') {
        return Ok(body.as_bytes().to_vec());
    }
    let invalid = || Error::compile("invalid char escape");
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(i) = rest.find('\\') {
        out.extend_from_slice(rest.get(..i).unwrap_or("").as_bytes());
        let escape = rest.get(i + 1..).unwrap_or("");
        let c = escape.chars().next().ok_or_else(invalid)?;
        let mut used = 1;
        let mut number = |digits: usize, radix: u32, skip: usize| {
            let text = escape.get(skip..skip + digits)?;
            used = skip + digits;
            if text.chars().all(|c| c.is_digit(radix)) {
                u32::from_str_radix(text, radix).ok()
            } else {
                None
            }
        };
        match c {
            'n' => out.push(b'\n'),
            't' => out.push(b'\t'),
            'r' => out.push(b'\r'),
            'a' => out.push(7),
            'b' => out.push(8),
            'f' => out.push(12),
            'v' => out.push(11),
            '\\' | '\'' | '"' | '`' => out.push(c as u8),
            'x' | 'X' => {
                let code = number(2, 16, 1).ok_or_else(invalid)?;
                push_code(&mut out, code, literal)?;
            }
            'u' | 'U' => {
                let code = number(if c == 'u' { 4 } else { 8 }, 16, 1).ok_or_else(invalid)?;
                // Half of a surrogate pair is no character.
                let c = match char::from_u32(code) {
                    None if (0xd800..0xe000).contains(&code) => char::REPLACEMENT_CHARACTER,
                    c => c.ok_or_else(invalid)?,
                };
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            '0'..='3' => {
                let code = number(3, 8, 0).ok_or_else(invalid)?;
                push_code(&mut out, code, literal)?;
            }
            _ => return Err(invalid()),
        }
        rest = escape.get(used..).unwrap_or("");
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

/// `\x..` and `\ooo`: a byte in bytes, a character in text.
fn push_code(out: &mut Vec<u8>, code: u32, literal: &str) -> Result<(), Error> {
    if literal.starts_with('b') {
        out.push(u8::try_from(code).map_err(|_| Error::compile("invalid char escape"))?);
    } else if let Some(c) = char::from_u32(code) {
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Ok(())
}
