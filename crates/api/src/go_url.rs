//! URLs read and written as Go's `net/url` does it, to the byte: names of
//! Freight are hashes over what it writes (`api` 7.2, 7.3).

/// A part of a URL, by which characters it escapes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    User,
    Host,
    Path,
    Fragment,
}

/// A URL, or a reference without a scheme. Its texts are unescaped, but for
/// the query's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GoUrl {
    pub(crate) scheme: String,
    /// What follows a scheme that is not followed by a slash.
    pub(crate) opaque: String,
    pub(crate) user: Option<(Vec<u8>, Option<Vec<u8>>)>,
    host: Vec<u8>,
    pub(crate) path: Vec<u8>,
    /// The path as it was written, where that is not how it would be written.
    raw_path: String,
    pub(crate) query: Option<String>,
    fragment: Vec<u8>,
    raw_fragment: String,
}

/// Whether a byte is written as `%XX`.
fn is_escaped(byte: u8, part: Part) -> bool {
    if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
        return false;
    }
    if part == Part::Host && b"!$&'()*+,;=:[]<>\"".contains(&byte) {
        return false;
    }
    if b"$&+,/:;=?@".contains(&byte) {
        return match part {
            Part::User => b"@/?:".contains(&byte),
            Part::Host => true,
            Part::Path => byte == b'?',
            Part::Fragment => false,
        };
    }
    !(part == Part::Fragment && b"!()*".contains(&byte))
}

fn escape(text: &[u8], part: Part) -> String {
    let mut out = String::with_capacity(text.len());
    for &byte in text {
        if is_escaped(byte, part) {
            out.push_str(&format!("%{byte:02X}"));
        } else {
            out.push(char::from(byte));
        }
    }
    out
}

/// Whether a text may stand as it is.
fn may_stand(text: &str, part: Part) -> bool {
    text.bytes().all(|b| b"!$&'()*+,;=:@[]%".contains(&b) || !is_escaped(b, part))
}

fn unescape(text: &str, part: Part) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digit = |b: Option<u8>| char::from(b?).to_digit(16);
            let value = digit(bytes.next())? * 16 + digit(bytes.next())?;
            let value = u8::try_from(value).ok()?;
            // A host has no escaped ASCII but the sign itself.
            if part == Part::Host && value < 0x80 && value != b'%' {
                return None;
            }
            out.push(value);
        } else if part == Part::Host && byte.is_ascii() && is_escaped(byte, part) {
            return None;
        } else {
            out.push(byte);
        }
    }
    Some(out)
}

/// The scheme and what follows it; none where there is a colon and no scheme.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    for (i, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if i > 0 => {}
            ':' if i == 0 => return None,
            ':' => return Some(text.split_at(i)).map(|(s, rest)| (s, &rest[1..])),
            _ => break,
        }
    }
    Some(("", text))
}

impl GoUrl {
    /// Reads a URL; none where Go's reader errs.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.bytes().any(|b| b < 0x20 || b == 0x7f) {
            return None;
        }
        let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
        let mut url = Self::default();
        let (scheme, rest) = split_scheme(text)?;
        url.scheme = scheme.to_ascii_lowercase();
        let rest = match rest.split_once('?') {
            Some((before, query)) => {
                url.query = Some(query.to_owned());
                before
            }
            None => rest,
        };
        url.fragment = unescape(fragment, Part::Fragment)?;
        if escape(&url.fragment, Part::Fragment) != fragment {
            url.raw_fragment = fragment.to_owned();
        }
        if !rest.starts_with('/') {
            if !url.scheme.is_empty() {
                url.opaque = rest.to_owned();
                return Some(url);
            }
            if rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
                return None;
            }
        }
        let has_authority =
            rest.starts_with("//") && (!url.scheme.is_empty() || !rest.starts_with("///"));
        let path = if has_authority {
            let after = rest.get(2..)?;
            let (authority, path) = after.split_at(after.find('/').unwrap_or(after.len()));
            url.read_authority(authority)?;
            path
        } else {
            rest
        };
        url.path = unescape(path, Part::Path)?;
        if escape(&url.path, Part::Path) != path {
            url.raw_path = path.to_owned();
        }
        Some(url)
    }

    fn read_authority(&mut self, authority: &str) -> Option<()> {
        let host = match authority.rsplit_once('@') {
            Some((user, host)) => {
                let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&b);
                if !user.bytes().all(fits) {
                    return None;
                }
                let (name, password) = match user.split_once(':') {
                    Some((name, password)) => (name, Some(password)),
                    None => (user, None),
                };
                let password = match password {
                    Some(password) => Some(unescape(password, Part::User)?),
                    None => None,
                };
                self.user = Some((unescape(name, Part::User)?, password));
                host
            }
            None => authority,
        };
        let port = if host.starts_with('[') {
            host.rsplit_once(']')?.1
        } else {
            host.rfind(':').and_then(|at| host.get(at..)).unwrap_or_default()
        };
        let port_fits = port.is_empty()
            || port.strip_prefix(':').is_some_and(|p| p.bytes().all(|b| b.is_ascii_digit()));
        if !port_fits {
            return None;
        }
        self.host = unescape(host, Part::Host)?;
        Some(())
    }

    fn written_path(&self) -> String {
        let stands = !self.raw_path.is_empty()
            && may_stand(&self.raw_path, Part::Path)
            && unescape(&self.raw_path, Part::Path).as_ref() == Some(&self.path);
        if stands { self.raw_path.clone() } else { escape(&self.path, Part::Path) }
    }

    fn written_fragment(&self) -> String {
        if !self.raw_fragment.is_empty() && may_stand(&self.raw_fragment, Part::Fragment) {
            return self.raw_fragment.clone();
        }
        escape(&self.fragment, Part::Fragment)
    }
}

impl std::fmt::Display for GoUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.scheme.is_empty() {
            write!(f, "{}:", self.scheme)?;
        }
        if self.opaque.is_empty() {
            let path = self.written_path();
            let has_authority = !self.host.is_empty() || self.user.is_some();
            if has_authority || (!self.scheme.is_empty() && !path.is_empty()) {
                f.write_str("//")?;
            }
            if let Some((name, password)) = &self.user {
                f.write_str(&escape(name, Part::User))?;
                if let Some(password) = password {
                    write!(f, ":{}", escape(password, Part::User))?;
                }
                f.write_str("@")?;
            }
            f.write_str(&escape(&self.host, Part::Host))?;
            if !path.is_empty() && !path.starts_with('/') && !self.host.is_empty() {
                f.write_str("/")?;
            }
            // A first segment with a colon would read as a scheme.
            if self.scheme.is_empty()
                && !has_authority
                && path.split('/').next().is_some_and(|segment| segment.contains(':'))
            {
                f.write_str("./")?;
            }
            f.write_str(&path)?;
        } else {
            f.write_str(&self.opaque)?;
        }
        if let Some(query) = &self.query {
            write!(f, "?{query}")?;
        }
        if !self.fragment.is_empty() {
            write!(f, "#{}", self.written_fragment())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::GoUrl;

    #[test]
    fn urls_are_written_as_go_writes_them() {
        for (text, written) in [
            ("https://h:8443/a/b?q=1#f", "https://h:8443/a/b?q=1#f"),
            ("HTTPS://H/a b", "https://H/a%20b"),
            ("https://h/é", "https://h/%C3%A9"),
            ("https://h/a(b)", "https://h/a(b)"),
            ("https://h/a(b) c", "https://h/a%28b%29%20c"),
            ("https://h/%41 b", "https://h/A%20b"),
            ("https://h/%c3%a9", "https://h/%c3%a9"),
            ("https://h?", "https://h?"),
            ("https://h#", "https://h"),
            ("https://h#a b", "https://h#a%20b"),
            ("https://", "https:"),
            ("https:///a", "https:///a"),
            ("ssh://u:@h/", "ssh://u:@h/"),
            ("ssh://u@x!@h/", "ssh://u%40x%21@h/"),
            ("https://é.com", "https://%C3%A9.com"),
            ("foo:bar", "foo:bar"),
            ("a/b:c", "a/b:c"),
            ("a?b:c", "a?b:c"),
            ("//h/a", "//h/a"),
            ("/a//b", "/a//b"),
            ("", ""),
        ] {
            let url = GoUrl::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(url.to_string(), written, "{text}");
        }
        for text in [
            "https://a b",
            "https://h:x/",
            "https://h/%zz",
            "https://h/%4",
            "https://h#%zz",
            "https://%41/",
            "https://u ser@h/",
            ":a",
            "1a:b",
            "a b:c",
            "https://[::1",
            "a\tb",
        ] {
            assert_eq!(GoUrl::parse(text), None, "{text}");
        }
    }
}
