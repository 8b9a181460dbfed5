//! etcd's interaction scripts, run against our servers.
//!
//! Set `LOCKSTEP_ETCD_TESTDATA` to the folder with the scripts of v3.6.0, `LOCKSTEP_ETCD_TESTDATA_3_7` to the one of
//! v3.7.0; see [`lockstep_tests::etcd_testdata`].

use lockstep_tests::datadriven_script::run_script;
use lockstep_tests::etcd_interaction::InteractionEnv;
use lockstep_tests::etcd_testdata::{Suite, run_suite};

#[test]
fn interaction_scripts_pass() {
    run_suite(Suite::Interaction, |script, version| {
        let mut environment = InteractionEnv::new(version);
        run_script(script, |case| environment.handle(case))
    });
}
