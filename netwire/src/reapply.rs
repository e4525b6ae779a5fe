//! `reapply`: everything that should be in the tables is, after somebody flushed them.

use crate::cli::ReapplyArgs;
use crate::error::Error;
use crate::firewall;
use crate::service;

/// Puts back what is missing, of all pods and of the host in one transaction and of all services in another; says of whom something was.
pub(crate) fn reapply(args: &ReapplyArgs) -> Result<String, Error> {
    let pods = firewall::put_back(firewall::parts, args)?.into_iter();
    let services = service::reapply(args)?.into_iter();
    let services = services.map(|name| format!("service {name}"));
    Ok(pods.chain(services).map(|line| line + "\n").collect())
}
