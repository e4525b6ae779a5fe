//! What the user typed about users and groups; opens nothing but /etc/passwd and /etc/group, for names.

use clap::{Args, ValueEnum};

use crate::idmap::{Range, Spec};
use crate::subids;

/// Who CMD is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Args)]
pub(crate) struct CredentialArgs {
    /// Become user UID, a number or a name, after everything else
    #[arg(short = 'S', long, value_name = "UID", value_parser = user)]
    pub(crate) setuid: Option<u32>,
    /// Become group GID, and leave all others, after everything else
    #[arg(short = 'G', long, value_name = "GID", value_parser = group)]
    pub(crate) setgid: Option<u32>,
    /// Let CMD keep the capabilities of a new user namespace whoever it is
    #[arg(long)]
    pub(crate) keep_caps: bool,
    /// Stay who we are in a user namespace that is joined, not its root
    #[arg(long, conflicts_with_all = ["setuid", "setgid"])]
    pub(crate) preserve_credentials: bool,
}

fn user(text: &str) -> Result<u32, String> {
    subids::id(text, "/etc/passwd")
}

fn group(text: &str) -> Result<u32, String> {
    subids::id(text, "/etc/group")
}

/// Who is who in a new user namespace; each of these implies it.
#[derive(Debug, Default, Args)]
pub(crate) struct MapArgs {
    /// Map the user and group to root; implies --user, as all maps do
    #[arg(short = 'r', long)]
    map_root_user: bool,
    /// Map the user and group to themselves
    #[arg(short = 'c', long)]
    map_current_user: bool,
    /// Map the user's subordinate ids to all that are free inside from 0 on
    #[arg(long)]
    map_auto: bool,
    /// Map the user to UID, a number or a name
    #[arg(long, value_name = "UID")]
    map_user: Option<String>,
    /// Map the group to GID, a number or a name
    #[arg(long, value_name = "GID")]
    map_group: Option<String>,
    /// Map N users, IN inside to OUT; or root, self, auto, subids, all
    #[arg(long, value_name = "IN:OUT:N")]
    map_users: Vec<Spec>,
    /// The same for groups
    #[arg(long, value_name = "IN:OUT:N")]
    map_groups: Vec<Spec>,
    /// Whether setgroups(2) may be called in a new user namespace
    #[arg(long, value_name = "allow|deny", hide_possible_values = true)]
    pub(crate) setgroups: Option<Setgroups>,
}

impl MapArgs {
    /// Some option says what is mapped.
    pub(crate) fn is_given(&self) -> bool {
        self.map_root_user
            || self.map_current_user
            || self.map_auto
            || self.map_user.is_some()
            || self.map_group.is_some()
            || !(self.map_users.is_empty() && self.map_groups.is_empty())
    }

    /// What the options say of users and of groups.
    ///
    /// # Errors
    /// A name that nobody has; what the user reads.
    pub(crate) fn maps(&self) -> Result<(Vec<Spec>, Vec<Spec>), String> {
        let (mut users, mut groups) = (self.map_users.clone(), self.map_groups.clone());
        for (is_given, spec) in [
            (self.map_root_user, Spec::Root),
            (self.map_current_user, Spec::Own),
            (self.map_auto, Spec::Auto),
        ] {
            if is_given {
                users.push(spec);
                groups.push(spec);
            }
        }
        if let Some(user) = &self.map_user {
            let id = subids::id(user, "/etc/passwd").map_err(|why| format!("--map-user: {why}"))?;
            let own = nix::unistd::geteuid().as_raw();
            users.push(Spec::Range(Range::one(id, own)));
        }
        if let Some(group) = &self.map_group {
            let id =
                subids::id(group, "/etc/group").map_err(|why| format!("--map-group: {why}"))?;
            let own = nix::unistd::getegid().as_raw();
            groups.push(Spec::Range(Range::one(id, own)));
        }
        Ok((users, groups))
    }
}

/// `--setgroups`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Setgroups {
    /// It may.
    Allow,
    /// Never again.
    Deny,
}

impl Setgroups {
    /// As /proc/PID/setgroups has it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}
