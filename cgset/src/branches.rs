//! A tree as text: which lines lead to a name in it.

/// What stands before each name of a tree, whose depths these are from the top on: `├─`, or `└─` for the last of its group, behind
/// the lines of those groups above that go on further down.
pub(crate) fn branches(depths: &[usize]) -> Vec<String> {
    // From the end on: at which depths there is another one further down.
    let mut goes_on: Vec<bool> = Vec::new();
    let lines = depths.iter().rev().map(|&depth| {
        // What is deeper is in this one, and in none before it.
        goes_on.resize(depth + 1, false);
        let above = goes_on.get(1..depth).unwrap_or_default();
        let above = above.iter().map(|goes_on| match goes_on {
            true => "│ ",
            false => "  ",
        });
        let own = match goes_on[depth] {
            _ if depth == 0 => "",
            true => "├─",
            false => "└─",
        };
        let line: String = above.chain([own]).collect();
        goes_on[depth] = true;
        line
    });
    let mut lines: Vec<String> = lines.collect();
    lines.reverse();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_on_as_far_as_somebody_is_left() {
        assert_eq!(
            branches(&[0, 1, 2, 3, 1, 2, 2, 0, 1]),
            ["", "├─", "│ └─", "│   └─", "└─", "  ├─", "  └─", "", "└─"]
        );
        assert!(branches(&[]).is_empty());
    }
}
