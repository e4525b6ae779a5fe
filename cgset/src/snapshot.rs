//! A pod's groups at one moment: what the kernel says of each, over all hierarchies.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sched::{CloneFlags, unshare};
use record::{Id, Record, names};
use serde_json::{Map, Value as Json, json};

use crate::error::Error;
use crate::group_path::GroupPath;
use crate::remove::Standing;
use crate::usage::Usage;

/// The pod's group and those below it.
pub(crate) type Groups = BTreeMap<GroupPath, Usage>;

/// Everything of a pod at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) id: Id,
    /// Of the pod's group below each mount.
    pub(crate) path: String,
    pub(crate) groups: Groups,
}

/// Groups of one hierarchy that are read by one thread.
struct Portion<'a> {
    standing: &'a Standing<'a>,
    /// As [`crate::group::Group::paths`] has them.
    paths: &'a [String],
}

/// Groups that are worth the start of a thread: reading is all system calls.
const WORTH_A_THREAD: usize = 100;
/// Groups in a portion: small enough that no thread waits long for the last.
const PORTION: usize = 64;

impl Snapshot {
    /// Of the pod that `record` describes; an error when none of its groups is there.
    pub(crate) fn take(record: &Record, standing: &[Standing<'_>]) -> Result<Self, Error> {
        let id = crate::pod::id_of(record)?;
        let paths = paths(standing)?;
        let each = standing.iter().zip(&paths);
        let portions: Vec<Portion<'_>> = each
            .flat_map(|(standing, paths)| {
                paths
                    .chunks(PORTION)
                    .map(move |paths| Portion { standing, paths })
            })
            .collect();
        let all = paths.iter().map(Vec::len).sum();
        let read = in_parallel(&portions, all, Portion::read)?;
        let mut groups = Groups::new();
        // One that has gone since it was listed says nothing.
        for (place, part) in read
            .into_iter()
            .flatten()
            .filter(|(_, part)| !part.is_empty())
        {
            let usage = groups.entry(place).or_default();
            usage.values.extend(part.values);
            usage.processes.extend(part.processes);
        }
        for usage in groups.values_mut() {
            usage.processes.sort_unstable();
            usage.processes.dedup();
        }
        if standing.iter().any(|standing| standing.is_v1_of("memory")) {
            add_up(&mut groups, "memory.oom_kill");
        }
        let path = standing.last().map(|standing| standing.path.clone());
        Ok(Self {
            path: path.unwrap_or_else(|| names::group(&id)),
            id,
            groups,
        })
    }

    pub(crate) fn into_json(self) -> Json {
        let above = self
            .path
            .strip_suffix(&names::group(&self.id))
            .unwrap_or_default();
        let list: Vec<Json> = self
            .groups
            .into_iter()
            .map(|(path, usage)| {
                let mut group = Map::with_capacity(usage.values.len() + 2);
                group.insert("group".to_owned(), format!("/{above}{path}").into());
                group.extend(usage.values);
                group.insert("processes".to_owned(), usage.processes.as_slice().into());
                group.into()
            })
            .collect();
        json!({"id": self.id.as_ref(), "group": format!("/{}", self.path), "groups": list})
    }
}

impl Portion<'_> {
    fn read(&self) -> Result<Vec<(GroupPath, Usage)>, Error> {
        let pod = self.standing.path.rsplit('/').next().unwrap_or_default();
        let one = |path: &String| {
            let place = [pod, "/", path.trim_end_matches('/')].concat();
            let place = GroupPath::from(place.trim_end_matches('/'));
            Ok((place, Usage::read(self.standing, path)?))
        };
        self.paths.iter().map(one).collect()
    }
}

/// The groups in each hierarchy. They are mostly the same in all: how many the first has says whether threads are worth it.
fn paths(standing: &[Standing<'_>]) -> Result<Vec<Vec<String>>, Error> {
    let Some((first, others)) = standing.split_first() else {
        return Ok(Vec::new());
    };
    let mut all = vec![first.pod.paths()?];
    let expected = all[0].len() * others.len();
    all.extend(in_parallel(others, expected, |one| one.pod.paths())?);
    Ok(all)
}

/// Does `work` for each item, in their order, with as many threads as there are processors where `groups` are worth that.
fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    groups: usize,
    work: impl Fn(&T) -> Result<R, Error> + Sync,
) -> Result<Vec<R>, Error> {
    let most = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = (groups / WORTH_A_THREAD).min(items.len()).clamp(1, most);
    if threads == 1 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let share = || {
        // Threads that share a table of descriptors count references for each call; where it fails, they do.
        let _ = unshare(CloneFlags::CLONE_FILES);
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            match items.get(at) {
                Some(item) => done.push((at, work(item)?)),
                None => return Ok(done),
            }
        }
    };
    let shares: Vec<Result<_, Error>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(share)).collect();
        let ended = threads.into_iter().map(|thread| match thread.join() {
            Ok(part) => part,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        ended.collect()
    });
    let mut done = Vec::with_capacity(items.len());
    for share in shares {
        done.extend(share?);
    }
    done.sort_unstable_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, answer)| answer).collect())
}

/// What v1 counts for each group alone, v2 counts for all below it as well.
fn add_up(groups: &mut Groups, name: &str) {
    let counts: Vec<(GroupPath, u64)> = groups
        .iter()
        .filter_map(|(path, usage)| Some((path.clone(), usage.number(name)?)))
        .filter(|(_, count)| *count > 0)
        .collect();
    for (path, count) in counts {
        for above in path.above() {
            if let Some(above) = groups.get_mut(&above) {
                let sum = above.number(name).unwrap_or(0) + count;
                above.values.insert(name.to_owned(), sum.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_threads_do_comes_in_the_order_of_what_they_were_given() {
        let items: Vec<usize> = (0..1000).collect();
        for groups in [0, WORTH_A_THREAD * 8] {
            let doubled = in_parallel(&items, groups, |&item| Ok(item * 2)).unwrap();
            assert!(doubled.iter().copied().eq((0..1000).map(|item| item * 2)));
            let failed = in_parallel(&items, groups, |&item| match item {
                700 => Err(Error::Failed("it is 700".to_owned())),
                item => Ok(item),
            });
            assert_eq!(failed.unwrap_err().to_string(), "it is 700");
        }
    }

    #[test]
    fn v1s_counts_are_added_up_to_the_pod() {
        let usage = |count: u64| Usage::of(json!({"n": count}), &[]);
        let mut groups = Groups::from([
            ("p".into(), usage(1)),
            ("p/a".into(), usage(0)),
            ("p/a/b".into(), usage(2)),
            ("p/c".into(), usage(4)),
        ]);
        add_up(&mut groups, "n");
        let counts: Vec<u64> = groups
            .values()
            .filter_map(|usage| usage.number("n"))
            .collect();
        assert_eq!(counts, [7, 2, 2, 4]);
    }
}
