//! What a misspelt key may have been meant to be.

use crate::keys::KEYS;

/// Words that could be meant, the most likely one first.
pub(crate) fn nearest(key: &str) -> Vec<&'static str> {
    /// More help nobody.
    const OFFERED: usize = 3;
    let allowed = (key.len() / 4).clamp(1, 3);
    let words = KEYS.iter().map(|(word, ..)| (distance(key, word), *word));
    let mut near: Vec<_> = words.filter(|(distance, _)| *distance <= allowed).collect();
    near.sort_by_key(|(distance, _)| *distance);
    near.truncate(OFFERED);
    near.into_iter().map(|(_, word)| word).collect()
}

/// How many letters have to be changed, put in or left out (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    if a.len().abs_diff(b.len()) > 3 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
