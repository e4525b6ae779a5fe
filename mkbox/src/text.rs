//! Names as people are shown them: a name may hold anything, a line is a line.

use std::path::Path;

/// Characters of a path in a message: the beginning tells which one it is.
const MOST: usize = 400;

/// `c`, or its escape when it would break a line.
pub(crate) fn visible(c: char) -> Vec<char> {
    if c.is_control() {
        c.escape_default().collect()
    } else {
        vec![c]
    }
}

/// A path on one line, and not much longer than a line; a path may have 4095 bytes, and an archive has longer ones.
pub(crate) fn short(path: &Path) -> String {
    let text: String = path.to_string_lossy().chars().flat_map(visible).collect();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}... ({} bytes)", &text[..end], path.as_os_str().len()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_line_and_not_too_long() {
        assert_eq!(short(Path::new("/a\nb")), "/a\\nb");
        let long = short(Path::new(&"x".repeat(5000)));
        assert!(long.len() < MOST + 30 && long.ends_with("... (5000 bytes)"));
    }
}
