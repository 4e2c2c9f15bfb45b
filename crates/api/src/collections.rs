//! What a Stage has and had: collections of Freight and their verifications
//! (`api` 7.4), and origins as text (7.1).

use sha1::{Digest, Sha1};

use crate::artifacts::{FreightCollection, FreightOrigin, FreightReference};
use crate::stage::StageStatus;
use crate::verification::VerificationInfo;

/// How many collections a Stage, and verifications a collection, remembers.
pub const HISTORY: usize = 10;

/// A text that names no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid origin {0:?}; write Warehouse/<name>")]
pub struct OriginError(String);

impl std::str::FromStr for FreightOrigin {
    type Err = OriginError;

    /// Reads `Warehouse/<name>`.
    fn from_str(text: &str) -> Result<Self, OriginError> {
        match text.split_once('/') {
            Some(("Warehouse", name)) if !name.is_empty() && !name.contains('/') => {
                Ok(Self::warehouse(name))
            }
            _ => Err(OriginError(text.to_owned())),
        }
    }
}

impl FreightCollection {
    /// A collection of this Freight.
    pub fn of(references: impl IntoIterator<Item = FreightReference>) -> Self {
        let mut collection = Self::default();
        collection.update_or_push(references);
        collection
    }

    /// Puts each Freight in the place of its origin, and renews the id.
    pub fn update_or_push(&mut self, references: impl IntoIterator<Item = FreightReference>) {
        for reference in references {
            self.items.insert(reference.origin.to_string(), reference);
        }
        let mut names: Vec<&str> = self.items.values().map(|f| f.name.as_str()).collect();
        names.sort_unstable();
        self.id = hex::encode(Sha1::digest(names.join(",").as_bytes()));
    }

    /// The Freight, by origin.
    pub fn references(&self) -> Vec<&FreightReference> {
        self.items.values().collect()
    }

    /// Whether Freight of that name is in it.
    pub fn includes(&self, name: &str) -> bool {
        self.items.values().any(|f| f.name == name)
    }

    /// Whether any of its verifications has not ended.
    pub fn has_non_terminal_verification(&self) -> bool {
        self.verification_history.iter().any(|v| !v.phase.is_terminal())
    }

    /// Its newest verification.
    pub fn current_verification(&self) -> Option<&VerificationInfo> {
        self.verification_history.first()
    }

    /// Replaces verifications that it knows by their id; others are put first,
    /// in their order. Ten are kept.
    pub fn record_verifications(&mut self, infos: impl IntoIterator<Item = VerificationInfo>) {
        let mut new = Vec::new();
        for info in infos {
            match self.verification_history.iter_mut().find(|v| v.id == info.id) {
                Some(known) => *known = info,
                None => new.push(info),
            }
        }
        new.append(&mut self.verification_history);
        new.truncate(HISTORY);
        self.verification_history = new;
    }
}

impl StageStatus {
    /// What the Stage has.
    pub fn current_collection(&self) -> Option<&FreightCollection> {
        self.freight_history.first()
    }

    /// What the Stage has, to be changed.
    pub fn current_collection_mut(&mut self) -> Option<&mut FreightCollection> {
        self.freight_history.first_mut()
    }

    /// Makes `collection` what the Stage has. Ten are kept.
    pub fn record(&mut self, collection: FreightCollection) {
        self.freight_history.insert(0, collection);
        self.freight_history.truncate(HISTORY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enums::VerificationPhase;

    fn freight(name: &str, warehouse: &str) -> FreightReference {
        FreightReference {
            name: name.into(),
            origin: FreightOrigin::warehouse(warehouse),
            ..FreightReference::default()
        }
    }

    #[test]
    fn origins_as_text() {
        // spec: api/origin-O1
        assert_eq!("Warehouse/w".parse(), Ok(FreightOrigin::warehouse("w")));
        // spec: api/origin-O2
        for text in ["Warehouse", "/w", "Warehouse/", "Warehouse/w/x", "Stage/s"] {
            assert!(text.parse::<FreightOrigin>().is_err(), "{text}");
        }
        assert_eq!(FreightOrigin::default().to_string(), "/");
    }

    #[test]
    fn collection_ids() {
        let one = "f46bdef5a9570ad03065e4b9bc69a5dda0bc7a2a";
        let three = "752041afde985483d1fd3cc9d0b5ec1dd88634db";
        for (names, id) in [
            (vec![one], "29738321557f01d7a98d7c7e2056883f8dedc59c"),
            (vec![one, three], "da6f7d3b20113e73099fe5fe6d9835f0da9ef352"),
            (vec![three, one], "da6f7d3b20113e73099fe5fe6d9835f0da9ef352"),
            (vec!["abc"], "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (vec![""], "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
            (vec!["freight-b", "freight-a"], "80f64ab47b78e2da5ab6c3dd5b7575775ec010ce"),
        ] {
            let freight = names.iter().enumerate().map(|(i, n)| freight(n, &format!("w{i}")));
            assert_eq!(FreightCollection::of(freight).id, id, "{names:?}");
        }
    }

    #[test]
    fn verifications_are_renewed_or_put_first() {
        let info =
            |id: &str, phase| VerificationInfo { id: id.into(), phase, ..Default::default() };
        let mut collection = FreightCollection::default();
        let running = VerificationPhase::Running;
        collection.record_verifications([info("foo", running), info("bar", running)]);
        collection.record_verifications([
            info("bar", VerificationPhase::Failed),
            info("baz", running),
            info("zab", running),
        ]);
        let ids: Vec<&str> =
            collection.verification_history.iter().map(|v| v.id.as_str()).collect();
        assert_eq!(ids, ["baz", "zab", "foo", "bar"]);
        assert_eq!(collection.verification_history[3].phase, VerificationPhase::Failed);
    }
}
