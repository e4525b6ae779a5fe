//! The directory of a pool, and the lock in it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};

use nix::errno::Errno;
use sys::{Call, SysError, ToErrno};

use super::{LOCK, Pool, UNNAMED, gone};
use crate::error::Error;

impl Pool {
    /// The lock of a directory that is made if it is missing and ours.
    pub(super) fn lock_or_make(&self) -> Result<File, Error> {
        let mut attempts = 0;
        loop {
            if !self.shared {
                let made = DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(&self.dir);
                attempts += 1;
                match made {
                    // The last lease has just taken the directory above along, between the making of the two.
                    Err(error) if error.to_errno() == Errno::ENOENT && attempts < 1000 => continue,
                    made => made.call(|| format!("mkdir({})", self.dir.display()))?,
                }
            }
            match self.lock()? {
                Some(lock) => return Ok(lock),
                // The last lease has just taken its directory along.
                None if !self.shared => {}
                None => {
                    let error =
                        SysError::new(format!("open({})", self.dir.display()), Errno::ENOENT);
                    return Err(error
                        .hint("a pool shared with others is not made here: mkdir it")
                        .into());
                }
            }
        }
    }

    /// The lock; None: there is no directory.
    pub(super) fn lock(&self) -> Result<Option<File>, Error> {
        let path = self.dir.join(LOCK);
        let call = |call: &str| format!("{call}({})", path.display());
        loop {
            let open = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(libc::O_NOFOLLOW)
                .open(&path);
            let lock = match open {
                Ok(lock) => lock,
                Err(error) if error.to_errno() == Errno::ENOENT => return Ok(None),
                Err(error) => return Err(SysError::new(call("open"), error).into()),
            };
            lock.lock().call(|| call("flock"))?;
            // Who had it before us may have removed it, and another made it anew.
            let held = lock.metadata().call(|| call("fstat"))?;
            match fs::symlink_metadata(&path) {
                Ok(found) if (found.dev(), found.ino()) == (held.dev(), held.ino()) => {
                    return Ok(Some(lock));
                }
                _ => {}
            }
        }
    }

    /// Removes our own directory, the lock last, and the one above if it was the last network.
    ///
    /// Who waits for the lock meanwhile finds out that it is gone. A directory that holds something again is kept.
    pub(super) fn remove(&self) -> Result<(), Error> {
        for path in [
            self.dir.join(UNNAMED),
            self.last_reserved(),
            self.dir.join(LOCK),
        ] {
            gone(fs::remove_file(&path)).call(|| format!("unlink({})", path.display()))?;
        }
        self.remove_directories()
    }

    pub(super) fn remove_directories(&self) -> Result<(), Error> {
        for dir in [Some(&*self.dir), self.dir.parent()].into_iter().flatten() {
            match fs::remove_dir(dir).map_err(|error| error.to_errno()) {
                Ok(()) | Err(Errno::ENOENT | Errno::ENOTEMPTY) => {}
                Err(errno) => {
                    return Err(SysError::new(format!("rmdir({})", dir.display()), errno).into());
                }
            }
        }
        Ok(())
    }
}
