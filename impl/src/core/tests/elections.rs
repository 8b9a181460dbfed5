//! Raft §5.2 and §5.4.1; thesis §9.6 and §4.2.3.

use super::cluster::{Cluster, storage};
use crate::types::*;

#[test]
fn a_majority_elects_one_leader() {
    for count in [1, 2, 3, 5] {
        let mut cluster = Cluster::new(count, |_| ());
        cluster.elect(1);
        for other in 2..=count {
            assert_eq!(cluster.node(other).leader(), Some(cluster.node(1).id()));
            assert_eq!(cluster.node(other).term(), Term(1));
        }
        assert_eq!(cluster.log(count), [(1, 1)]);
        assert_eq!(cluster.node(count).commit(), Index(1));
    }
}
