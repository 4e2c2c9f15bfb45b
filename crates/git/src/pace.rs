//! When a server is too slow: less than [`LOW_SPEED`] bytes a second for as long
//! as one is patient (`warehouses` 5.1 K1), with one exception.
//!
//! A server that makes a pack out of a large repository sends progress and
//! keep-alives only meanwhile (`uploadpack.keepAlive` in git-config), which is
//! far less. So the beginning of a pack may come slowly for longer.

use std::time::Duration;

/// Less than this many bytes a second is no progress.
pub(crate) const LOW_SPEED: u64 = 1024;
/// How much of a pack's answer counts as its beginning, in bytes.
const BEGINNING: u64 = 64 << 10;
/// How many times the patience its beginning may take.
const BEGINNINGS: u32 = 10;

/// How fast one answer comes. Only time spent waiting counts: whoever reads the
/// answer is busy in between.
#[derive(Debug)]
pub(crate) struct Pace {
    patience: Duration,
    begins: bool,
    received: u64,
    /// How long was waited for how many bytes since the last look.
    window: (Duration, u64),
}

impl Pace {
    /// The pace of an answer that is a pack, or of one that is not.
    pub(crate) fn new(patience: Duration, pack: bool) -> Self {
        Self { patience, begins: pack, received: 0, window: (Duration::ZERO, 0) }
    }

    /// All that came, in bytes.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Notes that `size` bytes came after a wait of `waited`.
    ///
    /// # Errors
    /// The time in which too little came.
    pub(crate) fn note(&mut self, waited: Duration, size: u64) -> Result<(), Duration> {
        self.received += size;
        self.window = (self.window.0 + waited, self.window.1 + size);
        if self.begins && self.received > BEGINNING {
            self.begins = false;
            self.window = (Duration::ZERO, 0);
        }
        let patience = if self.begins { self.patience * BEGINNINGS } else { self.patience };
        let (waited, brought) = self.window;
        if waited < patience {
            return Ok(());
        }
        if brought < LOW_SPEED * patience.as_secs().max(1) {
            return Err(patience);
        }
        self.window = (Duration::ZERO, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// After how many seconds a sender of `bytes` a second is given up, of `most`.
    fn given_up(pace: &mut Pace, bytes: u64, most: u64) -> Option<(u64, Duration)> {
        (1..=most).find_map(|second| Some((second, pace.note(SECOND, bytes).err()?)))
    }

    #[test]
    fn what_is_not_a_pack_must_come_at_once() {
        let mut listing = Pace::new(30 * SECOND, false);
        assert_eq!(given_up(&mut listing, 1023, 1000), Some((30, 30 * SECOND)));
        let mut listing = Pace::new(30 * SECOND, false);
        assert_eq!(given_up(&mut listing, 1024, 1000), None);
        // It slows down in the middle of a look.
        assert_eq!(given_up(&mut listing, 1, 1000), Some((20, 30 * SECOND)));
    }

    #[test]
    fn a_pack_may_be_long_in_the_making() {
        let mut pack = Pace::new(30 * SECOND, true);
        // Keep-alives, then the pack.
        assert_eq!(given_up(&mut pack, 1, 299), None);
        assert_eq!(pack.note(SECOND, 1 << 20), Ok(()));
        assert_eq!(given_up(&mut pack, 2048, 1000), None);
        // It stops in the middle.
        assert_eq!(given_up(&mut pack, 1, 1000).map(|(_, patience)| patience), Some(30 * SECOND));
        let mut never = Pace::new(30 * SECOND, true);
        assert_eq!(given_up(&mut never, 1, 1000), Some((300, 300 * SECOND)));
    }
}
