// Command etcd-raft puts etcd's raft library v3.6 behind Lockstep's exec protocol.
package main

import "lockstep/targets/etcd-raft/core"

func main() { core.Main(library{}) }
