//! `$(NAME)` in commands, arguments and the environment, as Kubernetes has it.

/// `text` with each `$(NAME)` that `value` knows replaced by it.
///
/// One that it does not know stays as it is written, and `$$` is a dollar that begins nothing: `$$(NAME)` becomes `$(NAME)`.
pub(crate) fn expand(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            expanded.push('$');
            rest = tail;
            continue;
        }
        let name = after
            .strip_prefix('(')
            .and_then(|open| open.split_once(')'));
        match name {
            Some((name, tail)) => {
                match value(name) {
                    Some(value) => expanded.push_str(&value),
                    None => {
                        expanded.push_str("$(");
                        expanded.push_str(name);
                        expanded.push(')');
                    }
                }
                rest = tail;
            }
            None => {
                expanded.push('$');
                rest = after;
            }
        }
    }
    expanded + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_replaced_and_what_is_unknown_stays() {
        let value = |name: &str| match name {
            "A" => Some("1".to_owned()),
            "B" => Some("$(A)".to_owned()),
            _ => None,
        };
        for (text, expanded) in [
            ("$(A)", "1"),
            ("x$(A)y$(A)", "x1y1"),
            ("$(B)", "$(A)"),
            ("$(C)", "$(C)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$$", "$"),
            ("$", "$"),
            ("$A ${A}", "$A ${A}"),
            ("$(A", "$(A"),
            ("$()", "$()"),
            ("$($(A))", "$($(A))"),
            ("$(A)$", "1$"),
            ("\u{20ac}$(A)\u{20ac}", "\u{20ac}1\u{20ac}"),
            ("$\u{20ac}", "$\u{20ac}"),
        ] {
            assert_eq!(expand(text, value), expanded, "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_without_a_dollar_is_untouched(text in "[^$]{0,40}") {
            prop_assert_eq!(expand(&text, |_| Some("x".into())), text);
        }

        #[test]
        fn what_is_escaped_comes_out_as_it_was(text in ".{0,40}") {
            let escaped = text.replace('$', "$$");
            prop_assert_eq!(expand(&escaped, |_| Some("x".into())), text);
        }

        #[test]
        fn with_no_names_only_the_escape_changes(text in "[a-c$()]{0,20}") {
            let expanded = expand(&text, |_| None);
            prop_assert_eq!(expanded.replace('$', ""), text.replace('$', ""));
            if !text.contains("$$") {
                prop_assert_eq!(expanded, text);
            }
        }
    }
}
