//! The order of a Stage's Promotions (`api` 7.10): by the time of their
//! making.
//!
//! The API server keeps that time in whole seconds, in which several Promotions
//! may be made and even end. The names that admission gives tell it to the
//! millisecond. A name that a user chose, where no admission webhook stands
//! before the API, says nothing: the controller notes on such a Promotion when
//! it first saw it.

use std::cmp::Ordering;

use jiff::Timestamp;

use crate::enums::PromotionPhase;
use crate::promotion::Promotion;
use crate::stage::PromotionReference;

/// Where a Promotion stands among those of its Stage: when it was made, in
/// whole seconds, then its place within that second, then its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    made: Option<i64>,
    within: Within,
    name: String,
}

/// The place among Promotions of one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Within {
    /// The ULID of its name or, where a user chose that, of its
    /// [`ORDINAL`](crate::annotations::ORDINAL).
    Known(ulid::Ulid),
    /// No controller has seen it yet: it comes after those that one has.
    Unknown,
}

impl Within {
    fn of(ordinal: Option<&str>, name: &str) -> Self {
        let known = ordinal.and_then(parsed).or_else(|| ulid_of(name));
        known.map_or(Self::Unknown, Self::Known)
    }
}

/// The place of a Promotion.
pub fn place(promotion: &Promotion) -> Place {
    let metadata = &promotion.metadata;
    let name = metadata.name.clone().unwrap_or_default();
    let annotations = metadata.annotations.as_ref();
    let ordinal = annotations.and_then(|a| a.get(crate::annotations::ORDINAL));
    Place {
        made: metadata.creation_timestamp.as_ref().map(|t| t.0.as_second()),
        within: Within::of(ordinal.map(String::as_str), &name),
        name,
    }
}

/// The place of the Promotion that a Stage names as its last one. Where it is
/// gone from `promotions`, its name says when it was made, or else, later
/// than true, the time of its start.
pub fn place_of_last<'a>(
    last: &PromotionReference,
    mut promotions: impl Iterator<Item = &'a Promotion>,
) -> Place {
    let named = |p: &&Promotion| p.metadata.name.as_deref() == Some(last.name.as_str());
    if let Some(found) = promotions.find(named) {
        return place(found);
    }
    let status = last.status.as_ref();
    let started = status.and_then(|s| s.started_at.as_ref());
    let ended = last.finished_at.as_ref().or(status.and_then(|s| s.finished_at.as_ref()));
    let recorded = || started.or(ended).map(|t| t.0.as_second());
    let made = made_at(&last.name).map(|t| t.as_second()).or_else(recorded);
    Place { made, within: Within::of(None, &last.name), name: last.name.clone() }
}

/// Whether a Promotion was made after the one at `last`. Where the time of one
/// of them is not known, the names decide.
pub fn follows(promotion: &Promotion, last: &Place) -> bool {
    let own = place(promotion);
    match (own.made, last.made) {
        (Some(_), Some(_)) => own > *last,
        _ => own.name > last.name,
    }
}

/// The ULID of a Promotion's name, `<stage>.<ulid>.<freight>`.
fn ulid_of(name: &str) -> Option<ulid::Ulid> {
    let (rest, _freight) = name.rsplit_once('.')?;
    let (_stage, ulid) = rest.rsplit_once('.')?;
    parsed(ulid)
}

fn parsed(ulid: &str) -> Option<ulid::Ulid> {
    ulid::Ulid::from_string(&ulid.to_uppercase()).ok()
}

/// When a Promotion of that name was made, as the name itself says.
fn made_at(name: &str) -> Option<Timestamp> {
    let ulid = ulid_of(name)?;
    Timestamp::from_millisecond(i64::try_from(ulid.timestamp_ms()).ok()?).ok()
}

/// Running first, then what has not ended, then what has. What has not ended
/// is sorted oldest first, what has newest first.
pub fn compare(a: &Promotion, b: &Promotion) -> Ordering {
    let phase = |p: &Promotion| p.status.as_ref().map(|s| s.phase).unwrap_or_default();
    let class = |phase: PromotionPhase| match phase {
        PromotionPhase::Running => 0,
        phase if !phase.is_terminal() => 1,
        _ => 2,
    };
    let (first, second) = (class(phase(a)), class(phase(b)));
    first.cmp(&second).then_with(|| {
        let by_place = place(a).cmp(&place(b));
        if first == 2 { by_place.reverse() } else { by_place }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promotion::PromotionStatus;
    use serde_json::json;

    fn promotion(name: &str, phase: PromotionPhase) -> Promotion {
        let mut promotion = Promotion::new(name, Default::default());
        promotion.status = Some(PromotionStatus { phase, ..Default::default() });
        promotion
    }

    fn made(name: &str, phase: PromotionPhase, at: &str) -> Promotion {
        let mut promotion = promotion(name, phase);
        promotion.metadata.creation_timestamp = serde_json::from_value(json!(at)).unwrap();
        promotion
    }

    #[test]
    fn running_then_waiting_then_ended() {
        use PromotionPhase::{Failed, Pending, Running, Succeeded, Unset};
        let mut all = [
            promotion("a", Succeeded),
            promotion("b", Pending),
            promotion("c", Running),
            promotion("d", Failed),
            promotion("e", Unset),
            promotion("f", Running),
        ];
        all.sort_by(compare);
        let names: Vec<&str> = all.iter().filter_map(|p| p.metadata.name.as_deref()).collect();
        assert_eq!(names, ["c", "f", "b", "e", "d", "a"]);
        assert_eq!(compare(&all[0], &all[0]), Ordering::Equal);
    }

    #[test]
    fn the_time_of_making_counts_before_the_name() {
        use PromotionPhase::{Pending, Succeeded};
        let mut all = [
            made("zeta", Pending, "2026-11-25T10:00:00Z"),
            made("alpha", Pending, "2026-11-25T10:00:01Z"),
            made("beta", Pending, "2026-11-25T10:00:01Z"),
            made("gamma", Succeeded, "2026-11-25T09:00:00Z"),
            made("delta", Succeeded, "2026-11-25T09:30:00Z"),
        ];
        all.sort_by(compare);
        let names: Vec<&str> = all.iter().filter_map(|p| p.metadata.name.as_deref()).collect();
        assert_eq!(names, ["zeta", "alpha", "beta", "delta", "gamma"]);
    }

    #[test]
    fn within_a_second_the_ordinal_counts_before_the_name() {
        use PromotionPhase::Succeeded;
        const AT: &str = "2026-11-25T10:00:00Z";
        let seen = |name: &str, ordinal: &str| {
            let mut promotion = made(name, Succeeded, AT);
            let annotations = [(crate::annotations::ORDINAL.to_owned(), ordinal.to_owned())];
            promotion.metadata.annotations = Some(annotations.into());
            promotion
        };
        let order = [
            seen("zz", "01k0000000000000000000000a"),
            made("dev.01k0000000000000000000000b.abc1234", Succeeded, AT),
            seen("aa", "01k0000000000000000000000c"),
            made("dev.01k0000000000000000000000d.abc1234", Succeeded, AT),
            // Not seen by a controller yet, or what it noted was lost.
            made("a", Succeeded, AT),
            seen("b", "not one"),
        ];
        for pair in order.windows(2) {
            assert!(follows(&pair[1], &place(&pair[0])), "{pair:?}");
            assert!(!follows(&pair[0], &place(&pair[1])), "{pair:?}");
        }
    }

    #[test]
    fn a_last_promotion_that_is_gone_has_a_place_still() {
        use PromotionPhase::Unset;
        let at: Timestamp = "2026-11-25T10:00:00.500Z".parse().unwrap();
        let millis = u64::try_from(at.as_millisecond()).unwrap();
        let ulid = ulid::Ulid::from_parts(millis, 7).to_string().to_lowercase();
        let name = format!("dev.{ulid}.abc1234");
        let earlier = made("by-hand", PromotionPhase::Aborted, "2026-11-25T09:59:59Z");
        let later = made("by-hand", PromotionPhase::Aborted, "2026-11-25T10:00:01Z");
        let last = PromotionReference { name, ..Default::default() };
        let gone = place_of_last(&last, [].into_iter());
        assert!(!follows(&earlier, &gone) && follows(&later, &gone), "{gone:?}");

        let by_hand: PromotionReference = serde_json::from_value(json!({
            "name": "by-hand", "finishedAt": "2026-11-25T10:00:30Z",
            "status": {"startedAt": "2026-11-25T10:00:00Z"},
        }))
        .unwrap();
        assert_eq!(place_of_last(&by_hand, [&later].into_iter()), place(&later), "still there");
        let gone = place_of_last(&by_hand, [].into_iter());
        assert!(!follows(&earlier, &gone) && follows(&later, &gone), "{gone:?}");
        // Nothing is known of its time.
        let nothing = PromotionReference { name: "bz".into(), ..Default::default() };
        let gone = place_of_last(&nothing, [].into_iter());
        let (before, after) = (promotion("by", Unset), promotion("ca", Unset));
        assert!(!follows(&before, &gone) && follows(&after, &gone));
    }
}
