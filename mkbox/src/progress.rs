//! How far a copy has come: one line on a terminal, once it takes longer than one likes to wait without a word.

use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::show::human;

/// What is over sooner needs no bar.
const PATIENCE: Duration = Duration::from_millis(500);
/// Between two lines.
const PAUSE: Duration = Duration::from_millis(100);
/// Characters between the brackets.
const WIDTH: usize = 30;

/// Bytes done out of a total; shared by the threads that do them.
#[derive(Debug)]
pub(crate) struct Progress {
    begun: Instant,
    /// None: not known.
    total: Option<u64>,
    done: AtomicU64,
    /// When the last line was drawn; None: there is none.
    drawn: Mutex<Option<Instant>>,
    is_wanted: bool,
}

impl Progress {
    /// Of a copy that begins now. It shows itself only where stderr is a terminal, and where it `may`.
    pub(crate) fn new(total: Option<u64>, may: bool) -> Self {
        Self {
            begun: Instant::now(),
            total,
            done: AtomicU64::new(0),
            drawn: Mutex::new(None),
            is_wanted: may && io::stderr().is_terminal(),
        }
    }

    /// So many bytes more.
    pub(crate) fn add(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if !self.is_wanted {
            return;
        }
        let now = Instant::now();
        // Another thread that draws does it for this one.
        let Ok(mut drawn) = self.drawn.try_lock() else {
            return;
        };
        if is_due(
            now.duration_since(self.begun),
            drawn.map(|then| now.duration_since(then)),
        ) {
            // A terminal that takes nothing is the user's wish.
            let _ =
                io::stderr().write_all(format!("\r{}\x1b[K", line(done, self.total)).as_bytes());
            *drawn = Some(now);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.get_mut().is_ok_and(|drawn| drawn.is_some()) {
            let _ = io::stderr().write_all(b"\r\x1b[K");
        }
    }
}

/// Whether to draw, so long after the beginning and after the last time.
fn is_due(elapsed: Duration, since: Option<Duration>) -> bool {
    elapsed > PATIENCE && since.is_none_or(|since| since > PAUSE)
}

fn line(done: u64, total: Option<u64>) -> String {
    let Some(total) = total.filter(|&total| total > 0) else {
        return human(done);
    };
    let part = done.min(total) as f64 / total as f64;
    let filled = (part * WIDTH as f64) as usize;
    let (filled, empty) = ("#".repeat(filled), " ".repeat(WIDTH - filled));
    format!(
        "[{filled}{empty}] {:3.0}%  {} of {}",
        part * 100.0,
        human(done),
        human(total)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shows_itself_late_and_not_too_often() {
        let ms = Duration::from_millis;
        assert!(!is_due(ms(499), None));
        assert!(is_due(ms(501), None));
        assert!(!is_due(ms(900), Some(ms(99))));
        assert!(is_due(ms(900), Some(ms(101))));
    }

    #[test]
    fn a_line_has_a_bar_where_the_end_is_known() {
        assert_eq!(
            line(500, Some(1000)),
            "[###############               ]  50%  500 B of 1.0 kB"
        );
        assert_eq!(line(2000, Some(1000)).matches('#').count(), WIDTH);
        assert_eq!(line(27_000_000, None), "27.0 MB");
        assert_eq!(line(0, Some(0)), "0 B");
    }
}
