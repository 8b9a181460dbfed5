#!/usr/bin/env python3
"""PySyncObj 0.3.17: if two appends of one leader change places, a command that a client was told SUCCESS for is lost.

Needs the library only (pip install pysyncobj==0.3.17). Three nodes with a transport in memory; time stands still, a timer fires
when it is set, and this program chooses which message is delivered. The library's own transport is TCP, where messages of one
connection do not change places, so this shows what it relies on, and no error of it.

A follower cuts its log off behind the entries of every append, also behind those of an earlier one that comes late. (Paper, figure
2: only an entry that conflicts is deleted, with all that follow it.)
"""

import pysyncobj.syncobj as library
from pysyncobj import FAIL_REASON, SyncObj, SyncObjConf, replicated
from pysyncobj.node import Node
from pysyncobj.transport import Transport

NOW = 1000.0
library.monotonicTime = lambda: NOW
A, B, C = (Node(name) for name in "ABC")
nodes, network = {}, []


class Wire(Transport):
    ready = True

    def __init__(self, owner):
        super().__init__(None, None, [])
        self.owner = owner

    def send(self, node, message):
        network.append((self.owner, node, message))
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


def take(sender, receiver):
    """The messages from one node to another that are on their way."""
    found = [message for a, b, message in network if (a, b) == (sender, receiver)]
    network[:] = [it for it in network if it[:2] != (sender, receiver)]
    return found


def deliver(sender, receiver, messages):
    for message in messages:
        nodes[receiver].wire._onMessageReceived(sender, message)
        nodes[receiver].doTick()


def elect(node, voter):
    set_timer(node, "raftElectionDeadline")
    deliver(node, voter, take(node, voter))
    deliver(voter, node, take(voter, node))
    print(f"{node.id} leads:", nodes[node]._isLeader())


for name in (A, B, C):
    nodes[name] = Store(name)

elect(A, B)
deliver(A, B, take(A, B))
late = take(B, A)  # That B has the first entry of A; it does not say of which term it speaks.
for _ in range(2):
    set_timer(C, "raftElectionDeadline")
deliver(C, A, take(C, A))  # A hears of a later term, and follows. Nothing gets to C.
network.clear()

elect(A, B)  # Again, with another first entry.
set_timer(A, "newAppendEntriesTime")
first = take(A, B)[0]
deliver(B, A, late)  # So A sends that entry again.
answers = []
nodes[A].put("acknowledged", callback=lambda result, error: answers.append(error))
nodes[A].doTick()
set_timer(A, "newAppendEntriesTime")
second = take(A, B)[0]
print("A has sent to B", [len(message["entries"]) for message in (first, second)], "entries")
deliver(A, B, [second])
acknowledgement = take(B, A)[-1:]
deliver(A, B, [first])
deliver(B, A, acknowledgement)
network.clear()
print("the client of A was told:", ["SUCCESS" if it == FAIL_REASON.SUCCESS else it for it in answers])

elect(B, C)  # Without A.
for _ in range(3):
    set_timer(B, "newAppendEntriesTime")
    deliver(B, C, take(B, C))
    deliver(C, B, take(C, B))
nodes[B].put("another")
for _ in range(3):
    set_timer(B, "newAppendEntriesTime")
    deliver(B, C, take(B, C))
    deliver(C, B, take(C, B))
for name in (A, B, C):
    print(f"{name.id} has applied {nodes[name].applied}")
assert nodes[B].applied[:1] == nodes[A].applied, "what the client was told SUCCESS for is lost"
