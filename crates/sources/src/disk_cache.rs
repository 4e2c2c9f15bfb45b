//! A folder of small entries that survive a restart: bounded in size, the
//! least recently used leaving first. What it holds can be had again from its
//! source, so an entry that is damaged counts as none, and a disk that fails
//! costs time and nothing else.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

/// The largest entry, bytes.
const LARGEST: usize = 4 * 1024 * 1024;
/// What an entry takes on disk is a multiple of this.
const BLOCK: u64 = 4096;
/// Changes when the form of entries does.
const FORM: &str = "1";

/// The folder.
pub(crate) struct DiskCache {
    folder: PathBuf,
    most: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By name: what it takes, and when it was used last.
    entries: HashMap<String, (u64, u64)>,
    /// By use.
    order: BTreeMap<u64, String>,
    total: u64,
    uses: u64,
}

impl State {
    fn used(&mut self, name: &str, size: u64) {
        self.gone(name);
        self.uses += 1;
        self.entries.insert(name.to_owned(), (size, self.uses));
        self.order.insert(self.uses, name.to_owned());
        self.total += size;
    }

    fn gone(&mut self, name: &str) {
        if let Some((size, used)) = self.entries.remove(name) {
            self.order.remove(&used);
            self.total = self.total.saturating_sub(size);
        }
    }
}

impl DiskCache {
    /// Opens a folder, which is made if need be, for at most so many bytes.
    /// What others left unfinished in it is removed.
    ///
    /// # Errors
    /// A folder that cannot be made or read.
    pub(crate) fn open(folder: &Path, most: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut found = Vec::new();
        for entry in fs::read_dir(folder)? {
            let Ok(entry) = entry else { continue };
            let name = entry.file_name().to_string_lossy().into_owned();
            let Ok(about) = entry.metadata() else { continue };
            if !about.is_file() {
                continue;
            }
            if !is_name(&name) {
                if name.ends_with(".new") {
                    let _ = fs::remove_file(entry.path());
                }
                continue;
            }
            found.push((about.modified().unwrap_or(SystemTime::UNIX_EPOCH), name, about.len()));
        }
        found.sort();
        let cache = Self { folder: folder.to_owned(), most, state: Mutex::default() };
        let mut state = cache.lock();
        for (_, name, size) in found {
            state.used(&name, on_disk(size));
        }
        cache.shrink(&mut state);
        drop(state);
        Ok(cache)
    }

    /// An entry; none where there is none that is whole.
    pub(crate) fn get(&self, key: &str) -> Option<Vec<u8>> {
        let name = name_of(key);
        let size = self.lock().entries.get(&name)?.0;
        let path = self.folder.join(&name);
        let Some(content) = fs::read(&path).ok().and_then(|bytes| opened(&bytes)) else {
            self.lock().gone(&name);
            let _ = fs::remove_file(&path);
            return None;
        };
        self.lock().used(&name, size);
        // The order of use survives a restart as the files' times.
        let _ =
            File::options().write(true).open(&path).and_then(|f| f.set_modified(SystemTime::now()));
        Some(content)
    }

    /// Puts an entry: whole or not at all.
    pub(crate) fn put(&self, key: &str, content: &[u8]) {
        if content.len() > LARGEST {
            return;
        }
        let name = name_of(key);
        let new = self.folder.join(format!("{name}-{:016x}.new", rand::random::<u64>()));
        let written = File::create_new(&new)
            .and_then(|mut file| file.write_all(&sealed(content)))
            .and_then(|()| fs::rename(&new, self.folder.join(&name)));
        if let Err(error) = written {
            let _ = fs::remove_file(&new);
            tracing::debug!(%error, folder = %self.folder.display(), "an entry was not kept");
            return;
        }
        let mut state = self.lock();
        state.used(&name, on_disk(content.len() as u64));
        self.shrink(&mut state);
    }

    fn shrink(&self, state: &mut State) {
        while state.total > self.most {
            let Some((_, name)) = state.order.first_key_value() else { return };
            let name = name.clone();
            state.gone(&name);
            let _ = fs::remove_file(self.folder.join(&name));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn on_disk(size: u64) -> u64 {
    size.div_ceil(BLOCK).max(1) * BLOCK
}

fn name_of(key: &str) -> String {
    hex::encode(Sha256::digest(format!("{FORM}:{key}")))
}

fn is_name(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The content behind its checksum.
fn sealed(content: &[u8]) -> Vec<u8> {
    let mut bytes = Sha256::digest(content).to_vec();
    bytes.extend_from_slice(content);
    bytes
}

fn opened(bytes: &[u8]) -> Option<Vec<u8>> {
    let (sum, content) = bytes.split_at_checked(32)?;
    (Sha256::digest(content).as_slice() == sum).then(|| content.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path) -> usize {
        fs::read_dir(folder).expect("a folder").count()
    }

    #[test]
    fn entries_survive_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = DiskCache::open(folder.path(), 1 << 20).expect("opens");
        assert_eq!(cache.get("a"), None);
        cache.put("a", b"1");
        cache.put("a", b"2");
        cache.put("b", b"");
        assert_eq!(cache.get("a").as_deref(), Some(&b"2"[..]));
        let again = DiskCache::open(folder.path(), 1 << 20).expect("opens");
        assert_eq!(again.get("a").as_deref(), Some(&b"2"[..]));
        assert_eq!(again.get("b").as_deref(), Some(&b""[..]));
        assert_eq!(files(folder.path()), 2);
    }

    #[test]
    fn damaged_entries_count_for_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = DiskCache::open(folder.path(), 1 << 20).expect("opens");
        for (n, damage) in [&b""[..], b"short", &[0; 40]].iter().enumerate() {
            let key = format!("k{n}");
            cache.put(&key, b"content");
            fs::write(folder.path().join(name_of(&key)), damage).expect("damaged");
            assert_eq!(cache.get(&key), None, "{damage:?}");
        }
        // Half-written files of a process that was killed, and others' files.
        fs::write(folder.path().join(format!("{}-1.new", name_of("x"))), b"half").expect("put");
        fs::write(folder.path().join("README"), b"somebody's").expect("put");
        let again = DiskCache::open(folder.path(), 1 << 20).expect("opens");
        assert_eq!(files(folder.path()), 1, "README stays");
        again.put("k0", b"content");
        assert_eq!(again.get("k0").as_deref(), Some(&b"content"[..]));
    }

    #[test]
    fn the_least_recently_used_leaves() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = DiskCache::open(folder.path(), 3 * BLOCK).expect("opens");
        for key in ["a", "b", "c"] {
            cache.put(key, b"x");
        }
        assert!(cache.get("a").is_some());
        cache.put("d", b"x");
        assert_eq!((cache.get("b"), files(folder.path())), (None, 3));
        assert!(cache.get("a").is_some() && cache.get("d").is_some());
        cache.put("large", &vec![0; LARGEST + 1]);
        assert_eq!(cache.get("large"), None);
        // A smaller bound at the next start holds at once.
        let again = DiskCache::open(folder.path(), BLOCK).expect("opens");
        assert_eq!(files(folder.path()), 1);
        drop(again);
    }

    #[test]
    fn a_disk_that_fails_costs_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = DiskCache::open(folder.path(), 1 << 20).expect("opens");
        fs::remove_dir_all(folder.path()).expect("removed");
        cache.put("a", b"1");
        assert_eq!(cache.get("a"), None);
        let file = folder.path().with_extension("file");
        fs::write(&file, b"").expect("a file");
        assert!(DiskCache::open(&file, 1).is_err());
        fs::remove_file(&file).expect("removed");
    }
}
