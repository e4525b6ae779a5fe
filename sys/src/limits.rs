//! How many descriptors a process may have; getrlimit(2).

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What Linux gives where nobody says otherwise.
const USUAL: u64 = 1024;

/// The limit that we cannot raise. None: there is none.
///
/// By libc, as rustix takes it for granted that prlimit64(2) is allowed, and ends the process where a filter of seccomp(2) has none.
#[must_use]
pub fn most_descriptors() -> Option<u64> {
    let hard = getrlimit(Resource::RLIMIT_NOFILE).map_or(USUAL, |(_, hard)| hard);
    (hard != nix::libc::RLIM_INFINITY).then_some(hard)
}

/// Lets this process have as many descriptors as it may, and returns how many that is. What cannot be is told when there are too few.
pub fn allow_descriptors() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return USUAL;
    };
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    }
}
