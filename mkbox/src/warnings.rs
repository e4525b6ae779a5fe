//! What the programs of a box may look for in vain: things that no closure of libraries can tell.

use std::path::Path;

use crate::boxfile::BoxFile;
use crate::bundles::Bundle;
use crate::closure::Closure;
use crate::elf;
use crate::imports::{self, Imports};
use crate::origin::Origin;
use crate::wishes::Wishes;

/// Names in one line.
const NAMES: usize = 8;

/// A line for each kind of thing that is missing, naming the files that want it.
pub(crate) fn of(closure: &Closure, origin: &Origin, wishes: &Wishes) -> Vec<String> {
    if !closure.has_glibc || wishes.with.contains(&Bundle::Nss) && wishes.with.len() > 1 {
        return Vec::new();
    }
    let mut buffer = Vec::new();
    let mut look = |file: &BoxFile| match origin.open_known(&file.source) {
        Ok((opened, metadata)) => {
            let bytes = metadata.len();
            let mut found = imports::read(&opened, bytes, &mut buffer);
            // One that says what it opens has said it.
            let says =
                || matches!(elf::read(&opened, bytes), Ok(Some(elf)) if elf.dlopen.is_some());
            found.dlopen = found.dlopen && !says();
            found
        }
        Err(_) => Imports::default(),
    };
    let first_names = closure.files.iter().filter(|file| file.same_as.is_none());
    let found: Vec<(&BoxFile, Imports)> = first_names.map(|file| (file, look(file))).collect();
    let wanting = |wants: fn(&Imports) -> bool| {
        let those = found.iter().filter(|(_, imports)| wants(imports));
        names(those.map(|(file, _)| file.destination.as_path()))
    };
    let nss = wanting(|imports| imports.nss);
    let dlopen = wanting(|imports| imports.dlopen);
    let mut lines = Vec::new();
    if !nss.is_empty() && !wishes.with.contains(&Bundle::Nss) {
        lines.push(format!(
            "no NSS in the box for {nss}, to look up users or hosts (--with nss)"
        ));
    }
    if !dlopen.is_empty() && wishes.with.is_empty() {
        lines.push(format!(
            "not known what {dlopen} open while they run (--with PATH takes it along)"
        ));
    }
    lines
}

/// File names, in order, the first few of them.
fn names<'a>(paths: impl Iterator<Item = &'a Path>) -> String {
    let mut names: Vec<String> = Vec::new();
    for path in paths {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let more = names.len().saturating_sub(NAMES);
    names.truncate(NAMES);
    let names = names.join(", ");
    match more {
        0 => names,
        more => format!("{names} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_short() {
        let paths: Vec<String> = (0..12).map(|at| format!("/bin/{at}")).collect();
        let few = names(paths[..2].iter().map(Path::new));
        assert_eq!(few, "0, 1");
        let many = names(paths.iter().map(Path::new));
        assert_eq!(many, "0, 1, 2, 3, 4, 5, 6, 7 and 4 more");
    }
}
