//! Views of pods as text: tables, a tree, a list. Cut to the width of a terminal; whole where a program reads it.

use std::fmt::Write as _;
use std::time::Duration;

use record::Namespace;

use crate::procfs;
use crate::step::kinds;
use crate::view::{Member, View};

/// The columns of a terminal that stdout is; None: it is none.
pub(crate) fn width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|&columns| columns > 0)
}

/// `text` with no line longer than `width`.
pub(crate) fn cut(text: &str, width: Option<usize>) -> String {
    let Some(width) = width else {
        return text.to_owned();
    };
    let cut = |line: &str| line.chars().take(width).chain(['\n']).collect::<String>();
    text.lines().map(cut).collect()
}

impl View {
    /// The namespaces that somebody in the pod is in, as lsns(8) has them, and who shares which.
    pub(crate) fn to_table(&self) -> String {
        let mut text = self.headline() + "\n";
        if !self.used.is_empty() {
            text += &columns(&self.namespaces(), &[0, 2, 3, 4]);
        }
        if !self.members.is_empty() {
            text += "\n";
            self.processes(&mut text);
        }
        text
    }

    fn namespaces(&self) -> Vec<[String; 8]> {
        let head = [
            "NS", "TYPE", "NPROCS", "PID", "UID", "WHOSE", "PIN", "COMMAND",
        ];
        let rows = self.used.iter().map(|used| {
            let first = used.members.first().map(|&place| &self.members[place]);
            let of_first = |value: &dyn Fn(&Member) -> String| first.map_or("-".into(), value);
            [
                used.identity.1.to_string(),
                used.kind.proc_name().into(),
                used.members.len().to_string(),
                of_first(&|member| member.pid.to_string()),
                of_first(&|member| member.uid.to_string()),
                used.whose.to_string(),
                used.path
                    .as_ref()
                    .map_or("-".into(), |path| path.display().to_string()),
                of_first(&|member| member.command.clone()),
            ]
        });
        std::iter::once(head.map(str::to_owned))
            .chain(rows)
            .collect()
    }

    /// `+`: the pod's own, shared. `=`: shared with the pod and with whoever made it. `-`: another.
    fn processes(&self, text: &mut String) {
        let made = kinds(self.state.made);
        let _ = write!(text, "{:>8} {:>6} ", "PID", "NSPID");
        let kinds = Namespace::ALL.map(Namespace::proc_name).join(" ");
        let _ = writeln!(text, " {kinds}  COMMAND");
        for member in &self.members {
            let _ = write!(text, "{:>8} {:>6} ", member.pid, member.own_pid);
            for kind in Namespace::ALL {
                let mark = match (member.shares.contains(&kind), made.contains(&kind)) {
                    (true, true) => "+",
                    (true, false) => "=",
                    (false, _) => "-",
                };
                let _ = write!(text, " {mark:^width$}", width = kind.proc_name().len());
            }
            let _ = writeln!(text, "  {}", member.command);
        }
    }

    /// Processes below those that started them, each with the namespaces in which it differs from that one.
    pub(crate) fn to_tree(&self) -> String {
        let mut text = self.headline() + "\n";
        let is_root = |member: &&Member| {
            member.parent == member.pid
                || self.members.iter().all(|other| other.pid != member.parent)
        };
        for root in self.members.iter().filter(is_root) {
            self.branch(root, None, "", "", &mut text);
        }
        text
    }

    fn branch(
        &self,
        member: &Member,
        parent: Option<&Member>,
        joint: &str,
        rest: &str,
        text: &mut String,
    ) {
        let own = self.differences(member, parent);
        let own = if own.is_empty() {
            own
        } else {
            format!(" [{own}]")
        };
        let _ = writeln!(text, "{joint}{}{own} {}", member.pid, member.command);
        let below: Vec<_> = self
            .members
            .iter()
            .filter(|other| other.parent == member.pid && other.pid != member.pid)
            .collect();
        for (place, child) in below.iter().enumerate() {
            let (joint, after) = match place + 1 == below.len() {
                true => ("`-", "  "),
                false => ("|-", "| "),
            };
            self.branch(
                child,
                Some(member),
                &format!("{rest}{joint}"),
                &format!("{rest}{after}"),
                text,
            );
        }
    }

    /// Of the process that holds the pod what is not the host's, of others what is not their parent's or the pod's.
    fn differences(&self, member: &Member, parent: Option<&Member>) -> String {
        let is_holder = self.is_up && member.pid == self.state.holder.pid;
        let from = match parent {
            Some(parent) => &parent.namespaces,
            None if is_holder => &self.host,
            None => &self.reference,
        };
        let of = |list: &[(Namespace, procfs::Identity)], kind| {
            list.iter()
                .find(|(other, _)| *other == kind)
                .map(|(_, identity)| *identity)
        };
        let differs = member.namespaces.iter().filter(|(kind, identity)| {
            // Of a pod whose process is gone not everything is known.
            of(from, *kind).is_some_and(|theirs| theirs != *identity)
        });
        let names = differs.map(|(kind, identity)| {
            let name = kind.proc_name();
            match () {
                () if Some(*identity) == of(&self.host, *kind) => format!("{name}=host"),
                () if parent.is_some() && Some(*identity) == of(&self.reference, *kind) => {
                    format!("{name}=pod")
                }
                () => name.to_owned(),
            }
        });
        names.collect::<Vec<_>>().join(" ")
    }
}

/// One pod a line.
pub(crate) fn list(views: &[View]) -> String {
    let head = ["ID", "PID", "STATE", "AGE", "NPROCS", "COMMAND"];
    let rows = views.iter().map(|view| {
        let state = match (view.is_up, view.pins.is_empty()) {
            (true, true) => "up",
            (true, false) => "up,pinned",
            (false, true) => "down",
            (false, false) => "down,pinned",
        };
        let age = procfs::age(view.state.holder.starttime).filter(|_| view.is_up);
        let command = match view.state.command.is_empty() {
            true => "pause".to_owned(),
            false => view.state.command.join(" "),
        };
        [
            view.id.to_string(),
            view.state.holder.pid.to_string(),
            state.to_owned(),
            age.map_or("-".into(), short),
            view.members.len().to_string(),
            command.chars().map(procfs::printable).collect(),
        ]
    });
    let rows: Vec<_> = std::iter::once(head.map(str::to_owned))
        .chain(rows)
        .collect();
    columns(&rows, &[1, 3, 4])
}

/// `5s` `3m` `2h` `4d`: the largest unit there is one of.
fn short(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Columns as wide as their widest, `right` ones to the right, the last as it is.
fn columns<const N: usize>(rows: &[[String; N]], right: &[usize]) -> String {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cell = |(column, cell): (usize, &String)| match column {
            last if last + 1 == N => cell.clone(),
            column if right.contains(&column) => format!("{cell:>width$}", width = widths[column]),
            column => format!("{cell:<width$}", width = widths[column]),
        };
        let cells: Vec<_> = row.iter().enumerate().map(cell).collect();
        let _ = writeln!(text, "{}", cells.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_for_a_terminal_only() {
        assert_eq!(cut("abcdef\nab\n", Some(3)), "abc\nab\n");
        assert_eq!(cut("abcdef\nab\n", None), "abcdef\nab\n");
        assert_eq!(cut("äöüß\n", Some(2)), "äö\n");
    }

    #[test]
    fn columns_line_up_and_the_last_has_its_blanks() {
        let rows =
            [["ID", "PID", "COMMAND"], ["foo", "7", "a  b"]].map(|row| row.map(str::to_owned));
        assert_eq!(columns(&rows, &[1]), "ID  PID COMMAND\nfoo   7 a  b\n");
    }

    #[test]
    fn an_age_has_one_unit() {
        let of = |seconds| short(Duration::from_secs(seconds));
        let ages = [0, 59, 60, 3599, 3600, 86_399, 86_400, 400 * 86_400].map(of);
        assert_eq!(ages, ["0s", "59s", "1m", "59m", "1h", "23h", "1d", "400d"]);
    }
}
