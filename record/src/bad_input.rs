//! Records, and what the kernel says of processes, as anybody could have changed them.

use fuzz::Target;

use crate::object::Record;
use crate::{Namespace, process};

/// Everything that is ever read of a record by its shape.
fn look_at(record: &Record) {
    let _ = (
        record.id(),
        record.failed(),
        record.namespaces(),
        record.hostname(),
    );
    let _ = (
        record.cgroups_path(),
        record.resources().is_ok(),
        record.root(),
        record.mounts(),
    );
    let _ = (record.groups(), record.holder().is_ok());
    for kind in Namespace::ALL {
        let _ = (record.namespace_path(kind), record.namespace_inode(kind));
    }
}

#[test]
fn a_record_is_read_or_refused() {
    Target::new("record").cases(4000).run(|input| {
        let Ok(records) = Record::parse_all(input) else {
            return;
        };
        for mut record in records {
            look_at(&record);
            let line = record.to_line();
            // What is handed on is the same record, on one line.
            assert_eq!(
                Record::parse(line.as_bytes())
                    .map(|again| again.to_line())
                    .ok(),
                Some(line.clone())
            );
            assert_eq!(line.find('\n'), Some(line.len() - 1));
            for kind in Namespace::ALL {
                let _ = record.set_namespace(kind, None);
            }
            let _ = record.set_at(&["linux", "resources", "memory"], 7.into());
            let _ = record.remove_at(&["linux", "resources", "memory"]);
            look_at(&record);
        }
    });
}

#[test]
fn what_proc_says_of_a_process_is_read_or_refused() {
    Target::new("passwd").cases(4000).run(|input| {
        let text = String::from_utf8_lossy(input);
        let _ = (process::parse_stat(&text), text.parse::<crate::Id>());
        for line in text.lines() {
            let _ = (
                process::parse_stat(line),
                line.parse::<crate::Id>(),
                Namespace::from_oci(line),
            );
        }
    });
}
