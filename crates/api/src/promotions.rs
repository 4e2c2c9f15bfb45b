//! The order of a Stage's Promotions (`api` 7.10).

use std::cmp::Ordering;

use crate::enums::PromotionPhase;
use crate::promotion::Promotion;

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
        let by_name = a.metadata.name.cmp(&b.metadata.name);
        if first == 2 { by_name.reverse() } else { by_name }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promotion::PromotionStatus;

    fn promotion(name: &str, phase: PromotionPhase) -> Promotion {
        let mut promotion = Promotion::new(name, Default::default());
        promotion.status = Some(PromotionStatus { phase, ..Default::default() });
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
}
