//! The picture as SVG, laid out here: groups below each other, their boxes in rows, each row on its wire.
//!
//! No text is measured: the font has the same width for every character, and what does not fit is cut, with all of it as the
//! box's tooltip.

use std::collections::HashMap;
use std::fmt::Write;

use super::model::{Group, Item, Picture};

/// All in pixels, at a font of this size.
const FONT: f64 = 12.0;
const CHARACTER: f64 = 7.23;
const LINE: f64 = 16.0;
const MARGIN: f64 = 24.0;
const PADDING: f64 = 10.0;
/// Of a box: as many characters fit.
const CHARACTERS: usize = 25;
const WIDTH: f64 = CHARACTERS as f64 * CHARACTER + 2.0 * PADDING;
const GAP: f64 = 18.0;
/// From the wire down to a box, and from a row to the next.
const DROP: f64 = 30.0;
const ROW: f64 = 14.0;
/// Left of a row, where the wire comes down.
const TRUNK: f64 = 26.0;

const STYLE: &str = "
.paper { fill: #ffffff } .title { font-weight: bold } text { fill: #20262e; font: 12px 'DejaVu Sans Mono', Menlo, Consolas, monospace }
.group { fill: #f4f6f8; stroke: #c9d1d9 } .box { fill: #ffffff; stroke: #57606a } .broken { stroke: #cf222e; stroke-width: 2 }
.wire { stroke: #57606a; stroke-width: 2; fill: none } .end { font-size: 10px; fill: #57606a } .note { fill: #57606a }
.entrance { fill: #0a5fc2 } .arrow { stroke: #0a5fc2; stroke-opacity: 0.45; fill: none } .head { fill: #0a5fc2 }
@media (prefers-color-scheme: dark) { .paper { fill: #0d1117 } text { fill: #e6edf3 } .group { fill: #161b22; stroke: #30363d }
.box { fill: #0d1117; stroke: #8b949e } .broken { stroke: #ff7b72 } .wire { stroke: #8b949e } .end, .note { fill: #9da7b3 }
.entrance, .head { fill: #6cb6ff } .arrow { stroke: #6cb6ff } }
";

/// Where a box is.
#[derive(Debug, Clone, Copy)]
struct Place {
    x: f64,
    y: f64,
    height: f64,
}

/// What was drawn so far: arrows lie above groups and below boxes.
#[derive(Default)]
struct Canvas {
    groups: String,
    boxes: String,
    places: HashMap<String, Place>,
}

/// A whole document.
pub(super) fn draw(picture: &Picture) -> String {
    let most = picture.groups.iter().map(|group| group.boxes.len()).max();
    let columns = columns(most.unwrap_or_default());
    let inner = columns as f64 * (WIDTH + GAP) - GAP + TRUNK;
    let width = inner + 2.0 * (MARGIN + PADDING);
    let mut canvas = Canvas::default();
    let mut y = MARGIN + LINE;
    for group in &picture.groups {
        y = canvas.group(group, y + GAP, columns, inner);
    }
    let arrows = arrows(picture, &canvas.places);
    let height = y + MARGIN;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\">
<title>{title}</title>
<style>{STYLE}</style>
<defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path class=\"head\" d=\"M0 0L8 4L0 8z\"/></marker></defs>
<rect class=\"paper\" width=\"100%\" height=\"100%\"/>
<text class=\"title\" x=\"{MARGIN}\" y=\"{title_y}\">{title}</text>
{groups}{arrows}{boxes}</svg>\n",
        title = escaped(&picture.title),
        title_y = MARGIN + FONT / 2.0,
        groups = canvas.groups,
        boxes = canvas.boxes,
    )
}

/// A picture is about as wide as it is high, and no wider than a screen can be.
fn columns(boxes: usize) -> usize {
    let square = (boxes as f64).sqrt().ceil() as usize;
    square.clamp(1, 12).max(boxes.min(4))
}

impl Canvas {
    /// Draws a group below `top`, and says where it ends.
    fn group(&mut self, group: &Group, top: f64, columns: usize, inner: f64) -> f64 {
        let left = MARGIN + PADDING;
        let mut y = top + PADDING + FONT;
        text(&mut self.boxes, "title", left, y, &group.title);
        for note in &group.notes {
            y += LINE;
            text(&mut self.boxes, "note", left, y, note);
        }
        let trunk = (left + TRUNK / 3.0, y + LINE / 2.0);
        let mut last_wire = trunk.1;
        for row in group.boxes.chunks(columns) {
            let wire = y + ROW + LINE / 2.0;
            let drop = if group.is_wire { DROP } else { 0.0 };
            let height = row.iter().map(box_height).fold(0.0, f64::max);
            for (at, item) in row.iter().enumerate() {
                let x = left + TRUNK + at as f64 * (WIDTH + GAP);
                let place = Place {
                    x,
                    y: wire + drop,
                    height: box_height(item),
                };
                if group.is_wire {
                    self.end(item, place, wire);
                }
                self.item(item, place);
            }
            if group.is_wire {
                let right = left + TRUNK + (row.len() - 1) as f64 * (WIDTH + GAP) + WIDTH / 2.0;
                line(&mut self.boxes, (trunk.0, wire), (right, wire));
                last_wire = wire;
            }
            y = wire + drop + height;
        }
        if group.is_wire && !group.boxes.is_empty() {
            line(&mut self.boxes, trunk, (trunk.0, last_wire));
        }
        let bottom = y + PADDING;
        let (width, height) = (inner + 2.0 * PADDING, bottom - top);
        let _ = writeln!(
            self.groups,
            "<rect class=\"group\" x=\"{MARGIN}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"8\"/>"
        );
        bottom
    }

    /// From the wire down to the box.
    fn end(&mut self, item: &Item, place: Place, wire: f64) {
        let x = place.x + WIDTH / 2.0;
        line(&mut self.boxes, (x, wire), (x, place.y));
        if let Some(end) = &item.end {
            text(&mut self.boxes, "end", x + 5.0, place.y - 6.0, end);
        }
    }

    fn item(&mut self, item: &Item, place: Place) {
        let Place { x, y, height } = place;
        let broken = if item.is_broken { " broken" } else { "" };
        let whole: Vec<&str> = std::iter::once(item.title.as_str())
            .chain(item.lines.iter().map(|line| line.text.as_str()))
            .collect();
        let _ = writeln!(
            self.boxes,
            "<g><title>{}</title><rect class=\"box{broken}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{WIDTH:.1}\" height=\"{height:.1}\" rx=\"5\"/>",
            escaped(&whole.join("\n"))
        );
        let mut at = y + PADDING + FONT - 3.0;
        text(&mut self.boxes, "title", x + PADDING, at, &cut(&item.title));
        for line in &item.lines {
            at += LINE;
            let class = if line.is_entrance { "entrance" } else { "note" };
            text(&mut self.boxes, class, x + PADDING, at, &cut(&line.text));
        }
        self.boxes.push_str("</g>\n");
        self.places.insert(item.key.clone(), place);
    }
}

fn box_height(item: &Item) -> f64 {
    2.0 * PADDING + FONT - 2.0 + item.lines.len() as f64 * LINE
}

fn text(to: &mut String, class: &str, x: f64, y: f64, text: &str) {
    let text = escaped(text);
    let _ = writeln!(
        to,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"
    );
}

fn line(to: &mut String, (x, y): (f64, f64), (right, bottom): (f64, f64)) {
    let _ = writeln!(
        to,
        "<path class=\"wire\" d=\"M{x:.1} {y:.1}L{right:.1} {bottom:.1}\"/>"
    );
}

/// From the bottom of one box to the top of the other, in a curve.
fn arrows(picture: &Picture, places: &HashMap<String, Place>) -> String {
    let mut drawn = String::new();
    for arrow in &picture.arrows {
        let (Some(from), Some(to)) = (places.get(&arrow.from), places.get(&arrow.to)) else {
            continue;
        };
        let (x, y) = (from.x + WIDTH / 2.0, from.y + from.height);
        // beside the wire's end, which comes down in the middle
        let (right, bottom) = (to.x + WIDTH / 4.0, to.y);
        let bend = ((bottom - y) / 2.0).max(20.0);
        let _ = writeln!(
            drawn,
            "<path class=\"arrow\" marker-end=\"url(#head)\" d=\"M{x:.1} {y:.1}C{x:.1} {:.1} {right:.1} {:.1} {right:.1} {bottom:.1}\"/>",
            y + bend,
            bottom - bend
        );
    }
    drawn
}

/// As much as fits in a box.
fn cut(text: &str) -> String {
    match text.char_indices().nth(CHARACTERS) {
        None => text.to_owned(),
        Some(_) => text.chars().take(CHARACTERS - 1).chain(['~']).collect(),
    }
}

/// Whatever it is called, it is text: what XML cannot have becomes a question mark.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\n' | '\t' => safe.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => safe.push('?'),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::model::{Arrow, Line};

    fn picture(boxes: usize) -> Picture {
        let item = |at: usize| Item {
            key: at.to_string(),
            title: format!("<pod {at}> & \"co\"\u{1}"),
            lines: vec![Line::plain("10.0.0.1"), Line::entrance("x".repeat(40))],
            end: Some("veth0".into()),
            is_broken: at == 0,
        };
        Picture {
            title: "a & b".into(),
            groups: vec![Group {
                title: "wire".into(),
                notes: vec!["note".into()],
                is_wire: true,
                boxes: (0..boxes).map(item).collect(),
            }],
            arrows: vec![Arrow {
                from: "0".into(),
                to: "1".into(),
            }],
        }
    }

    #[test]
    fn names_are_text_and_what_does_not_fit_is_cut() {
        let text = draw(&picture(2));
        assert!(
            text.contains("&lt;pod 0&gt; &amp; &quot;co&quot;?"),
            "{text}"
        );
        assert!(text.contains(&format!(">{}~<", "x".repeat(24))), "{text}");
        assert!(text.contains("class=\"box broken\""));
        assert_eq!(text.matches("marker-end").count(), 1);
        assert!(!text.contains("<pod"));
    }

    #[test]
    fn no_two_boxes_are_at_the_same_place() {
        let mut canvas = Canvas::default();
        let group = &picture(50).groups[0];
        canvas.group(group, 0.0, 7, 1000.0);
        let mut places: Vec<Place> = canvas.places.into_values().collect();
        places.sort_by(|one, other| (one.y, one.x).partial_cmp(&(other.y, other.x)).unwrap());
        assert_eq!(places.len(), 50);
        for pair in places.windows(2) {
            let beside = pair[1].x >= pair[0].x + WIDTH;
            let below = pair[1].y >= pair[0].y + pair[0].height;
            assert!(beside || below, "{pair:?}");
        }
    }

    #[test]
    fn few_boxes_are_in_a_row_and_many_in_a_block() {
        assert_eq!([0, 1, 3, 9, 200, 10_000].map(columns), [1, 1, 3, 4, 12, 12]);
    }
}
