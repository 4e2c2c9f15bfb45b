//! Lines on standard output; where that is a terminal, with a display of what
//! is being waited for.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Where the demo writes.
pub struct Show {
    waiting: Option<ProgressBar>,
}

impl Default for Show {
    fn default() -> Self {
        Self::new()
    }
}

impl Show {
    /// With a progress display where there is a terminal, plain lines where
    /// there is none.
    pub fn new() -> Self {
        let waiting = std::io::stdout().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(80));
            bar
        });
        Self { waiting }
    }

    /// Writes a line.
    pub fn line(&self, text: &str) {
        match &self.waiting {
            Some(bar) => bar.suspend(|| print(text)),
            None => print(text),
        }
    }

    /// Writes lines.
    pub fn lines(&self, lines: &[String]) {
        lines.iter().for_each(|line| self.line(line));
    }

    /// Says what is being waited for, where there is a terminal.
    pub fn doing(&self, what: &str) {
        if let Some(bar) = &self.waiting {
            bar.set_message(what.to_owned());
        }
    }

    /// Takes the display away.
    pub fn done(&self) {
        if let Some(bar) = &self.waiting {
            bar.finish_and_clear();
        }
    }
}

/// A closed pipe ends the output, not the demo.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
