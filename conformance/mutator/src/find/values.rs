//! Mutants of statements and of the last expression of a function or branch.

use super::Finder;
use crate::mutant::{Operator, Shape};
use crate::plain::Kind;
use syn::spanned::Spanned;
use syn::{Block, Expr, Stmt};

impl Finder<'_> {
    /// The values that a block of this kind can end with.
    pub(super) fn values_of_block(&mut self, block: &Block, kind: &Kind) {
        if let Some(Stmt::Expr(last, None)) = block.stmts.last() {
            self.values_of(last, kind);
        }
    }

    /// The values that an expression of this kind can end with.
    pub(super) fn values_of(&mut self, expr: &Expr, kind: &Kind) {
        match expr {
            Expr::Paren(it) => self.values_of(&it.expr, kind),
            Expr::Block(it) => self.values_of_block(&it.block, kind),
            Expr::If(it) => {
                self.values_of_block(&it.then_branch, kind);
                if let Some((_, otherwise)) = &it.else_branch {
                    self.values_of(otherwise, kind);
                }
            }
            Expr::Match(it) => {
                for arm in &it.arms {
                    self.values_of(&arm.body, kind);
                }
            }
            Expr::Lit(_)
            | Expr::ForLoop(_)
            | Expr::While(_)
            | Expr::Loop(_)
            | Expr::Return(_)
            | Expr::Break(_)
            | Expr::Continue(_)
            | Expr::Macro(_) => {}
            // The constant is changed where it stands.
            Expr::Call(it) if matches!(it.args.first(), Some(Expr::Lit(_))) => {}
            _ if self.is_for_observers(expr) => {}
            _ => {
                for value in kind.values() {
                    self.replace(expr, Operator::Value, value);
                }
            }
        }
    }

    /// A statement that is left out; `alone` if it is all that its block holds.
    pub(super) fn leave_out(&mut self, statement: &Stmt, expr: &Expr, alone: bool) {
        let can_go = match expr {
            Expr::MethodCall(_) | Expr::Call(_) | Expr::Assign(_) | Expr::Try(_) => true,
            Expr::Binary(it) => is_assignment(&it.op),
            // A jump alone in its branch: the condition of the branch is made false anyway.
            Expr::Return(_) | Expr::Break(_) | Expr::Continue(_) => !alone,
            _ => false,
        };
        if can_go && !self.is_for_observers(expr) {
            let (range, before) = (
                statement.span().byte_range(),
                super::one_line(self.of(statement)),
            );
            let after = "nothing".to_owned();
            self.push(range, Operator::Statement, before, after, Shape::Statement);
        }
    }

    /// Whether an expression only tells an observer (of the specification: which rule it applies, or what a recorder sees), or checks
    /// invariants in debug builds.
    pub(super) fn is_for_observers(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Try(it) => self.is_for_observers(&it.expr),
            Expr::MethodCall(it) => {
                let name = it.method.to_string();
                let tells = |what: &str| {
                    let told = it.args.first();
                    told.is_some_and(|it| self.of(it).starts_with(what))
                };
                name == "check_invariants"
                    || (name == "note" && tells("Rule::"))
                    || (name == "see" && tells("Point::"))
                    || (name.starts_with("report")
                        && self.of(&it.receiver).trim().ends_with("watch"))
            }
            _ => false,
        }
    }
}

/// Whether an operator is a compound assignment.
pub(super) fn is_assignment(op: &syn::BinOp) -> bool {
    use syn::BinOp::*;
    matches!(
        op,
        AddAssign(_)
            | SubAssign(_)
            | MulAssign(_)
            | DivAssign(_)
            | RemAssign(_)
            | BitXorAssign(_)
            | BitAndAssign(_)
            | BitOrAssign(_)
            | ShlAssign(_)
            | ShrAssign(_)
    )
}
