//! Working directories that a Promotion left behind because it was deleted
//! while no controller ran. The reference leaves them (`promotions` 6.3).

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kube::ResourceExt;

use crate::Context;

/// Younger directories are left alone: another cluster's controller on this
/// machine may be at work in them.
const AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Removes, in the background, directories of Promotions that are no more.
pub fn start(context: &Arc<Context>) {
    let known: HashSet<String> =
        context.stores.promotions.all().iter().filter_map(|p| p.uid()).collect();
    let workdirs = context.promotion.workdirs.clone();
    tokio::task::spawn_blocking(move || {
        for path in leftovers(&workdirs, &known, SystemTime::now()) {
            match ::promotion::workdir::WorkDir::remove(&path) {
                Ok(()) => tracing::info!(path = %path.display(), "removed a leftover directory"),
                Err(error) => tracing::warn!(%error, "a leftover directory could not be removed"),
            }
        }
    });
}

/// The old directories beneath `workdirs` whose Promotion is not `known`.
fn leftovers(workdirs: &Path, known: &HashSet<String>, now: SystemTime) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(workdirs) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            let uid = name.to_str().and_then(|n| n.strip_prefix("promotion-"));
            let age = entry.metadata().and_then(|m| m.modified()).ok();
            let is_old = age.is_some_and(|at| now.duration_since(at).is_ok_and(|a| a > AGE));
            uid.is_some_and(|uid| !known.contains(uid)) && is_old
        })
        .map(|entry| entry.path())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_directories_of_unknown_promotions_go() {
        let temp = tempfile::tempdir().unwrap();
        for name in ["promotion-known", "promotion-gone", "other"] {
            std::fs::create_dir(temp.path().join(name)).unwrap();
        }
        let known = HashSet::from(["known".to_owned()]);
        let now = SystemTime::now();
        assert!(leftovers(temp.path(), &known, now).is_empty());
        let gone = leftovers(temp.path(), &known, now + AGE + Duration::from_secs(60));
        assert_eq!(gone, [temp.path().join("promotion-gone")]);
        assert!(leftovers(&temp.path().join("nowhere"), &known, now).is_empty());
    }
}
