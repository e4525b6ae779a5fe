//! What the tables have otherwise than an attachment needs it, for `check`.

use record::Id;

use super::seen::Seen;
use super::told::words;
use super::{is_in, needed};
use crate::error::Error;
use crate::netlink::Socket;
use crate::nft::Element;
use crate::ruleset::{self, TABLES};
use crate::state::Attachment;

/// A sentence for each difference; none: the tables are as they should be, for this attachment.
pub(crate) fn lacks(id: &Id, attachment: &Attachment) -> Result<Vec<String>, Error> {
    let wanted = ruleset::elements(id, attachment);
    let dispensable = attachment.is_only_filtered() && !attachment.antispoof;
    let read = || -> Result<Seen, Error> {
        let mut socket = Socket::netfilter(false)?;
        let mut seen = Seen::read(&mut socket)?;
        seen.read_rules(&mut socket)?;
        Ok(seen)
    };
    let seen = match read() {
        Err(error) if error.lacks_nf_tables() && (wanted.is_empty() || dispensable) => {
            return Ok(Vec::new());
        }
        answer => answer?,
    };
    let comment = ruleset::comment(id, attachment.ifname.as_ref());
    let mut found = Vec::new();
    for table in TABLES {
        let mut layers = needed(&wanted).filter(|layer| layer.table == table);
        let needs = layers.clone().next().is_some();
        if needs && !seen.exists(table) {
            found.push(format!("there is no table {table}"));
            continue;
        }
        if layers.any(|layer| !seen.is_whole(layer)) {
            found.push(format!("table {table} has lost rules or sets"));
        }
        let wanted: Vec<&Element> = wanted.iter().filter(|one| is_in(one, table)).collect();
        let there: Vec<&Element> = seen.of(&comment).filter(|one| is_in(one, table)).collect();
        let missing = wanted.iter().filter(|one| !there.contains(one));
        found.extend(missing.map(|one| format!("{} is missing", words(one))));
        let extra = there.iter().filter(|one| !wanted.contains(one));
        found.extend(extra.map(|one| format!("{} is not in the record", words(one))));
    }
    Ok(found)
}
