//! etcd's interaction scripts, run against our servers.
//!
//! Set `LOCKSTEP_ETCD_TESTDATA` to the folder with the scripts; see
//! [`lockstep_tests::etcd_testdata`].

use lockstep_tests::datadriven_script::run_script;
use lockstep_tests::etcd_interaction::InteractionEnv;
use lockstep_tests::etcd_testdata::{Suite, run_suite};

#[test]
fn interaction_scripts_pass() {
    run_suite(Suite::Interaction, |script| {
        let mut environment = InteractionEnv::new();
        run_script(script, |case| environment.handle(case))
    });
}
