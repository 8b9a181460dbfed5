//! Helpers that the end-to-end tests of Lockstep share.

pub mod binary;
pub mod command;
pub mod datadriven_script;
pub mod etcd_interaction;
pub mod etcd_testdata;
#[path = "../../conformance/tests/python/mod.rs"]
pub mod python;
