//! SHA-256 of contents.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

use crate::manifest::hex;

/// In hexadecimal, of everything up to the end of `reader`.
///
/// # Errors
/// What read(2) answers.
pub(crate) fn sha256(mut reader: impl Read) -> io::Result<String> {
    let mut sum = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(hex(&sum.finalize())),
            bytes => sum.update(&buffer[..bytes]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_nothing_is_known() {
        assert_eq!(
            sha256(io::empty()).unwrap(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
