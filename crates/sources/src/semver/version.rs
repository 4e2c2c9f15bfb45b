//! A version: parsing and order.

use std::cmp::Ordering;

/// A version as it was written, and what it means. Two versions are compared
/// with [`Version::precedence`]; there is no `Eq`, because `1.0` and `v1.0.0`
/// are equal in precedence and yet two tags.
#[derive(Clone, Debug)]
pub struct Version {
    original: String,
    parts: semver::Version,
}

impl Version {
    /// Reads a version leniently: a leading `v`, missing minor and patch
    /// numbers and leading zeros are accepted (`warehouses` 4.4, loose parse).
    ///
    /// ```
    /// use sources::semver::Version;
    /// assert_eq!(Version::parse("v1.2").map(|v| v.minor()), Some(2));
    /// assert!(Version::parse("latest").is_none());
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        Self::read(text, text.strip_prefix('v').unwrap_or(text), false)
    }

    /// Reads a version strictly: all three numbers, no `v`, no leading zeros.
    pub fn parse_strict(text: &str) -> Option<Self> {
        Self::read(text, text, true)
    }

    /// Reads a tag of a Git or image repository: leniently, and if `strict`
    /// only what is also a strict version after at most one leading `v`.
    ///
    /// ```
    /// use sources::semver::Version;
    /// assert!(Version::parse_tag("v1.2.3", true).is_some());
    /// assert!(Version::parse_tag("v1.2", true).is_none());
    /// assert!(Version::parse_tag("v1.2", false).is_some());
    /// ```
    pub fn parse_tag(tag: &str, strict: bool) -> Option<Self> {
        let version = Self::parse(tag)?;
        if strict {
            Self::parse_strict(tag.strip_prefix('v').unwrap_or(tag))?;
        }
        Some(version)
    }

    fn read(original: &str, text: &str, strict: bool) -> Option<Self> {
        let (text, build) = match text.split_once('+') {
            Some((text, build)) => (text, Some(build)),
            None => (text, None),
        };
        let (numbers, pre) = match text.split_once('-') {
            Some((numbers, pre)) => (numbers, Some(pre)),
            None => (text, None),
        };
        let mut fields = numbers.split('.');
        let mut number = || match fields.next() {
            Some(field) => number(field, strict).map(Some),
            None if strict => None,
            None => Some(None),
        };
        // The major number is never missing: `split` gives one field at least.
        let (major, minor, patch) = (number()??, number()?, number()?);
        if fields.next().is_some() {
            return None;
        }
        let pre = pre.map_or(Some(semver::Prerelease::EMPTY), |pre| {
            (!pre.is_empty()).then(|| semver::Prerelease::new(pre).ok()).flatten()
        })?;
        let build = build.map_or(Some(semver::BuildMetadata::EMPTY), |build| {
            (!build.is_empty()).then(|| semver::BuildMetadata::new(build).ok()).flatten()
        })?;
        let (minor, patch) = (minor.unwrap_or(0), patch.unwrap_or(0));
        let parts = semver::Version { major, minor, patch, pre, build };
        Some(Self { original: original.to_owned(), parts })
    }

    /// The text that it was read from.
    pub fn original(&self) -> &str {
        &self.original
    }

    /// The major number.
    pub fn major(&self) -> u64 {
        self.parts.major
    }

    /// The minor number.
    pub fn minor(&self) -> u64 {
        self.parts.minor
    }

    /// The patch number.
    pub fn patch(&self) -> u64 {
        self.parts.patch
    }

    /// The pre-release part, empty for a release.
    pub fn pre(&self) -> &str {
        self.parts.pre.as_str()
    }

    /// Build metadata, empty where there is none.
    pub fn build(&self) -> &str {
        self.parts.build.as_str()
    }

    /// Whether it is a pre-release.
    pub fn is_prerelease(&self) -> bool {
        !self.parts.pre.is_empty()
    }

    /// Which of two comes first; build metadata does not matter.
    pub fn precedence(&self, other: &Self) -> Ordering {
        (self.major(), self.minor(), self.patch())
            .cmp(&(other.major(), other.minor(), other.patch()))
            .then_with(|| prerelease(self.pre(), other.pre()))
    }
}

/// The order of all selections: the newest first, versions of the same
/// precedence by their text, descending (`warehouses` 4.4).
pub fn newest_first(a: &Version, b: &Version) -> Ordering {
    b.precedence(a).then_with(|| b.original.as_bytes().cmp(a.original.as_bytes()))
}

fn number(field: &str, strict: bool) -> Option<u64> {
    if field.is_empty() || !field.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    if strict && field.len() > 1 && field.starts_with('0') {
        return None;
    }
    field.parse().ok()
}

fn prerelease(a: &str, b: &str) -> Ordering {
    match (a.is_empty(), b.is_empty()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) => identifier(a, b),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Numbers by value and before words. What does not fit 64 bits counts as a
/// word, as it does for the reference.
fn identifier(a: &str, b: &str) -> Ordering {
    let value = |text: &str| {
        text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten()
    };
    match (value(a), value(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.as_bytes().cmp(b.as_bytes()),
    }
}
