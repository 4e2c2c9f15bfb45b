//! A value that must not be seen, and text with such values taken out.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

/// What stands in place of a secret value.
pub const MASK: &str = "***";

/// A value that cannot be printed or serialised: it has no `Display`, its
/// `Debug` is `***`, and its memory is overwritten when the last copy goes
/// (house rule 8). Cheap to clone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Takes a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(Arc::new(Zeroizing::new(value.into())))
    }

    /// The value itself. Call this only where the value leaves for the place
    /// that it is meant for (an `Authorization` header, a credentials
    /// callback), never where text for people is made.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the value is the empty string.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self::new(value)
    }
}

/// Secret values of which no text may tell: [`Masker::mask`] is what every
/// sink (status, events, logs, outputs) passes its text through.
#[derive(Clone, Default)]
pub struct Masker {
    values: Vec<Secret>,
}

/// Values shorter than this many bytes are not masked: taking every `a` out
/// of a text tells more than it hides.
pub const MIN_MASKED_BYTES: usize = 4;

impl Masker {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value, and its percent-encoded spelling where that differs.
    pub fn add(&mut self, secret: &Secret) {
        let encoded: String =
            url::form_urlencoded::byte_serialize(secret.expose().as_bytes()).collect();
        for value in [secret.clone(), Secret::new(encoded)] {
            if value.expose().len() >= MIN_MASKED_BYTES && !self.values.contains(&value) {
                self.values.push(value);
            }
        }
        // Longest first, so that no part of a value survives a shorter one.
        self.values.sort_by_key(|value| std::cmp::Reverse(value.expose().len()));
    }

    /// Takes the values of another one too.
    pub fn extend(&mut self, other: &Masker) {
        for value in &other.values {
            self.add(value);
        }
    }

    /// Whether it knows no value.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The text with every known value replaced by `***`.
    pub fn mask(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for value in &self.values {
            if text.contains(value.expose()) {
                text = text.replace(value.expose(), MASK);
            }
        }
        text
    }
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Masker({} values)", self.values.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_in_debug_output() {
        let secret = Secret::new("canary-5f3a");
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(format!("{:?}", Some(secret.clone())), "Some(***)");
        assert_eq!(secret.expose(), "canary-5f3a");
    }

    #[test]
    fn masking_takes_out_the_value_in_each_spelling() {
        let mut masker = Masker::new();
        masker.add(&Secret::new("p@ss/word"));
        masker.add(&Secret::new("p@ss"));
        masker.add(&Secret::new("x"));
        assert_eq!(masker.mask("a p@ss/word b p%40ss%2Fword c p@ss x"), "a *** b *** c *** x");
        assert!(!format!("{masker:?}").contains("p@ss"));
    }
}
