//! A bounded cache by text: two generations, so that what was used lately
//! stays without bookkeeping per entry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Entries of one generation.
const GENERATION: usize = 2_048;

/// Longer texts are not kept.
const MAX_TEXT: usize = 64 << 10;

#[derive(Debug)]
struct Generations<T> {
    young: HashMap<Arc<str>, T>,
    old: HashMap<Arc<str>, T>,
}

#[derive(Debug)]
pub(crate) struct Cache<T>(Mutex<Generations<T>>);

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self(Mutex::new(Generations { young: HashMap::new(), old: HashMap::new() }))
    }
}

impl<T: Clone> Cache<T> {
    /// The value of a text, made when it is not there.
    pub(crate) fn get<E>(
        &self,
        text: &str,
        make: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, E> {
        {
            let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(value) = cache.young.get(text) {
                return Ok(value.clone());
            }
            if let Some((key, value)) = cache.old.remove_entry(text) {
                cache.add(key, value.clone());
                return Ok(value);
            }
        }
        let value = make(text)?;
        if text.len() <= MAX_TEXT {
            let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            cache.add(text.into(), value.clone());
        }
        Ok(value)
    }
}

impl<T> Generations<T> {
    fn add(&mut self, key: Arc<str>, value: T) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_used_and_stays_bounded() {
        let cache = Cache::default();
        for i in 0..10 * GENERATION {
            cache.get::<()>(&i.to_string(), |t| Ok(t.len())).unwrap();
            cache.get::<()>("kept", |t| Ok(t.len())).unwrap();
        }
        assert_eq!(cache.get::<()>("kept", |_| Err(())), Ok(4));
        let inner = cache.0.lock().unwrap();
        assert!(inner.young.len() + inner.old.len() <= 2 * GENERATION);
    }
}
