//! How much was forwarded, in a line.

/// Since the beginning.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Counts {
    /// Connections, and clients of UDP, that are there now.
    pub(super) open: usize,
    /// That have ended.
    pub(super) done: u64,
    /// That did not come about, or broke.
    pub(super) failed: u64,
    /// Bytes to the pod …
    pub(super) there: u64,
    /// … and from it.
    pub(super) back: u64,
}

/// For people.
pub(super) fn line(counts: &Counts) -> String {
    let failed = match counts.failed {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    format!(
        "{} open, {} done{failed}, {} to the pod, {} back",
        counts.open,
        counts.done,
        bytes(counts.there),
        bytes(counts.back)
    )
}

/// `1.5 MiB`
fn bytes(count: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut rest = count as f64;
    while rest >= 1024.0 && unit + 1 < units.len() {
        rest /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{count} B"),
        _ => format!("{rest:.1} {}", units[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_for_people() {
        let mut counts = Counts {
            open: 2,
            done: 10,
            there: 1023,
            back: 3 << 19,
            ..Counts::default()
        };
        assert_eq!(
            line(&counts),
            "2 open, 10 done, 1023 B to the pod, 1.5 MiB back"
        );
        counts.failed = 1;
        counts.back = u64::MAX;
        assert_eq!(
            line(&counts),
            "2 open, 10 done, 1 failed, 1023 B to the pod, 16777216.0 TiB back"
        );
    }
}
