//! Secret texts that an evaluation has seen, so that they can be masked
//! wherever they could be shown (house rule 8).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;

/// What stands in place of a secret.
pub const MASK: &str = "***";

/// The secret texts seen so far. A clone shares them.
#[derive(Clone, Default)]
pub struct Secrets(Arc<Mutex<BTreeSet<String>>>);

impl Secrets {
    /// A set that has seen none.
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers a secret text. Each of its lines counts too (a log often
    /// shows a key line by line), and the base64 of the whole. Texts shorter than 4 bytes are not
    /// remembered: masking `a` would hide everything and protect nothing.
    pub fn add(&self, text: &str) {
        let mut set = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for part in std::iter::once(text).chain(text.lines()).map(str::trim) {
            if part.len() >= 4 {
                set.insert(part.to_owned());
            }
        }
        if text.len() >= 4 {
            set.insert(base64::engine::general_purpose::STANDARD.encode(text));
        }
    }

    /// Whether no secret was seen.
    pub fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// `text` with each secret in it replaced by `***`, the longest first.
    ///
    /// ```
    /// let secrets = expr::Secrets::new();
    /// secrets.add("hunter2");
    /// assert_eq!(secrets.mask("password hunter2 refused"), "password *** refused");
    /// ```
    pub fn mask(&self, text: &str) -> String {
        let set = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<&str> =
            set.iter().map(String::as_str).filter(|s| text.contains(s)).collect();
        found.sort_by_key(|s| std::cmp::Reverse(s.len()));
        found.iter().fold(text.to_owned(), |text, secret| text.replace(secret, MASK))
    }

    /// [`mask`](Self::mask) over every string of a JSON value, keys included.
    ///
    /// ```
    /// let secrets = expr::Secrets::new();
    /// assert!(secrets.is_empty());
    /// secrets.add("hunter2");
    /// let shown = secrets.mask_json(&serde_json::json!({"a": ["x hunter2", 1]}));
    /// assert_eq!(shown, serde_json::json!({"a": ["x ***", 1]}));
    /// ```
    pub fn mask_json(&self, value: &serde_json::Value) -> serde_json::Value {
        use serde_json::Value as Json;
        match value {
            Json::String(s) => Json::String(self.mask(s)),
            Json::Array(items) => items.iter().map(|v| self.mask_json(v)).collect(),
            Json::Object(map) => {
                map.iter().map(|(k, v)| (self.mask(k), self.mask_json(v))).collect()
            }
            other => other.clone(),
        }
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(***)")
    }
}
