//! What is drawn, and nothing of what it means.

/// Boxes in groups, and arrows between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) title: String,
    pub(super) groups: Vec<Group>,
    pub(super) arrows: Vec<Arrow>,
}

/// Boxes that belong together: on one wire, or beside each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) title: String,
    pub(super) notes: Vec<String>,
    /// Each of its boxes is on it, by an end of its own.
    pub(super) is_wire: bool,
    pub(super) boxes: Vec<Item>,
}

/// A box.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Item {
    /// By which arrows find it; no two have the same.
    pub(super) key: String,
    pub(super) title: String,
    pub(super) lines: Vec<Line>,
    /// The end by which it is on the wire.
    pub(super) end: Option<String>,
    /// Something is not as it should be.
    pub(super) is_broken: bool,
}

/// A line in a box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) is_entrance: bool,
}

impl Line {
    pub(super) fn plain(text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            text,
            is_entrance: false,
        }
    }

    /// By which others come in.
    pub(super) fn entrance(text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            text,
            is_entrance: true,
        }
    }
}

/// From one box to another, by their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Arrow {
    pub(super) from: String,
    pub(super) to: String,
}
