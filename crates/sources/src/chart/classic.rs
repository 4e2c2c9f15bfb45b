//! The index of a classic repository: got when it changed, read as it
//! arrives, and kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::StatusCode;
use reqwest::header::{
    ETAG, HeaderMap, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use tokio::time::Instant;
use url::Url;

use super::index::Index;
use crate::error::Error;
use crate::registry::{Received, Site, SiteKey};

/// Memory that all kept indexes may take, bytes, roughly.
const KEPT: usize = 64 * 1024 * 1024;
/// Pieces of an index that wait to be parsed.
const PIECES: usize = 8;

/// Where the index of a repository lies.
///
/// # Errors
/// A URL that cannot be read, or has a user name in it.
pub(super) fn index_url(repository: &str) -> Result<Url, Error> {
    // Not quoted where there may be a password in it.
    let shown = if repository.contains('@') { "" } else { repository };
    let wrong = |why: &str| {
        Error::Config(format!(
            "repository URL {shown:?} is invalid: {why}; write for example https://charts.example.com"
        ))
    };
    Url::parse(repository).map_err(|e| wrong(&e.to_string()))?;
    let trimmed = repository.strip_suffix('/').unwrap_or(repository);
    let url = Url::parse(&format!("{trimmed}/index.yaml")).map_err(|e| wrong(&e.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::Config(
            "the repository URL holds a user name or password; put them in a Secret labelled kargo.akuity.io/cred-type: helm".to_owned(),
        ));
    }
    Ok(url)
}

/// What is known of one asker's view of one index.
#[derive(Default)]
struct Kept {
    index: Option<Arc<Index>>,
    etag: Option<HeaderValue>,
    modified: Option<HeaderValue>,
    /// When the request began that last confirmed it.
    asked: Option<Instant>,
}

struct Place {
    kept: Arc<tokio::sync::Mutex<Kept>>,
    size: usize,
    used: u64,
}

#[derive(Default)]
struct Places {
    places: HashMap<(SiteKey, Url), Place>,
    turn: u64,
}

/// The indexes that are kept, the least recently used leaving first.
#[derive(Default)]
pub(super) struct Indexes(Mutex<Places>);

impl Indexes {
    /// The index as it is now. Whoever comes while it is being got waits for
    /// that answer; one that was kept is confirmed by a conditional request.
    /// `largest` is in bytes.
    pub(super) async fn get(
        &self,
        site: &Site,
        url: &Url,
        largest: usize,
    ) -> Result<Arc<Index>, Error> {
        let began = Instant::now();
        let key = (site.key(), url.clone());
        let place = self.place(&key);
        let mut kept = place.lock().await;
        if let Some(index) = &kept.index
            && kept.asked.is_some_and(|asked| asked >= began)
        {
            return Ok(Arc::clone(index));
        }
        let asked = Instant::now();
        let mut conditions = HeaderMap::new();
        if kept.index.is_some() {
            for (name, value) in
                [(IF_NONE_MATCH, kept.etag.clone()), (IF_MODIFIED_SINCE, kept.modified.clone())]
            {
                if let Some(value) = value {
                    conditions.insert(name, value);
                }
            }
        }
        let querying =
            |e: Error| e.within(format!("error querying repository index at {:?}: ", url.as_str()));
        let received = site.get(url, &conditions).await.map_err(querying)?;
        let index = match (received.status(), &kept.index) {
            (StatusCode::NOT_MODIFIED, Some(index)) => Arc::clone(index),
            (StatusCode::OK, _) => {
                let header = |name| received.headers().get(name).cloned();
                let (etag, modified) = (header(ETAG), header(LAST_MODIFIED));
                let index = Arc::new(read(received, url, largest).await?);
                *kept = Kept { index: Some(Arc::clone(&index)), etag, modified, asked: None };
                self.weigh(&key, index.size());
                index
            }
            (status, _) => {
                let doing = format!(
                    "received unexpected HTTP {} when querying repository index at {:?}: ",
                    status.as_u16(),
                    url.as_str()
                );
                return Err(received.refused().await.within(doing));
            }
        };
        kept.asked = Some(asked);
        Ok(index)
    }

    fn place(&self, key: &(SiteKey, Url)) -> Arc<tokio::sync::Mutex<Kept>> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.turn += 1;
        let used = places.turn;
        let place = places.places.entry(key.clone()).or_insert_with(|| Place {
            kept: Arc::default(),
            size: 1024,
            used,
        });
        place.used = used;
        Arc::clone(&place.kept)
    }

    /// Writes down what an index takes, and lets others go where that is too
    /// much.
    fn weigh(&self, key: &(SiteKey, Url), size: usize) {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.places.get_mut(key) {
            place.size = size + 1024;
        }
        while places.places.len() > 1
            && places.places.values().map(|p| p.size).sum::<usize>() > KEPT
        {
            let oldest = places.places.iter().min_by_key(|(_, p)| p.used).map(|(k, _)| k.clone());
            if let Some(oldest) = oldest {
                places.places.remove(&oldest);
            }
        }
    }
}

/// Reads the answer's body as an index, piece by piece, beside the runtime's
/// threads: parsing takes time.
async fn read(mut received: Received, url: &Url, largest: usize) -> Result<Index, Error> {
    let (sender, receiver) = tokio::sync::mpsc::channel(PIECES);
    let parsing = tokio::task::spawn_blocking(move || Index::read(Characters::new(receiver)));
    let mut total = 0usize;
    let querying =
        |e: Error| e.within(format!("error querying repository index at {:?}: ", url.as_str()));
    while let Some(piece) = received.piece().await.map_err(querying)? {
        total += piece.len();
        if total > largest {
            return Err(querying(Error::Config(format!(
                "the index is larger than {} MiB; offer the chart in a registry (oci://) or in a smaller repository",
                largest / 1024 / 1024
            ))));
        }
        if sender.send(piece).await.is_err() {
            // The parser has seen enough.
            break;
        }
    }
    drop(sender);
    let index = parsing.await.map_err(|_| {
        Error::Unexpected("reading the index failed; this is a defect of Supercargo".to_owned())
    })?;
    index.map_err(|e| {
        Error::Unexpected(format!(
            "error unmarshaling repository index from {:?}: {e}; check that the repoURL is a Helm chart repository",
            url.as_str()
        ))
    })
}

/// The characters of pieces of UTF-8. What is none becomes U+FFFD.
struct Characters {
    pieces: tokio::sync::mpsc::Receiver<bytes::Bytes>,
    text: std::vec::IntoIter<char>,
    /// The beginning of a character whose rest is in the next piece.
    rest: Vec<u8>,
}

impl Characters {
    fn new(pieces: tokio::sync::mpsc::Receiver<bytes::Bytes>) -> Self {
        Self { pieces, text: Vec::new().into_iter(), rest: Vec::new() }
    }
}

impl Iterator for Characters {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        loop {
            if let Some(c) = self.text.next() {
                return Some(c);
            }
            let Some(piece) = self.pieces.blocking_recv() else {
                let rest = std::mem::take(&mut self.rest);
                if rest.is_empty() {
                    return None;
                }
                self.text = String::from_utf8_lossy(&rest).chars().collect::<Vec<_>>().into_iter();
                continue;
            };
            self.rest.extend_from_slice(&piece);
            let whole = whole_characters(&self.rest);
            let rest = self.rest.split_off(whole);
            let text = std::mem::replace(&mut self.rest, rest);
            self.text = String::from_utf8_lossy(&text).chars().collect::<Vec<_>>().into_iter();
        }
    }
}

/// How many bytes end with a whole character (or with what can become none).
fn whole_characters(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let at = bytes.len() - back;
        let Some(byte) = bytes.get(at) else { break };
        let length = match byte {
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF7 => 4,
            0x80..=0xBF => continue,
            _ => return bytes.len(),
        };
        return if length > back { at } else { bytes.len() };
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_index_lies() {
        for (repository, expected) in [
            ("https://charts.example.com", "https://charts.example.com/index.yaml"),
            ("https://charts.example.com/", "https://charts.example.com/index.yaml"),
            ("http://h:8080/a/b/", "http://h:8080/a/b/index.yaml"),
            ("http://h/a//", "http://h/a//index.yaml"),
        ] {
            assert_eq!(index_url(repository).map(String::from).ok().as_deref(), Some(expected));
        }
        let error = index_url("https://me:canary@charts.example.com").expect_err("refused");
        assert!(!error.to_string().contains("canary"), "{error}");
        assert!(index_url("https://").is_err());
    }

    #[tokio::test]
    async fn characters_may_be_cut_anywhere() {
        let text = "aé☺𝄞\u{FFFD}z";
        let bytes = text.as_bytes();
        for cut in 0..=bytes.len() {
            let (sender, receiver) = tokio::sync::mpsc::channel(4);
            let (a, b) = bytes.split_at(cut);
            for piece in [a, b] {
                sender.send(bytes::Bytes::copy_from_slice(piece)).await.expect("room");
            }
            drop(sender);
            let read = tokio::task::spawn_blocking(move || Characters::new(receiver).collect());
            let read: String = read.await.expect("no panic");
            assert_eq!(read, text, "cut at {cut}");
        }
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        sender.send(bytes::Bytes::from_static(b"a\xFF\xE2\x82")).await.expect("room");
        drop(sender);
        let read = tokio::task::spawn_blocking(move || Characters::new(receiver).collect());
        let read: String = read.await.expect("no panic");
        assert_eq!(read, "a\u{FFFD}\u{FFFD}");
    }
}
