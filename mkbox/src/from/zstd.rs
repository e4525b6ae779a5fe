//! Zstandard, RFC 8878: frames behind one another, as zstd(1) writes them; by the crate `ruzstd`, which reads one.

use std::io::{self, BufRead, ErrorKind, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// What every frame begins with.
pub(super) const MAGIC: &[u8] = b"\x28\xb5\x2f\xfd";

/// What is compressed in all frames of `source`. Those to be skipped are, and sums are checked.
pub(super) struct Frames<R> {
    source: R,
    decoder: FrameDecoder,
    is_begun: bool,
}

impl<R: BufRead> Frames<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            decoder: FrameDecoder::new(),
            is_begun: false,
        }
    }

    /// Begins the next frame; false when there is none.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            let skipped = match self.decoder.reset(&mut self.source) {
                Ok(()) => {
                    self.is_begun = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => u64::from(length),
                Err(error) => return Err(io::Error::other(error)),
            };
            let mut frame = self.source.by_ref().take(skipped);
            if io::copy(&mut frame, &mut io::sink())? < skipped {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(false)
    }

    fn end(&mut self) -> io::Result<()> {
        self.is_begun = false;
        let wanted = self.decoder.get_checksum_from_data();
        if wanted.is_some() && wanted != self.decoder.get_calculated_checksum() {
            return Err(io::Error::other("the checksum of a zstd frame is another"));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.is_begun || self.begin()? {
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let block = BlockDecodingStrategy::UptoBlocks(1);
                let decoded = self.decoder.decode_blocks(&mut self.source, block);
                decoded.map_err(io::Error::other)?;
            }
            let read = self.decoder.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.end()?;
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of one raw block: no length, a window, the header of a last block of four bytes, and half of their XXH64.
    fn frame() -> Vec<u8> {
        let parts = [
            MAGIC,
            &[0x04, 0x58, 0x21, 0, 0],
            b"zstd",
            &[0x45, 0x2f, 0xa4, 0x1d],
        ];
        parts.concat()
    }

    fn read(bytes: &[u8]) -> io::Result<String> {
        let mut text = String::new();
        Frames::new(bytes).read_to_string(&mut text).map(|_| text)
    }

    #[test]
    fn frames_follow_each_other_and_some_are_skipped() {
        let skipped = b"\x53\x2a\x4d\x18\x03\0\0\0abc".to_vec();
        assert_eq!(read(&frame()).unwrap(), "zstd");
        let all = [&skipped, &frame(), &frame(), &skipped, &frame()[..]].concat();
        assert_eq!(read(&all).unwrap(), "zstdzstdzstd");
        assert_eq!(read(b"").unwrap(), "");
        assert!(read(&skipped[..9]).is_err());
    }

    #[test]
    fn what_is_cut_or_changed_is_an_error_or_the_same_and_never_a_panic() {
        let whole = frame();
        for cut in 1..whole.len() {
            assert!(read(&whole[..cut]).is_err(), "cut at {cut}");
        }
        let mut other = whole.clone();
        other[10] = b'Z';
        let error = read(&other).unwrap_err().to_string();
        assert_eq!(error, "the checksum of a zstd frame is another");
        for at in 0..whole.len() {
            for value in 0..=255 {
                let mut broken = whole.clone();
                broken[at] = value;
                let _ = read(&broken);
            }
        }
    }
}
