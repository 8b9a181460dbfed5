//! Plain values of a type, to stand in for what the code computes.

use syn::{GenericArgument, PathArguments, ReturnType, Type};

/// The kind of a type, as its name tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Unit,
    /// True or false.
    Bool,
    /// A number.
    Number,
    /// Something or nothing.
    Option(Box<Kind>),
    /// A value or an error.
    Result(Box<Kind>),
    /// A value of some other type, which may have a default.
    Other,
    /// Nothing can stand in: a reference, a type without a name, a type that is not known.
    Opaque,
}

impl Kind {
    /// The kind of what a function returns.
    pub fn returned(output: &ReturnType) -> Kind {
        match output {
            ReturnType::Default => Kind::Unit,
            ReturnType::Type(_, ty) => Kind::of(ty),
        }
    }

    /// The kind of a type.
    pub fn of(ty: &Type) -> Kind {
        match ty {
            Type::Tuple(tuple) if tuple.elems.is_empty() => Kind::Unit,
            Type::Paren(inner) => Kind::of(&inner.elem),
            Type::Path(path) => {
                let Some(last) = path.path.segments.last() else {
                    return Kind::Opaque;
                };
                let first = || match &last.arguments {
                    PathArguments::AngleBracketed(list) => {
                        list.args.iter().find_map(|it| match it {
                            GenericArgument::Type(ty) => Some(Kind::of(ty)),
                            _ => None,
                        })
                    }
                    _ => None,
                };
                match last.ident.to_string().as_str() {
                    "bool" => Kind::Bool,
                    "u8" | "u16" | "u32" | "u64" | "usize" | "i32" | "i64" | "isize" => {
                        Kind::Number
                    }
                    "Option" => Kind::Option(Box::new(first().unwrap_or(Kind::Opaque))),
                    "Result" => Kind::Result(Box::new(first().unwrap_or(Kind::Opaque))),
                    _ => Kind::Other,
                }
            }
            Type::Tuple(_) => Kind::Other,
            _ => Kind::Opaque,
        }
    }

    /// Values of this kind, as text.
    pub fn values(&self) -> Vec<String> {
        match self {
            Kind::Unit => vec!["()".to_owned()],
            Kind::Bool => vec!["true".to_owned(), "false".to_owned()],
            Kind::Number => vec!["0".to_owned(), "1".to_owned()],
            Kind::Option(inner) => {
                let mut values = vec!["None".to_owned()];
                // Of the others it is not known whether they have a default.
                if matches!(**inner, Kind::Unit | Kind::Bool | Kind::Number) {
                    values.extend(inner.values().iter().map(|it| format!("Some({it})")));
                }
                values
            }
            Kind::Result(inner) => {
                let values = inner.values();
                values.iter().map(|it| format!("Ok({it})")).collect()
            }
            Kind::Other => vec!["Default::default()".to_owned()],
            Kind::Opaque => Vec::new(),
        }
    }
}
