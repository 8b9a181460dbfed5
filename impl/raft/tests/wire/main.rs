//! The wire format against bytes that etcd wrote, and against bytes that nobody should write.
//!
//! `../wire_data/README.md` says where the recorded bytes come from.

mod arbitrary;
mod recorded;
mod text;
mod usual;
