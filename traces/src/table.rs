//! The macros behind the table of fields: each takes the lines of the table and makes the types from them,
//! so that a field cannot exist without its names, nor a field of a view without being compared.

/// Types of which the fields are compared one by one.
///
/// A line is `name: Type = (specification, trace key, etcd) => method Field "name in reports", …;`. The method is
/// the one of [`Pairs`](crate::Pairs) that receives both values; a line without it does not match.
macro_rules! compared {
    ($(
        $(#[$meta:meta])*
        $part:ident $Type:ident = ($owner_specification:literal, $owner_key:literal, $owner_etcd:literal) {
            $(
                $(#[$field_meta:meta])*
                $name:ident: $value:ty = ($specification:literal, $key:literal, $etcd:literal)
                    => $method:ident $($Field:ident $report:literal),*;
            )*
        }
    )*) => {
        $(
            crate::table::record! {
                $(#[$meta])*
                $Type = ($owner_specification, $owner_key, $owner_etcd) {
                    $($(#[$field_meta])* $name: $value = ($specification, $key, $etcd);)*
                }
            }

            impl Fields for $Type {
                fn pair<P: Pairs>(
                    left: Option<&Self>,
                    right: Option<&Self>,
                    peer: Option<ServerId>,
                    pairs: &mut P,
                ) {
                    $(pairs.$method(
                        [$(Field::$Field),*],
                        peer,
                        left.map(|it| &it.$name),
                        right.map(|it| &it.$name),
                    );)*
                }
            }
        )*

        /// One thing that is compared after every event: a field of a view or of what left a server.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize
        )]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum Field {
            $($($(
                #[doc = concat!("`", $report, "`, of [`", stringify!($Type), "::", stringify!($name), "`].")]
                #[serde(rename = $report)]
                $Field,
            )*)*)*
        }

        impl Field {
            /// Every field, in the order of the table and of reports.
            pub const ALL: [Field; FIELDS.len()] = FIELDS;

            /// The name of the field in reports and the exec protocol.
            pub const fn name(self) -> &'static str {
                match self { $($($(Field::$Field => $report,)*)*)* }
            }

            /// The part of a server's behaviour that it belongs to.
            pub const fn part(self) -> Part {
                match self { $($($(Field::$Field => Part::$part,)*)*)* }
            }

            /// The key of the field in the JSON form of the type that has it.
            pub const fn key(self) -> &'static str {
                match self { $($($(Field::$Field => $key,)*)*)* }
            }
        }

        /// The types of which the fields are compared, and their fields.
        const COMPARED: &[(Name, &[Name])] = &[$(($Type::OWNER, $Type::NAMES),)*];

        const FIELDS: [Field; [$($($(Field::$Field,)*)*)*].len()] = [$($($(Field::$Field,)*)*)*];
    };
}

/// Types that are compared as a whole, as part of a field. A line is as in [`compared!`], without a method.
macro_rules! named {
    ($(
        $(#[$meta:meta])*
        $Type:ident = $owner:tt { $($fields:tt)* }
    )*) => {
        $(crate::table::record! {
            $(#[$meta])*
            $Type = $owner { $($fields)* }
        })*

        /// The types that are compared as a whole, and their fields.
        const NAMED: &[(Name, &[Name])] = &[$(($Type::OWNER, $Type::NAMES),)*];
    };
}

/// A type with its names.
macro_rules! record {
    (
        $(#[$meta:meta])*
        $Type:ident = ($owner_specification:literal, $owner_key:literal, $owner_etcd:literal) {
            $(
                $(#[$field_meta:meta])*
                $name:ident: $value:ty = ($specification:literal, $key:literal, $etcd:literal);
            )*
        }
    ) => {
        $(#[$meta])*
        #[derive(
            Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize
        )]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(deny_unknown_fields)]
        pub struct $Type {
            $(
                $(#[$field_meta])*
                #[serde(rename = $key)]
                pub $name: $value,
            )*
        }

        impl $Type {
            const OWNER: Name = Name {
                specification: $owner_specification,
                key: $owner_key,
                etcd: $owner_etcd,
            };

            const NAMES: &'static [Name] = &[$(
                Name { specification: $specification, key: $key, etcd: $etcd },
            )*];
        }
    };
}

/// The kinds of message. A line is as in [`compared!`], without a method; the names of a kind stand behind it in the same way.
macro_rules! messages {
    (
        $(#[$meta:meta])*
        $Type:ident {
            $(
                $(#[$kind_meta:meta])*
                $Kind:ident = ($kind_specification:literal, $kind_key:literal, $kind_etcd:literal) $({
                    $(
                        $(#[$field_meta:meta])*
                        $name:ident: $value:ty = ($specification:literal, $key:literal, $etcd:literal);
                    )*
                })?
            )*
        }
    ) => {
        $(#[$meta])*
        #[derive(
            Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize
        )]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(deny_unknown_fields)]
        pub enum $Type {
            $(
                $(#[$kind_meta])*
                #[serde(rename = $kind_key)]
                $Kind $({
                    $(
                        $(#[$field_meta])*
                        #[serde(rename = $key)]
                        $name: $value,
                    )*
                })?,
            )*
        }

        impl $Type {
            const KINDS: &'static [(Name, &'static [Name])] = &[$((
                Name { specification: $kind_specification, key: $kind_key, etcd: $kind_etcd },
                &[$($(Name { specification: $specification, key: $key, etcd: $etcd },)*)?],
            ),)*];

            /// The name of the kind, as in the paper.
            pub const fn kind(&self) -> &'static str {
                match self { $($Type::$Kind { .. } => stringify!($Kind),)* }
            }
        }
    };
}

pub(crate) use {compared, messages, named, record};
