//! What the user typed; opens nothing.

use std::path::PathBuf;

use clap::Parser;

use crate::words::Tool;

/// Reads a Kubernetes Pod manifest, and writes records: the pod's, and one for each container
#[derive(Debug, Parser)]
#[command(
    name = "podspec",
    version,
    after_help = "Example:\n  podspec pod.yaml | head -n 1 | cgset up | nsrun up | nsrun down | cgset down",
    override_usage = "podspec [--run-dir DIR] [FILE]\n       podspec --in POD [--image CONFIG] [OPTIONS] [RECORD]\n       podspec --words TOOL | --get KEY [RECORD]"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) schema: record::SchemaArgs,

    /// The manifest, or the record [default: stdin]
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// Where pods have their directories [default: /run/chroot0]
    #[arg(long, value_name = "DIR")]
    pub(crate) run_dir: Option<String>,

    /// Complete a container's record by what that of its pod, in POD, says
    #[arg(long = "in", value_name = "POD", conflicts_with_all = ["words", "get"])]
    pub(crate) pod: Option<PathBuf>,

    /// And by its image's OCI configuration: command, environment, user
    #[arg(long, value_name = "CONFIG", conflicts_with_all = ["words", "get"])]
    pub(crate) image: Option<PathBuf>,

    /// With --in: the name servers of the node, by its resolv.conf
    #[arg(long, value_name = "FILE", requires = "pod")]
    pub(crate) resolv_conf: Option<PathBuf>,

    /// With --in: name server of dnsPolicy ClusterFirst (may be repeated)
    #[arg(long, value_name = "ADDRESS", requires = "pod")]
    pub(crate) cluster_dns: Vec<std::net::IpAddr>,

    /// With --cluster-dns: the domain of services
    #[arg(
        long,
        value_name = "NAME",
        default_value = "cluster.local",
        requires = "cluster_dns"
    )]
    pub(crate) cluster_domain: String,

    /// Print what a record says to cgset, mkbox, netwire, drop or exec
    #[arg(
        long,
        value_name = "TOOL",
        conflicts_with = "get",
        hide_possible_values = true
    )]
    pub(crate) words: Option<Tool>,

    /// Print the value of KEY in each record: netwire.ips.0.address
    #[arg(long, value_name = "KEY")]
    pub(crate) get: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn completions_are_those_of_the_command_line() {
        ::tests::completions::are_up_to_date(Cli::command());
    }
}
