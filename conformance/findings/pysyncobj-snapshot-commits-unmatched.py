#!/usr/bin/env python3
"""PySyncObj 0.3.17: a client is told SUCCESS for a command that the cluster has discarded.

Needs the library only (pip install pysyncobj==0.3.17). Three nodes with a transport in memory that delivers the messages
of each link in order and loses those of links that are cut; time stands still, and a timer fires when it is set.

A leader sends a snapshot in parts. `__onMessageReceived` returns to the commit index after each part, also before the
snapshot is loaded, and takes `min(commit_index, own last index)` without having compared logs. A follower with an entry
that the leader does not have commits and applies it. (Paper, figure 2: AppendEntries raises commitIndex only after the
entry before has matched.)
"""

import pysyncobj.syncobj as library
from pysyncobj import FAIL_REASON, SyncObj, SyncObjConf, replicated
from pysyncobj.node import Node
from pysyncobj.transport import Transport

NOW = 1000.0
library.monotonicTime = lambda: NOW
A, B, C = (Node(name) for name in "ABC")
nodes, links, cut = {}, [], set()


class Wire(Transport):
    ready = True

    def __init__(self, owner):
        super().__init__(None, None, [])
        self.owner = owner

    def send(self, node, message):
        if not {self.owner, node} & cut:
            links.append((self.owner, node, message))
        return True


class Store(SyncObj):
    def __init__(self, me):
        self.wire = Wire(me)
        conf = SyncObjConf(autoTick=False)
        super().__init__(me, [node for node in (A, B, C) if node != me], conf, nodeClass=Node, transport=self.wire)
        self.applied = []
        for node in (A, B, C):
            if node != me:
                self.wire._onNodeConnected(node)

    @replicated
    def put(self, value):
        self.applied.append(value)


def set_timer(node, name):
    setattr(nodes[node], "_SyncObj__" + name, NOW - 1)
    nodes[node].doTick()


def deliver_all():
    while links:
        sender, receiver, message = links.pop(0)
        nodes[receiver].wire._onMessageReceived(sender, message)
        nodes[receiver].doTick()


def elect(node):
    set_timer(node, "raftElectionDeadline")
    deliver_all()


def heartbeat(node):
    set_timer(node, "newAppendEntriesTime")
    deliver_all()


for name in (A, B, C):
    nodes[name] = Store(name)

elect(A)
heartbeat(A)
print("A leads:", nodes[A]._isLeader())

cut.add(A)  # A loses both others, and a client proposes "lost" to it.
answers = []
nodes[A].put("lost", callback=lambda result, error: answers.append(error))
nodes[A].doTick()

elect(B)  # B and C go on without it, and B compacts its log.
for value in ("one", "two", "three"):
    nodes[B].put(value)
    nodes[B].doTick()
    heartbeat(B)
heartbeat(B)
nodes[B].forceLogCompaction()
for _ in range(3):
    nodes[B].doTick()
print("B leads:", nodes[B]._isLeader(), "and applied", nodes[B].applied)

cut.clear()  # A is back.
for _ in range(4):
    heartbeat(B)

print("the client of A was told:", ["SUCCESS" if it == FAIL_REASON.SUCCESS else it for it in answers])
for name in (A, B, C):
    print(f"{name.id} has applied {nodes[name].applied}")
assert answers != [FAIL_REASON.SUCCESS], "SUCCESS for a command that no other node has"
