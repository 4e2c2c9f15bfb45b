//! What the registry holds: repositories, each with tags, manifests and blobs.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};

/// The largest blob or manifest.
pub(super) const LARGEST: usize = 64 * 1024 * 1024;
/// Uploads that may be under way at a time.
const UPLOADS: usize = 64;

/// A manifest or index as it was pushed.
#[derive(Clone, Debug)]
pub(super) struct Manifest {
    pub(super) content_type: String,
    pub(super) bytes: Bytes,
}

/// A file as classic chart repositories have it.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) bytes: Bytes,
    /// When it was put, as an HTTP date.
    pub(super) modified: String,
}

#[derive(Default)]
struct Repository {
    tags: BTreeMap<String, String>,
    manifests: HashMap<String, Manifest>,
    /// Digests of the blobs that belong to it.
    blobs: BTreeSet<String>,
}

/// Everything that was pushed.
#[derive(Default)]
pub(super) struct Content {
    repositories: BTreeMap<String, Repository>,
    blobs: HashMap<String, Bytes>,
    uploads: BTreeMap<String, (String, BytesMut)>,
    files: BTreeMap<String, File>,
}

/// `sha256:<hex>` of some bytes.
pub(super) fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

impl Content {
    pub(super) fn file(&self, path: &str) -> Option<File> {
        self.files.get(path).cloned()
    }

    pub(super) fn put_file(&mut self, path: &str, file: File) {
        self.files.insert(path.to_owned(), file);
    }

    pub(super) fn repositories(&self) -> Vec<String> {
        self.repositories.keys().cloned().collect()
    }

    /// The tags in ascending order; none for a repository that is not there.
    pub(super) fn tags(&self, repository: &str) -> Option<Vec<String>> {
        Some(self.repositories.get(repository)?.tags.keys().cloned().collect())
    }

    /// The digest and manifest that a tag or digest names.
    pub(super) fn manifest(&self, repository: &str, reference: &str) -> Option<(String, Manifest)> {
        let repository = self.repositories.get(repository)?;
        let digest = repository.tags.get(reference).map_or(reference, String::as_str);
        let manifest = repository.manifests.get(digest)?;
        Some((digest.to_owned(), manifest.clone()))
    }

    pub(super) fn put_manifest(
        &mut self,
        repository: &str,
        tag: Option<&str>,
        manifest: Manifest,
    ) -> String {
        let digest = digest_of(&manifest.bytes);
        let repository = self.repositories.entry(repository.to_owned()).or_default();
        repository.manifests.insert(digest.clone(), manifest);
        if let Some(tag) = tag {
            repository.tags.insert(tag.to_owned(), digest.clone());
        }
        digest
    }

    pub(super) fn remove_tag(&mut self, repository: &str, tag: &str) -> bool {
        self.repositories.get_mut(repository).is_some_and(|r| r.tags.remove(tag).is_some())
    }

    /// Removes a manifest and the tags that name it.
    pub(super) fn remove_manifest(&mut self, repository: &str, digest: &str) -> bool {
        let Some(repository) = self.repositories.get_mut(repository) else { return false };
        repository.tags.retain(|_, to| to != digest);
        repository.manifests.remove(digest).is_some()
    }

    pub(super) fn blob(&self, repository: &str, digest: &str) -> Option<Bytes> {
        let repository = self.repositories.get(repository)?;
        if !repository.blobs.contains(digest) {
            return None;
        }
        self.blobs.get(digest).cloned()
    }

    pub(super) fn put_blob(&mut self, repository: &str, bytes: Bytes) -> String {
        let digest = digest_of(&bytes);
        self.blobs.insert(digest.clone(), bytes);
        let repository = self.repositories.entry(repository.to_owned()).or_default();
        repository.blobs.insert(digest.clone());
        digest
    }

    /// Makes a blob of another repository this one's too.
    pub(super) fn mount(&mut self, repository: &str, from: &str, digest: &str) -> bool {
        if self.blob(from, digest).is_none() {
            return false;
        }
        let repository = self.repositories.entry(repository.to_owned()).or_default();
        repository.blobs.insert(digest.to_owned());
        true
    }

    /// Begins an upload; the oldest goes where too many are under way.
    pub(super) fn begin(&mut self, repository: &str) -> String {
        while self.uploads.len() >= UPLOADS {
            self.uploads.pop_first();
        }
        // Later uploads sort behind earlier ones.
        let id = format!("{:020}-{:08x}", self.next_upload(), rand::random::<u32>());
        self.uploads.insert(id.clone(), (repository.to_owned(), BytesMut::new()));
        id
    }

    fn next_upload(&self) -> u64 {
        let last = self.uploads.keys().next_back();
        last.and_then(|id| id.get(..20)).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) + 1
    }

    /// Adds to an upload; returns its length, or none where there is no such
    /// upload or it grows too large.
    pub(super) fn append(&mut self, repository: &str, id: &str, bytes: &[u8]) -> Option<usize> {
        let (owner, upload) = self.uploads.get_mut(id)?;
        if owner != repository || upload.len() + bytes.len() > LARGEST {
            return None;
        }
        upload.extend_from_slice(bytes);
        Some(upload.len())
    }

    /// The length of an upload so far.
    pub(super) fn uploaded(&self, repository: &str, id: &str) -> Option<usize> {
        let (owner, upload) = self.uploads.get(id)?;
        (owner == repository).then_some(upload.len())
    }

    /// Ends an upload: its bytes, which are kept only if the caller puts them.
    pub(super) fn take(&mut self, repository: &str, id: &str) -> Option<Bytes> {
        self.uploaded(repository, id)?;
        self.uploads.remove(id).map(|(_, upload)| upload.freeze())
    }
}
