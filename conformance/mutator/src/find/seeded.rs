//! What the switches of planted mistakes make constant: they are always off in this build.

use syn::{BinOp, Expr, Lit, Pat, UnOp};

/// The value of a condition that depends on planted mistakes alone.
pub(super) fn known(expr: &Expr) -> Option<bool> {
    match expr {
        Expr::Macro(it) if it.mac.path.is_ident("seeded") => Some(false),
        Expr::Paren(it) => known(&it.expr),
        Expr::Unary(it) if matches!(it.op, UnOp::Not(_)) => known(&it.expr).map(|value| !value),
        Expr::Binary(it) => {
            let (left, right) = (known(&it.left), known(&it.right));
            match it.op {
                BinOp::And(_) if left == Some(false) || right == Some(false) => Some(false),
                BinOp::And(_) if left == Some(true) && right == Some(true) => Some(true),
                BinOp::Or(_) if left == Some(true) || right == Some(true) => Some(true),
                BinOp::Or(_) if left == Some(false) && right == Some(false) => Some(false),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Whether a pattern is this truth value.
pub(super) fn is_pattern(pattern: &Pat, value: bool) -> bool {
    matches!(pattern, Pat::Lit(it) if matches!(&it.lit, Lit::Bool(bool) if bool.value == value))
}
