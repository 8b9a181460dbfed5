module lockstep/targets/etcd-raft/core

go 1.23
