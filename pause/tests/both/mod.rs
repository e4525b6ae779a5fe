//! Tests that are the same for `pause` and `pause-hold`.

/// Each test takes the file of the program.
macro_rules! of_both {
    ($($test:ident,)*) => {
        mod of_pause {
            $(#[test] fn $test() { super::$test(&$crate::common::pause()); })*
        }
        mod of_pause_hold {
            $(#[test] fn $test() { super::$test(&$crate::common::pause_hold()); })*
        }
    };
}
