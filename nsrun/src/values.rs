//! Values of options, as they are typed.

use std::time::Duration;

use nix::sys::signal::Signal;

/// An answer.
pub(crate) fn yes_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!("{text:?} is neither yes nor no")),
    }
}

/// A signal as kill(1) takes it, real-time ones and 0 too: `RTMIN`, `RTMIN+1`, `RTMAX-1`; also as its option, `-9`, `-HUP`.
pub(crate) fn any_signal(text: &str) -> Result<i32, String> {
    let bad = || format!("{text:?} is no signal");
    // As programs of glibc have it, whichever library we are built with: those are who listens (systemd's RTMIN+3).
    let (min, max) = (34_i32, 64_i32);
    let text = text.strip_prefix('-').unwrap_or(text);
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |rest: &str, sign: char| match rest {
        "" => Some(0),
        rest => rest.strip_prefix(sign)?.parse::<i32>().ok(),
    };
    let number = if let Some(rest) = name.strip_prefix("RTMIN") {
        offset(rest, '+')
            .and_then(|offset| min.checked_add(offset))
            .filter(|number| (min..=max).contains(number))
    } else if let Some(rest) = name.strip_prefix("RTMAX") {
        offset(rest, '-')
            .and_then(|offset| max.checked_sub(offset))
            .filter(|number| (min..=max).contains(number))
    } else if let Ok(number) = text.parse::<i32>() {
        Some(number).filter(|number| (0..=max).contains(number))
    } else {
        return signal(text).map(|signal| signal as i32);
    };
    number.ok_or_else(bad)
}

/// A signal as kill(1) takes it: `TERM`, `SIGTERM`, `term`, `15`.
pub(crate) fn signal(text: &str) -> Result<Signal, String> {
    let bad = || format!("{text:?} is no signal");
    if let Ok(number) = text.parse::<i32>() {
        return Signal::try_from(number).map_err(|_| bad());
    }
    let upper = text.to_ascii_uppercase();
    let name = if upper.starts_with("SIG") {
        upper
    } else {
        format!("SIG{upper}")
    };
    name.parse().map_err(|_| bad())
}

/// What sethostname(2) takes and a line of /etc/hosts can hold.
pub(crate) fn hostname(text: &str) -> Result<String, String> {
    if text.is_empty()
        || text.len() > 64
        || text.chars().any(|c| c.is_control() || c.is_whitespace())
    {
        return Err(format!(
            "{text:?} is no host name (1 to 64 bytes, no blanks)"
        ));
    }
    Ok(text.to_owned())
}

/// Seconds with a fraction.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let number = text
        .parse::<f64>()
        .ok()
        .and_then(|number| Duration::try_from_secs_f64(number).ok());
    number
        .filter(|wait| wait.as_secs() <= 86_400)
        .ok_or_else(|| format!("{text:?} is no time in seconds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for text in ["TERM", "SIGTERM", "term", "15"] {
            assert_eq!(signal(text), Ok(Signal::SIGTERM));
        }
        for text in ["", "0", "SIG", "99", "NOPE"] {
            assert!(signal(text).is_err(), "{text}");
        }
    }

    #[test]
    fn kill_takes_every_signal_there_is() {
        assert_eq!(any_signal("hup"), Ok(1));
        assert_eq!(any_signal("0"), Ok(0));
        assert_eq!(any_signal("RTMIN"), Ok(34));
        assert_eq!(any_signal("SIGRTMIN+2"), Ok(36));
        assert_eq!(any_signal("rtmax-1"), Ok(63));
        assert_eq!(any_signal("64"), Ok(64));
        assert_eq!(any_signal("-9"), Ok(9));
        assert_eq!(any_signal("-SIGHUP"), Ok(1));
        for bad in [
            "", "-", "--1", "-65", "--bogus", "65", "RTMIN-1", "RTMIN+99", "RTMAX+1", "RTMINx",
            "NOPE",
        ] {
            assert!(any_signal(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_host_name_and_a_time_are_checked() {
        assert!(hostname("web-1.example").is_ok());
        for bad in ["", "a b", "a\nb", &"x".repeat(65)] {
            assert!(hostname(bad).is_err(), "{bad:?}");
        }
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["", "-1", "nan", "inf", "1e300", "x"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
