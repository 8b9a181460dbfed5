//! The packages whose sources are changed.

/// One package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name for Cargo.
    pub name: &'static str,
    /// The folder of its sources, from the top of the checkout.
    pub sources: &'static str,
}

/// The specification.
pub const SPECIFICATION: Package = Package {
    name: "lockstep-model",
    sources: "model/src",
};

/// The production Raft.
pub const IMPLEMENTATION: Package = Package {
    name: "lockstep-raft",
    sources: "impl/raft/src",
};
