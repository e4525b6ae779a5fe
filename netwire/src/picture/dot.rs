//! The picture in the language of graphviz: `dot -Tsvg`, `dot -Tpng`.

use std::fmt::Write;

use super::model::{Item, Picture};

/// A whole graph.
pub(super) fn draw(picture: &Picture) -> String {
    let mut text = format!(
        "graph {{\n  label={}; labelloc=t; rankdir=TB; node [shape=box, fontname=monospace]; edge [fontname=monospace, fontsize=9];\n",
        quoted(&[&picture.title])
    );
    for (at, group) in picture.groups.iter().enumerate() {
        let mut label = vec![group.title.as_str()];
        label.extend(group.notes.iter().map(String::as_str));
        let _ = writeln!(text, "  subgraph cluster_{at} {{");
        if group.is_wire {
            let shape = "shape=box3d";
            let _ = writeln!(text, "    wire_{at} [{shape}, label={}];", quoted(&label));
        } else {
            let _ = writeln!(text, "    label={};", quoted(&label));
        }
        for item in &group.boxes {
            let _ = writeln!(text, "    {};", node(item));
            if group.is_wire {
                let end = item.end.as_deref().unwrap_or_default();
                let (key, end) = (quoted(&[&item.key]), quoted(&[end]));
                let _ = writeln!(text, "    wire_{at} -- {key} [label={end}];");
            }
        }
        text.push_str("  }\n");
    }
    for arrow in &picture.arrows {
        let (from, to) = (quoted(&[&arrow.from]), quoted(&[&arrow.to]));
        let _ = writeln!(text, "  {from} -- {to} [dir=forward, color=blue];");
    }
    text + "}\n"
}

fn node(item: &Item) -> String {
    let mut lines = vec![item.title.as_str()];
    lines.extend(item.lines.iter().map(|line| line.text.as_str()));
    let color = if item.is_broken { ", color=red" } else { "" };
    let (key, label) = (quoted(&[&item.key]), quoted(&lines));
    format!("{key} [label={label}{color}]")
}

/// A string of several lines, in which nothing means anything.
fn quoted(lines: &[&str]) -> String {
    let safe = lines.iter().map(|line| {
        let plain = line.chars().map(|c| if c.is_control() { '?' } else { c });
        let plain: String = plain.collect();
        plain.replace('\\', "\\\\").replace('"', "\\\"")
    });
    format!("\"{}\"", safe.collect::<Vec<_>>().join("\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::model::{Arrow, Group, Line};

    #[test]
    fn names_are_text() {
        assert_eq!(quoted(&["a\"b\\", "c\nd"]), r#""a\"b\\\nc?d""#);
        let picture = Picture {
            title: "t".into(),
            groups: vec![Group {
                title: "br0".into(),
                is_wire: true,
                boxes: vec![Item {
                    key: "pod foo".into(),
                    title: "foo".into(),
                    lines: vec![Line::plain("10.0.0.2")],
                    end: Some("veth1".into()),
                    is_broken: true,
                }],
                notes: Vec::new(),
            }],
            arrows: vec![Arrow {
                from: "service".into(),
                to: "pod foo".into(),
            }],
        };
        let text = draw(&picture);
        for line in [
            "    wire_0 [shape=box3d, label=\"br0\"];",
            "    \"pod foo\" [label=\"foo\\n10.0.0.2\", color=red];",
            "    wire_0 -- \"pod foo\" [label=\"veth1\"];",
            "  \"service\" -- \"pod foo\" [dir=forward, color=blue];",
        ] {
            assert!(text.lines().any(|is| is == line), "{line} in\n{text}");
        }
    }
}
