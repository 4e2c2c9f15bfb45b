//! Names that sort by their time of making (`api` 7.9).

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

static ULIDS: Mutex<Option<ulid::Ulid>> = Mutex::new(None);

/// How long the part before the ULID may be: 253 less two dots, 26 characters
/// of ULID and 7 of the Freight's name.
const MAX_PREFIX: usize = 218;

/// A ULID of `now`, greater than any that this process made before.
fn next_ulid(now: Timestamp) -> ulid::Ulid {
    let mut last = ULIDS.lock().unwrap_or_else(PoisonError::into_inner);
    let fresh = ulid::Ulid::from_parts(
        u64::try_from(now.as_millisecond()).unwrap_or_default(),
        ulid::Ulid::new().random(),
    );
    let next = match *last {
        // The same millisecond, or a clock that went back.
        Some(before) if before.timestamp_ms() >= fresh.timestamp_ms() => {
            before.increment().unwrap_or(fresh)
        }
        _ => fresh,
    };
    *last = Some(next);
    next
}

/// Where a Promotion whose name a user chose stands among those of one second:
/// a ULID of `now`, as in the other names.
pub fn ordinal(now: Timestamp) -> String {
    next_ulid(now).to_string().to_lowercase()
}

fn named(prefix: &str, hash: &str, now: Timestamp) -> String {
    let cut = |text: &str, at: usize| {
        let mut at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        text[..at].to_owned()
    };
    let prefix = if prefix.len() > MAX_PREFIX {
        cut(prefix, MAX_PREFIX).trim_end_matches(['.', '-']).to_owned()
    } else {
        prefix.to_owned()
    };
    format!("{prefix}.{}.{}", next_ulid(now), cut(hash, 7)).to_lowercase()
}

/// The name of a Promotion of `freight` to `stage`: `<stage>.<ulid>.<freight>`
/// with seven characters of the Freight's name; empty if either is.
///
/// Names that one process makes for one Stage sort in the order of making.
pub fn promotion(stage: &str, freight: &str, now: Timestamp) -> String {
    if stage.is_empty() || freight.is_empty() {
        return String::new();
    }
    named(stage, freight, now)
}

/// The name of a Promotion of `freight` to a Target of `stage`; empty if any
/// of them is.
pub fn promotion_to_target(stage: &str, target: &str, freight: &str, now: Timestamp) -> String {
    if stage.is_empty() || target.is_empty() || freight.is_empty() {
        return String::new();
    }
    named(&format!("{stage}.{target}"), freight, now)
}

/// The name of an AnalysisRun for what `stage` has.
pub fn analysis_run(stage: &str, collection: &str, now: Timestamp) -> String {
    named(stage, collection, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    fn parts(stage: &str, freight: &str) -> Vec<String> {
        promotion(stage, freight, now()).split('.').map(str::to_owned).collect()
    }

    #[test]
    fn a_name_is_the_stage_a_time_and_the_freight() {
        // spec: api/7.9-1 promotions/naming-1
        let name = parts("dev", "abc123def456");
        assert_eq!(
            (name.len(), name[0].as_str(), name[1].len(), name[2].as_str()),
            (3, "dev", 26, "abc123d")
        );
        // spec: api/7.9-2 promotions/naming-2
        assert_eq!(parts("prod", "abc")[2], "abc");
        // spec: api/7.9-3 promotions/naming-6
        let name = parts("DEV-STAGE", "ABC123DEF456");
        assert_eq!((name[0].as_str(), name[2].as_str()), ("dev-stage", "abc123d"));
        assert_eq!(name[1], name[1].to_lowercase());
        // spec: api/7.9-4 promotions/naming-3
        let name = promotion(&"a".repeat(220), "abc123def456", now());
        assert_eq!((name.len(), name.split('.').next().unwrap().len()), (253, 218));
        // spec: promotions/naming-5
        let whole = format!("{}--", "a".repeat(216));
        assert_eq!(parts(&whole, "abc1234")[0], whole, "nothing is cut, so nothing is trimmed");
        // spec: promotions/naming-4
        let cut = format!("{}---{}", "a".repeat(215), "b".repeat(12));
        assert_eq!(parts(&cut, "abc1234")[0], "a".repeat(215));
        // spec: promotions/naming-7
        assert_eq!(promotion("", "abc", now()), "");
        assert_eq!(promotion("s", "", now()), "");
    }

    #[test]
    fn names_with_a_target_fit_too() {
        // spec: api/7.9-5
        let name = promotion_to_target(&"a".repeat(200), &"b".repeat(200), "abc1234", now());
        assert!(name.len() <= 253 && !name.contains("..") && !name.contains("-."), "{name}");
        let short = promotion_to_target("fake-stage", "us-east", "abc1234567890", now());
        // spec: promotions/naming-8
        let ulid = short.split('.').nth(2).unwrap_or_default();
        assert!(
            ulid.len() == 26 && ulid.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
        );
        assert!(short.starts_with("fake-stage.us-east.") && short.ends_with(".abc1234"), "{short}");
    }

    #[test]
    fn names_of_one_millisecond_sort_in_the_order_of_making() {
        // spec: promotions/naming-9
        let names: Vec<String> = (0..50).map(|_| promotion("s", "f", now())).collect();
        assert!(names.windows(2).all(|w| w[0] < w[1]), "{names:?}");
    }
}
