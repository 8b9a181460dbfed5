//! Changes of expressions.

use super::Finder;
use super::values::is_assignment;
use crate::mutant::{Operator, Shape};
use crate::plain::Kind;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{
    Arm, BinOp, Expr, ExprBinary, ExprIf, ExprMatch, ExprMethodCall, ExprStruct, Lit, Pat, UnOp,
};

impl Finder<'_> {
    pub(super) fn expression(&mut self, expr: &Expr) {
        // What observers are told is not compared.
        if self.is_for_observers(expr) {
            return;
        }
        match expr {
            Expr::Binary(it) => self.binary(it),
            Expr::Unary(it) => {
                if !matches!(it.op, UnOp::Deref(_)) {
                    let operand = self.of(&it.expr).to_owned();
                    self.replace(it, Operator::Unary, format!("({operand})"));
                }
                self.visit_expr(&it.expr);
            }
            Expr::Lit(it) => self.literal(expr, &it.lit),
            Expr::If(it) => self.branch(it),
            Expr::While(it) => {
                // Always true would be a loop without end, in whatever it says.
                self.condition(&it.cond, &["false"]);
                self.visit_expr(&it.cond);
                self.values_of_block(&it.body, &Kind::Unit);
                self.visit_block(&it.body);
            }
            Expr::ForLoop(it) => {
                self.visit_expr(&it.expr);
                self.values_of_block(&it.body, &Kind::Unit);
                self.visit_block(&it.body);
            }
            Expr::Match(it) => self.choice(it),
            Expr::MethodCall(it) => self.method(it),
            Expr::Struct(it) => self.structure(it),
            Expr::Call(it) => {
                if matches!(&*it.func, Expr::Path(path) if path.path.is_ident("Some")) {
                    self.replace(it, Operator::Constant, "None".to_owned());
                }
                visit::visit_expr_call(self, it);
            }
            Expr::Return(it) => {
                if let (Some(value), Some(kind)) = (&it.expr, self.returns.last().cloned()) {
                    self.values_of(value, &kind);
                }
                visit::visit_expr_return(self, it);
            }
            Expr::Closure(it) => {
                self.returns.push(Kind::Opaque);
                self.visit_expr(&it.body);
                self.returns.pop();
            }
            Expr::Repeat(it) => self.visit_expr(&it.expr),
            Expr::Const(_) => {}
            _ => visit::visit_expr(self, expr),
        }
    }

    fn binary(&mut self, it: &ExprBinary) {
        use Operator::{Arithmetic, Assignment, Comparison, Logic};
        let pattern = holds_pattern(&it.left) || holds_pattern(&it.right);
        let (operator, others): (Operator, &[&str]) = match it.op {
            BinOp::Lt(_) => (Comparison, &["<=", "==", ">"]),
            BinOp::Le(_) => (Comparison, &["<", "==", ">"]),
            BinOp::Gt(_) => (Comparison, &[">=", "==", "<"]),
            BinOp::Ge(_) => (Comparison, &[">", "==", "<"]),
            BinOp::Eq(_) => (Comparison, &["!="]),
            BinOp::Ne(_) => (Comparison, &["=="]),
            BinOp::Add(_) => (Arithmetic, &["-", "*"]),
            BinOp::Sub(_) => (Arithmetic, &["+", "/"]),
            BinOp::Mul(_) => (Arithmetic, &["+", "/"]),
            BinOp::Div(_) => (Arithmetic, &["*", "%"]),
            BinOp::Rem(_) => (Arithmetic, &["*", "/"]),
            BinOp::And(_) => (Logic, &["||"]),
            BinOp::Or(_) => (Logic, &["&&"]),
            BinOp::BitAnd(_) => (Arithmetic, &["|"]),
            BinOp::BitOr(_) => (Arithmetic, &["&"]),
            BinOp::BitXor(_) => (Arithmetic, &["&", "|"]),
            BinOp::Shl(_) => (Arithmetic, &[">>"]),
            BinOp::Shr(_) => (Arithmetic, &["<<"]),
            BinOp::AddAssign(_) => (Assignment, &["-=", "*="]),
            BinOp::SubAssign(_) => (Assignment, &["+=", "/="]),
            BinOp::MulAssign(_) => (Assignment, &["+=", "/="]),
            BinOp::BitAndAssign(_) => (Assignment, &["|="]),
            BinOp::BitOrAssign(_) => (Assignment, &["&="]),
            _ => (Arithmetic, &[]),
        };
        if !(pattern && operator == Logic) {
            let (left, right) = (self.of(&it.left).to_owned(), self.of(&it.right).to_owned());
            for other in others {
                self.replace(it, operator, format!("{left} {other} {right}"));
            }
        }
        if operator == Logic {
            // The other value would decide the whole expression, which is changed where it stands.
            let neutral = match it.op {
                BinOp::And(_) => "true",
                _ => "false",
            };
            for operand in [&it.left, &it.right] {
                let joined = matches!(&**operand, Expr::Binary(inner)
                    if std::mem::discriminant(&inner.op) == std::mem::discriminant(&it.op));
                if !joined {
                    self.condition(operand, &[neutral]);
                }
            }
        }
        match is_assignment(&it.op) {
            true => visit::visit_expr(self, &it.left),
            false => self.visit_expr(&it.left),
        }
        self.visit_expr(&it.right);
    }

    /// A condition, which becomes constant, and is negated unless a change of its operator does so.
    fn condition(&mut self, condition: &Expr, values: &[&str]) {
        if holds_pattern(condition) {
            return;
        }
        for value in values {
            self.replace(condition, Operator::Condition, (*value).to_owned());
        }
        let negated_elsewhere = match condition {
            Expr::Unary(it) => matches!(it.op, UnOp::Not(_)),
            Expr::Binary(it) => !matches!(it.op, BinOp::And(_) | BinOp::Or(_)),
            Expr::Lit(_) => true,
            _ => false,
        };
        if !negated_elsewhere && values.len() > 1 {
            let text = self.of(condition).to_owned();
            self.replace(condition, Operator::Condition, format!("!({text})"));
        }
    }

    fn branch(&mut self, it: &ExprIf) {
        self.condition(&it.cond, &["true", "false"]);
        self.chained(&it.cond);
        self.visit_expr(&it.cond);
        self.visit_block(&it.then_branch);
        if let Some((_, otherwise)) = &it.else_branch {
            self.visit_expr(otherwise);
        }
    }

    /// `if let … && condition`: the conditions of the chain decide as the whole of another `if` does.
    fn chained(&mut self, condition: &Expr) {
        if let Expr::Binary(it) = condition
            && holds_pattern(condition)
            && matches!(it.op, BinOp::And(_))
        {
            for operand in [&it.left, &it.right] {
                self.chained(operand);
                self.condition(operand, &["true", "false"]);
            }
        }
    }

    fn choice(&mut self, it: &ExprMatch) {
        self.visit_expr(&it.expr);
        let rest = it
            .arms
            .iter()
            .rposition(|arm| arm.guard.is_none() && takes_all(&arm.pat));
        for (at, arm) in it.arms.iter().enumerate() {
            if rest.is_some_and(|rest| at < rest) {
                self.arm(arm);
            }
            if let Some((_, guard)) = &arm.guard {
                // Always false is an arm that is never taken.
                self.condition(guard, &["true"]);
                self.visit_expr(guard);
            }
            self.visit_expr(&arm.body);
        }
    }

    fn arm(&mut self, arm: &Arm) {
        let before = super::one_line(&format!("{} =>", self.of(&arm.pat)));
        let after = "never".to_owned();
        let (range, shape) = match &arm.guard {
            Some((_, guard)) => (guard.span().byte_range(), Shape::GuardedArm),
            None => {
                let end = arm.pat.span().byte_range().end;
                (end..end, Shape::Arm)
            }
        };
        self.push(range, Operator::Arm, before, after, shape);
    }

    fn method(&mut self, it: &ExprMethodCall) {
        let receiver = self.of(&it.receiver).to_owned();
        let name = it.method.to_string();
        let other = match name.as_str() {
            "min" => Some("max"),
            "max" => Some("min"),
            "any" => Some("all"),
            "all" => Some("any"),
            "is_some" => Some("is_none"),
            "is_none" => Some("is_some"),
            "is_ok" => Some("is_err"),
            "is_err" => Some("is_ok"),
            "first" => Some("last"),
            "last" => Some("first"),
            _ => None,
        };
        if let Some(other) = other {
            let end = it.method.span().byte_range().end;
            let arguments = self.source(end..it.span().byte_range().end).to_owned();
            self.replace(
                it,
                Operator::Method,
                format!("{receiver}.{other}{arguments}"),
            );
        }
        if (name == "next" || name == "prev") && it.args.is_empty() {
            self.replace(it, Operator::Method, format!("({receiver})"));
        }
        visit::visit_expr_method_call(self, it);
    }

    fn structure(&mut self, it: &ExprStruct) {
        if let Some(rest) = &it.rest {
            for field in &it.fields {
                let (path, rest) = (self.of(&it.path).to_owned(), self.of(rest).to_owned());
                let others: Vec<&str> = it
                    .fields
                    .iter()
                    .filter(|other| other.member != field.member)
                    .map(|other| self.of(other))
                    .collect();
                let mut fields = others.join(", ");
                if !fields.is_empty() {
                    fields.push_str(", ");
                }
                self.replace(
                    it,
                    Operator::Field,
                    format!("{path} {{ {fields}..{rest} }}"),
                );
            }
        }
        for field in &it.fields {
            // `Struct { field }` names the field and the variable at once.
            if field.colon_token.is_some() {
                self.visit_expr(&field.expr);
            }
        }
        if let Some(rest) = &it.rest {
            self.visit_expr(rest);
        }
    }

    fn literal(&mut self, expr: &Expr, literal: &Lit) {
        match literal {
            Lit::Bool(it) => {
                let other = (!it.value).to_string();
                self.replace(expr, Operator::Constant, other);
            }
            Lit::Int(it) => {
                let Ok(value) = it.base10_parse::<u64>() else {
                    return;
                };
                let more = value.checked_add(1);
                let less = value.checked_sub(1);
                for other in [more, less].into_iter().flatten() {
                    let text = format!("{other}{}", it.suffix());
                    self.replace(expr, Operator::Constant, text);
                }
            }
            _ => {}
        }
    }
}

/// Whether a condition binds names, so that it cannot be replaced as a whole.
fn holds_pattern(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(it) => holds_pattern(&it.left) || holds_pattern(&it.right),
        _ => false,
    }
}

/// Whether a pattern takes everything that is left.
fn takes_all(pattern: &Pat) -> bool {
    match pattern {
        Pat::Wild(_) => true,
        // A name that begins with a small letter is a variable.
        Pat::Ident(it) => {
            it.subpat.is_none()
                && it
                    .ident
                    .to_string()
                    .starts_with(|first: char| first.is_ascii_lowercase())
        }
        Pat::Tuple(it) => it.elems.iter().all(takes_all),
        _ => false,
    }
}
