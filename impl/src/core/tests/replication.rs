//! Raft §5.3 and §5.4.2.

use super::cluster::Cluster;
use crate::types::*;

#[test]
fn what_is_proposed_is_applied_everywhere() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    for data in ["a", "b", "c"] {
        cluster.propose(1, data).unwrap();
    }
    cluster.settle();
    for applied in &cluster.applied {
        assert_eq!(applied, &["a", "b", "c"]);
    }
}
