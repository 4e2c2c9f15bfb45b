//! Promotions that were asked for and may be there: the API server's answer
//! was lost. They are asked for again by the same name, so that a Stage is not
//! promoted twice (house rule 5).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::store::Key;

/// How many are remembered; beyond that all are forgotten.
const LIMIT: usize = 10_000;

/// The names, by Stage and Freight.
#[derive(Debug, Default)]
pub struct Unanswered(Mutex<HashMap<(Key, String), String>>);

impl Unanswered {
    /// The name that the Freight's Promotion to the Stage was asked for by, if
    /// it may be there and `is_there` does not know of it yet. One that is
    /// known is no longer in question.
    pub fn name(
        &self,
        stage: &Key,
        freight: &str,
        is_there: impl Fn(&Key) -> bool,
    ) -> Option<String> {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let which = (stage.clone(), freight.to_owned());
        let name = names.get(&which)?.clone();
        if is_there(&Key::new(&*stage.namespace, &*name)) {
            names.remove(&which);
            return None;
        }
        Some(name)
    }

    /// The Promotion is asked for by this name.
    pub fn ask(&self, stage: &Key, freight: &str, promotion: &str) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= LIMIT {
            names.clear();
        }
        names.insert((stage.clone(), freight.to_owned()), promotion.to_owned());
    }

    /// The API server has answered.
    pub fn answered(&self, stage: &Key, freight: &str) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.remove(&(stage.clone(), freight.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_until_there_is_an_answer() {
        let asked = Unanswered::default();
        let stage = Key::new("n", "s");
        assert_eq!(asked.name(&stage, "f", |_| false), None);
        asked.ask(&stage, "f", "s.1.f");
        assert_eq!(asked.name(&stage, "f", |_| false).as_deref(), Some("s.1.f"));
        assert_eq!(asked.name(&stage, "g", |_| false), None);
        asked.answered(&stage, "f");
        assert_eq!(asked.name(&stage, "f", |_| false), None);
        // It turns up: another promotion of the same Freight is another one.
        asked.ask(&stage, "f", "s.2.f");
        assert_eq!(asked.name(&stage, "f", |key| *key == Key::new("n", "s.2.f")), None);
        assert_eq!(asked.name(&stage, "f", |_| false), None);
    }
}
