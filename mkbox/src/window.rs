//! A file that may be large and hostile, of which only a few pieces are read.

use std::cell::OnceCell;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use object::read::ReadRef;

/// The few pieces of a file that are looked at: its first page, and whatever else is asked for, by pread(2).
#[derive(Debug)]
pub(crate) struct Window<'file> {
    file: &'file File,
    pub(crate) bytes: u64,
    /// Not in here: a window is moved about.
    page: Box<Page>,
    in_page: usize,
    /// Offset and contents. Program headers beyond the page, the dynamic section, the names and the notes: no file needs
    /// more.
    pieces: [OnceCell<(u64, Vec<u8>)>; 10],
}

/// Aligned as the headers in it are.
#[derive(Debug)]
#[repr(align(16))]
struct Page([u8; 4096]);

impl<'file> Window<'file> {
    pub(crate) fn new(file: &'file File, bytes: u64) -> Option<Self> {
        let mut page = Box::new(Page([0; 4096]));
        let in_page = file.read_at(&mut page.0, 0).ok()?;
        Some(Self {
            file,
            bytes,
            page,
            in_page,
            pieces: Default::default(),
        })
    }

    pub(crate) fn head(&self) -> &[u8] {
        &self.page.0[..self.in_page]
    }

    /// `range` of the file, if it is inside.
    fn piece(&self, range: Range<u64>) -> Option<&[u8]> {
        let within = |at: u64, bytes: &[u8]| {
            let begin = usize::try_from(range.start.checked_sub(at)?).ok()?;
            let end = usize::try_from(range.end.checked_sub(at)?).ok()?;
            (end <= bytes.len()).then_some(begin..end)
        };
        if let Some(found) = within(0, self.head()) {
            return self.head().get(found);
        }
        if range.end > self.bytes {
            return None;
        }
        for piece in &self.pieces {
            let (at, bytes) = match piece.get() {
                Some(piece) => piece,
                None => {
                    let mut bytes = vec![0; usize::try_from(range.end - range.start).ok()?];
                    self.file.read_exact_at(&mut bytes, range.start).ok()?;
                    piece.get_or_init(|| (range.start, bytes))
                }
            };
            if let Some(found) = within(*at, bytes) {
                return bytes.get(found);
            }
        }
        None
    }
}

impl<'window> ReadRef<'window> for &'window Window<'_> {
    fn len(self) -> Result<u64, ()> {
        Ok(self.bytes)
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'window [u8], ()> {
        let end = offset.checked_add(size).ok_or(())?;
        self.piece(offset..end).ok_or(())
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'window [u8], ()> {
        let bytes = self.piece(range).ok_or(())?;
        let end = bytes.iter().position(|&byte| byte == delimiter).ok_or(())?;
        Ok(&bytes[..end])
    }
}
