//! One mutant: a small change of the text of one file, and its name.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;

/// A kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operator {
    /// `<` becomes `<=`, `==` or `>`, and so on.
    Comparison,
    /// `+` becomes `-` or `*`, and so on.
    Arithmetic,
    /// `&&` becomes `||` and the reverse.
    Logic,
    /// A `!` or a `-` is left out.
    Unary,
    /// A condition, or one operand of `&&` and `||`, is negated, always true or always false.
    Condition,
    /// A statement is left out: a call, an assignment, `return`, `break`, `continue`.
    Statement,
    /// `+=` becomes `-=`, `|=` becomes `&=`, and so on.
    Assignment,
    /// A number is one more or one less, `true` is `false`, `Some(x)` is `None`.
    Constant,
    /// A function does nothing, and returns a plain value.
    Function,
    /// The value that a function or a branch ends with is a plain one.
    Value,
    /// An arm of a `match` that has an arm for everything else is never taken.
    Arm,
    /// `min` becomes `max`, `any` becomes `all`, `next()` and `prev()` are left out.
    Method,
    /// A field of a value that is made from another one keeps what it has there.
    Field,
}

impl Operator {
    /// Every kind, in the order of the reports.
    pub const ALL: [Operator; 13] = [
        Operator::Comparison,
        Operator::Arithmetic,
        Operator::Logic,
        Operator::Unary,
        Operator::Condition,
        Operator::Statement,
        Operator::Assignment,
        Operator::Constant,
        Operator::Function,
        Operator::Value,
        Operator::Arm,
        Operator::Method,
        Operator::Field,
    ];

    /// Describes the operator, for the legend of a report.
    pub fn what(self) -> &'static str {
        match self {
            Operator::Comparison => "`<` to `<=`, `==`, `>`; `==` to `!=`; and so on",
            Operator::Arithmetic => "`+` to `-`, `*`; `-` to `+`, `/`; and so on",
            Operator::Logic => "`&&` to `||` and the reverse",
            Operator::Unary => "`!` and `-` left out",
            Operator::Condition => {
                "a condition of `if`, `while` or a guard, or an operand of `&&` or `||`: negated, `true`, \
                 `false`"
            }
            Operator::Statement => "a call, an assignment or a jump left out",
            Operator::Assignment => "`+=` to `-=`, `*=`; `|=` to `&=`; and so on",
            Operator::Constant => {
                "a number one more or one less; `true` to `false`; `Some(x)` to `None`"
            }
            Operator::Function => "a function returns a plain value at once",
            Operator::Value => "what a function or a branch ends with is a plain value",
            Operator::Arm => "an arm that is never taken, where `_` takes the rest",
            Operator::Method => {
                "`min` to `max`, `any` to `all`, `is_some` to `is_none`; `next()` and `prev()` left out"
            }
            Operator::Field => "a field left out of a value that has `..` of another one",
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Operator::Comparison => "comparison",
            Operator::Arithmetic => "arithmetic",
            Operator::Logic => "logic",
            Operator::Unary => "unary",
            Operator::Condition => "condition",
            Operator::Statement => "statement",
            Operator::Assignment => "assignment",
            Operator::Constant => "constant",
            Operator::Function => "function",
            Operator::Value => "value",
            Operator::Arm => "arm",
            Operator::Method => "method",
            Operator::Field => "field",
        };
        f.pad(name)
    }
}

/// The form of a change in the text, which lets it be switched on and off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The expression at the range is replaced by this one.
    Expression(String),
    /// The statement at the range is left out.
    Statement,
    /// At the (empty) range, the start of a function, this value is returned.
    Entry(String),
    /// The arm whose pattern ends at the (empty) range is never taken.
    Arm,
    /// The arm whose guard is at the range is never taken.
    GuardedArm,
}

/// One change of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// The file, from the folder that is mutated.
    pub file: String,
    /// The line of the change, from 1.
    pub line: usize,
    /// The column of the change in characters, from 1.
    pub column: usize,
    /// The function that it is in, with the type that it belongs to.
    pub function: String,
    /// The kind of change.
    pub operator: Operator,
    /// The text before, on one line.
    pub before: String,
    /// The text after, on one line.
    pub after: String,
    /// Its number among those with the same file, function, operator and texts, from 1.
    pub nth: usize,
    /// The position of the change, in bytes of the file.
    pub range: Range<usize>,
    /// The form in which it stands in the text.
    pub shape: Shape,
}

impl Mutant {
    /// Its name. It does not depend on what is elsewhere in the file, so it outlives other changes.
    pub fn key(&self) -> String {
        let Mutant {
            file,
            function,
            operator,
            before,
            after,
            nth,
            ..
        } = self;
        let repeat = match nth {
            1 => String::new(),
            nth => format!(" #{nth}"),
        };
        format!("{file} {function} [{operator}] {before} => {after}{repeat}")
    }

    /// A short form of the name: eight hexadecimal digits.
    pub fn id(&self) -> String {
        format!("{:08x}", fnv(self.key().as_bytes()) as u32)
    }
}

/// A hash that is the same in every build (Fowler, Noll and Vo's).
pub fn fnv(bytes: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325;
    let hash = bytes.iter().fold(start, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The low half alone is the short form: let the high half count in it.
    hash ^ (hash >> 32)
}
