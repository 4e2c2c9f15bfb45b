//! `semverDiff` and `semverParse` (`expressions` 7.3): versions as Masterminds
//! reads them.

use std::cmp::Ordering;
use std::sync::Arc;

use expr::{Env, Error, Function, FunctionError, Object, Value};

use super::arguments;

/// A version: `v` in front, missing parts and leading zeros are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    major: u64,
    minor: u64,
    patch: u64,
    prerelease: String,
    metadata: String,
    original: String,
}

/// In what two versions differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The first part.
    Major,
    /// The second part.
    Minor,
    /// The third part.
    Patch,
    /// The build metadata.
    Metadata,
    /// Nothing that counts; prereleases do not.
    None,
    /// One of them is no version.
    Incomparable,
}

impl Difference {
    /// Its name, as `semverDiff` gives it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Major => "Major",
            Self::Minor => "Minor",
            Self::Patch => "Patch",
            Self::Metadata => "Metadata",
            Self::None => "None",
            Self::Incomparable => "Incomparable",
        }
    }
}

const INVALID: &str = "invalid semantic version";
const LEADING_ZERO: &str = "version segment starts with 0";

/// Whether a text is dot-separated identifiers of letters, digits, dashes.
fn identifiers(text: &str) -> bool {
    text.split('.')
        .all(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
}

fn check_prerelease(text: &str) -> Result<(), String> {
    if !identifiers(text) {
        return Err("invalid prerelease string".to_owned());
    }
    let numeric = |id: &str| id.bytes().all(|b| b.is_ascii_digit());
    if text.split('.').any(|id| id.len() > 1 && id.starts_with('0') && numeric(id)) {
        return Err(LEADING_ZERO.to_owned());
    }
    Ok(())
}

impl Version {
    /// Reads a version.
    ///
    /// # Errors
    /// The library's text: `invalid semantic version`, or that a segment
    /// starts with 0.
    pub fn parse(text: &str) -> Result<Self, String> {
        let invalid = || INVALID.to_owned();
        let rest = text.strip_prefix('v').unwrap_or(text);
        let (rest, metadata) = match rest.split_once('+') {
            Some((rest, metadata)) => (rest, Some(metadata)),
            None => (rest, None),
        };
        let (numbers, prerelease) = match rest.split_once('-') {
            Some((numbers, prerelease)) => (numbers, Some(prerelease)),
            None => (rest, None),
        };
        if prerelease.is_some_and(|p| !identifiers(p)) || metadata.is_some_and(|m| !identifiers(m))
        {
            return Err(invalid());
        }
        let mut parts = [0; 3];
        for (count, number) in numbers.split('.').enumerate() {
            let slot = parts.get_mut(count).ok_or_else(invalid)?;
            if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
                return Err(invalid());
            }
            *slot = number.parse().map_err(|_| {
                format!("error parsing version segment: strconv.ParseUint: parsing {number:?}: value out of range")
            })?;
        }
        if let Some(prerelease) = prerelease {
            check_prerelease(prerelease)?;
        }
        let [major, minor, patch] = parts;
        Ok(Self {
            major,
            minor,
            patch,
            prerelease: prerelease.unwrap_or_default().to_owned(),
            metadata: metadata.unwrap_or_default().to_owned(),
            original: text.to_owned(),
        })
    }

    fn bumped(&self, major: u64, minor: u64, patch: u64) -> Self {
        Self {
            major,
            minor,
            patch,
            prerelease: String::new(),
            metadata: String::new(),
            original: String::new(),
        }
    }

    fn order(&self, other: &Self) -> Ordering {
        (self.major, self.minor, self.patch)
            .cmp(&(other.major, other.minor, other.patch))
            .then_with(|| match (self.prerelease.as_str(), other.prerelease.as_str()) {
                ("", "") => Ordering::Equal,
                ("", _) => Ordering::Greater,
                (_, "") => Ordering::Less,
                (a, b) => order_prereleases(a, b),
            })
    }
}

fn order_prereleases(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let (x, y) = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) => (x, y),
        };
        let order = match (x.parse::<u64>(), y.parse::<u64>()) {
            (Ok(x), Ok(y)) => x.cmp(&y),
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            (Err(_), Err(_)) => x.cmp(y),
        };
        if order.is_ne() {
            return order;
        }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        if !self.prerelease.is_empty() {
            write!(f, "-{}", self.prerelease)?;
        }
        if !self.metadata.is_empty() {
            write!(f, "+{}", self.metadata)?;
        }
        Ok(())
    }
}

/// In what two versions differ, the most important part first.
///
/// ```
/// use promotion::functions::{Difference, difference};
/// assert_eq!(difference("1.1.1", "v1.2.0"), Difference::Minor);
/// ```
pub fn difference(a: &str, b: &str) -> Difference {
    let (Ok(a), Ok(b)) = (Version::parse(a), Version::parse(b)) else {
        return Difference::Incomparable;
    };
    if a.major != b.major {
        Difference::Major
    } else if a.minor != b.minor {
        Difference::Minor
    } else if a.patch != b.patch {
        Difference::Patch
    } else if a.metadata != b.metadata {
        Difference::Metadata
    } else {
        Difference::None
    }
}

/// A version as a value. What `IncPatch` and the like give is `derived`: it
/// has no original text and cannot be compared.
#[derive(Debug)]
struct Shown {
    version: Version,
    derived: bool,
}

const PARSED: &str = "*semver.Version";
const DERIVED: &str = "semver.Version";

fn value(version: Version, derived: bool) -> Value {
    Value::Object(Arc::new(Shown { version, derived }))
}

fn method(
    name: &'static str,
    arity: usize,
    body: impl Fn(&[Value]) -> Result<Value, FunctionError> + Send + Sync + 'static,
) -> Value {
    Function::new(name, body).with_arity(arity..=arity).into()
}

/// The version of an argument of a comparison.
fn compared(args: &[Value]) -> Result<Version, FunctionError> {
    let object = args.first().and_then(Value::as_object);
    let object = object.filter(|o| o.type_name() == PARSED);
    match object.map(|o| Version::parse(&o.to_text())) {
        Some(Ok(version)) => Ok(version),
        _ => Err("argument must be a version, such as semverParse(...) gives".into()),
    }
}

impl Object for Shown {
    fn type_name(&self) -> &str {
        if self.derived { DERIVED } else { PARSED }
    }

    fn field(&self, name: &str) -> Option<Value> {
        let v = self.version.clone();
        let fixed =
            |name: &'static str, value: Value| Some(method(name, 0, move |_| Ok(value.clone())));
        let ordered = |name: &'static str, test: fn(Ordering) -> bool| {
            let v = v.clone();
            Some(method(name, 1, move |args| Ok(test(v.order(&compared(args)?)).into())))
        };
        match name {
            "Major" => fixed("Major", Value::Uint(v.major)),
            "Minor" => fixed("Minor", Value::Uint(v.minor)),
            "Patch" => fixed("Patch", Value::Uint(v.patch)),
            "Prerelease" => fixed("Prerelease", v.prerelease.into()),
            "Metadata" => fixed("Metadata", v.metadata.into()),
            "String" => fixed("String", v.to_string().into()),
            "IncMajor" => fixed("IncMajor", value(v.bumped(v.major.saturating_add(1), 0, 0), true)),
            "IncMinor" => {
                fixed("IncMinor", value(v.bumped(v.major, v.minor.saturating_add(1), 0), true))
            }
            "IncPatch" => {
                let patch = v.patch.saturating_add(u64::from(v.prerelease.is_empty()));
                fixed("IncPatch", value(v.bumped(v.major, v.minor, patch), true))
            }
            "SetPrerelease" => Some(method("SetPrerelease", 1, move |args| {
                let text = arguments::text(args)?;
                if !text.is_empty() {
                    check_prerelease(text)?;
                }
                Ok(value(Version { prerelease: text.to_owned(), ..v.clone() }, true))
            })),
            "SetMetadata" => Some(method("SetMetadata", 1, move |args| {
                let text = arguments::text(args)?;
                if !text.is_empty() && !identifiers(text) {
                    return Err("invalid metadata string".into());
                }
                Ok(value(Version { metadata: text.to_owned(), ..v.clone() }, true))
            })),
            _ if self.derived => None,
            "Original" => fixed("Original", v.original.into()),
            "Compare" => Some(method("Compare", 1, move |args| {
                Ok(Value::Int(v.order(&compared(args)?) as i64))
            })),
            "Equal" => ordered("Equal", Ordering::is_eq),
            "LessThan" => ordered("LessThan", Ordering::is_lt),
            "LessThanEqual" => ordered("LessThanEqual", Ordering::is_le),
            "GreaterThan" => ordered("GreaterThan", Ordering::is_gt),
            "GreaterThanEqual" => ordered("GreaterThanEqual", Ordering::is_ge),
            _ => None,
        }
    }

    fn field_names(&self) -> Vec<&str> {
        let mut names = vec![
            "Major",
            "Minor",
            "Patch",
            "Prerelease",
            "Metadata",
            "String",
            "IncMajor",
            "IncMinor",
            "IncPatch",
            "SetPrerelease",
            "SetMetadata",
        ];
        if !self.derived {
            names.extend([
                "Original",
                "Compare",
                "Equal",
                "LessThan",
                "LessThanEqual",
                "GreaterThan",
                "GreaterThanEqual",
            ]);
        }
        names
    }

    fn to_json(&self) -> Result<serde_json::Value, Error> {
        Ok(self.version.to_string().into())
    }

    fn to_text(&self) -> String {
        self.version.to_string()
    }
}

pub(super) fn install(env: &mut Env) {
    env.set_function(
        Function::new("semverDiff", |args| {
            let second = match args.get(1) {
                Some(Value::String(text)) => text.clone(),
                other => {
                    let kind = other.map_or("<nil>", Value::go_type);
                    return Err(format!("second argument must be string, got {kind}").into());
                }
            };
            Ok(difference(arguments::first_text(args)?, &second).as_str().into())
        })
        .with_arity(2..=2)
        .with_signature("semverDiff(a, b)")
        .with_doc("In what two versions differ: `Major`, `Minor`, `Patch`, `Metadata`, `None`, or `Incomparable`. Prereleases do not count."),
    );
    env.set_function(
        Function::new("semverParse", |args| {
            let text = arguments::text(args)?;
            let version = Version::parse(text)
                .map_err(|why| format!("invalid semantic version: {why}"))?;
            Ok(value(version, false))
        })
        .with_arity(1..=1)
        .with_signature("semverParse(version)")
        .with_doc("A version with methods such as `Major()`, `IncMinor()`, `LessThan(other)`; as a result it is its text."),
    );
}
