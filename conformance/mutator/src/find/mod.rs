//! Finds every change that can be made to a file.
//!
//! Left out: tests, `const` contexts, patterns and types, macros (with them assertions, `matches!` and
//! formatted text), implementations of `Debug` and `Display`, what only an observer is told, and the check of
//! invariants in debug builds.

mod expressions;
mod values;

use crate::mutant::{Mutant, Operator, Shape};
use crate::plain::Kind;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Block, Expr, ImplItemFn, Item, ItemFn, Meta, Pat, Signature, Stmt, Type};

/// Every change of one file, in the order of the text.
///
/// # Errors
///
/// The file is no Rust.
pub fn find(file: &str, text: &str) -> Result<Vec<Mutant>, syn::Error> {
    let syntax = syn::parse_file(text)?;
    let mut finder = Finder {
        text,
        file,
        owner: Vec::new(),
        function: Vec::new(),
        returns: Vec::new(),
        found: Vec::new(),
        seen: BTreeSet::new(),
    };
    finder.visit_file(&syntax);
    let mut found = finder.found;
    found.sort_by_key(|it| (it.range.start, it.range.end, it.operator));
    let mut met: BTreeMap<String, usize> = BTreeMap::new();
    for mutant in &mut found {
        let times = met.entry(mutant.key()).or_default();
        *times += 1;
        mutant.nth = *times;
    }
    Ok(found)
}

struct Finder<'a> {
    text: &'a str,
    file: &'a str,
    /// The types whose methods are being looked at.
    owner: Vec<String>,
    /// The functions that are being looked at; changes are made in functions only.
    function: Vec<String>,
    /// The kinds of value that those functions return; unknown for closures.
    returns: Vec<Kind>,
    found: Vec<Mutant>,
    seen: BTreeSet<(Place, String)>,
}

type Place = (usize, usize);

impl Finder<'_> {
    fn source(&self, range: Range<usize>) -> &str {
        &self.text[range]
    }

    fn of(&self, node: &impl Spanned) -> &str {
        self.source(node.span().byte_range())
    }

    /// A change of an expression.
    fn replace(&mut self, node: &impl Spanned, operator: Operator, replacement: String) {
        let before = one_line(self.of(node));
        if before == one_line(&replacement) {
            return;
        }
        let (range, after) = (node.span().byte_range(), one_line(&replacement));
        self.push(
            range,
            operator,
            before,
            after,
            Shape::Expression(replacement),
        );
    }

    fn push(
        &mut self,
        range: Range<usize>,
        operator: Operator,
        before: String,
        after: String,
        shape: Shape,
    ) {
        let Some(function) = self.function.last() else {
            return;
        };
        // Two ways to the same text are one mutant.
        if !self.seen.insert(((range.start, range.end), after.clone())) {
            return;
        }
        let lines = &self.text[..range.start];
        let start_of_line = lines.rfind('\n').map_or(0, |at| at + 1);
        let mut path = self.owner.last().cloned().unwrap_or_default();
        if !path.is_empty() {
            path.push_str("::");
        }
        path.push_str(function);
        self.found.push(Mutant {
            file: self.file.to_owned(),
            line: lines.matches('\n').count() + 1,
            column: lines[start_of_line..].chars().count() + 1,
            function: path,
            operator,
            before,
            after,
            nth: 1,
            range,
            shape,
        });
    }

    fn function(&mut self, attributes: &[Attribute], signature: &Signature, block: &Block) {
        let kind = Kind::returned(&signature.output);
        let for_debugging = signature.ident == "check_invariants" && kind == Kind::Unit;
        let for_people = signature.ident == "describe";
        let is_constant = signature.constness.is_some();
        if is_left_out(attributes) || is_constant || for_debugging || for_people {
            return;
        }
        self.function.push(signature.ident.to_string());
        self.returns.push(kind.clone());
        // A body of one expression is replaced where that is; a body of nothing but a call too.
        let whole = match block.stmts.as_slice() {
            [] => false,
            [Stmt::Expr(only, _)] => {
                matches!(
                    only,
                    Expr::If(_) | Expr::Match(_) | Expr::ForLoop(_) | Expr::While(_)
                )
            }
            _ => true,
        };
        if whole {
            let start = block.brace_token.span.open().byte_range().end;
            for value in kind.values() {
                let before = "the body".to_owned();
                let shape = Shape::Entry(value.clone());
                self.push(
                    start..start,
                    Operator::Function,
                    before,
                    format!("return {value}"),
                    shape,
                );
            }
        }
        self.values_of_block(block, &kind);
        self.visit_block(block);
        self.returns.pop();
        self.function.pop();
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Fn(it) => &it.attrs,
            Item::Impl(it) => &it.attrs,
            Item::Mod(it) => &it.attrs,
            Item::Trait(it) => &it.attrs,
            // Types, constants, imports and macros compute nothing at run time.
            _ => return,
        };
        if !is_left_out(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let is_formatting = |path: &syn::Path| {
            let name = path.segments.last().map(|it| it.ident.to_string());
            name.is_some_and(|name| name == "Display" || name == "Debug")
        };
        if item
            .trait_
            .as_ref()
            .is_some_and(|(_, path, _)| is_formatting(path))
        {
            return;
        }
        let owner = match &*item.self_ty {
            Type::Path(path) => path.path.segments.last().map(|it| it.ident.to_string()),
            _ => None,
        };
        let owner = owner.unwrap_or_else(|| one_line(self.of(&item.self_ty)));
        self.owner.push(owner);
        visit::visit_item_impl(self, item);
        self.owner.pop();
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.function(&item.attrs, &item.sig, &item.block);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.function(&item.attrs, &item.sig, &item.block);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.attrs, &item.sig, block);
        }
    }

    fn visit_block(&mut self, block: &'ast Block) {
        for (at, statement) in block.stmts.iter().enumerate() {
            if let Stmt::Expr(expr, semicolon) = statement {
                if semicolon.is_some() {
                    self.leave_out(statement, expr, block.stmts.len() == 1);
                } else if at + 1 < block.stmts.len() {
                    // It is followed by others, so it is there for what it does.
                    self.values_of(expr, &Kind::Unit);
                }
            }
            self.visit_stmt(statement);
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if let Some(init) = &local.init {
            self.visit_expr(&init.expr);
            if let Some((_, diverge)) = &init.diverge
                && let Expr::Block(block) = &**diverge
            {
                // This block must not come to an end, so its jump stays.
                for statement in &block.block.stmts {
                    self.visit_stmt(statement);
                }
            }
        }
    }

    fn visit_expr(&mut self, expr: &'ast Expr) {
        self.expression(expr);
    }

    fn visit_pat(&mut self, _: &'ast Pat) {}

    fn visit_type(&mut self, _: &'ast Type) {}

    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    fn visit_macro(&mut self, _: &'ast syn::Macro) {}
}

/// Whether an item is not part of the mutated build, or no behaviour.
fn is_left_out(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => list.tokens.to_string() == "test",
        Meta::Path(path) => path.is_ident("test"),
        _ => false,
    })
}

/// Text on one line, and not too long.
fn one_line(text: &str) -> String {
    const LONGEST: usize = 120;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}
