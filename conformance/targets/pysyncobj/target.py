#!/usr/bin/env python3
"""PySyncObj (PyPI, 0.3.17) behind Lockstep's protocol 2: its own code, driven by hand.

Nothing of the library is changed but its sense of time, which stands still, and its sockets, which are lists:

* `autoTick` is off. Every input is followed by one tick, in which the library commits, applies and sends.
* A timer fires because this program sets its deadline into the past before that tick.
* Journal and snapshot are the library's own, in files; a restart is a new object on the same files.
* The log that is shown goes on having the entries that a snapshot has replaced; messages with a part of a snapshot carry
  them along for that, unseen by the library.

PySyncObj expects TCP between its nodes, so messages of one node to another come in order and once. With `--in-order`
each message has a number, and one that comes too late is ignored, as if it had been lost: then what is explored is a
network that loses messages and delays them, and does not reorder or repeat those of one node to another.
"""

import base64
import gzip
import json
import os
import shutil
import sys
import tempfile
import types

# Sets of texts are iterated, and snapshots hold one: their order must be the same in every copy.
if os.environ.get("PYTHONHASHSEED") != "0":
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": "0"})

import pysyncobj.syncobj as library
from pysyncobj import SyncObj, SyncObjConf, replicated
from pysyncobj.node import Node
from pysyncobj.transport import Transport

NOW = 1000.0
IN_ORDER = "--in-order" in sys.argv
ROLES = {0: "follower", 1: "candidate", 2: "leader"}

library.monotonicTime = lambda: NOW
library.random.random = lambda: 0.5
gzip.time = types.SimpleNamespace(time=lambda: 0)


class Wire(Transport):
    """The messages that a node has sent since somebody looked."""

    ready = True

    def __init__(self):
        super().__init__(None, None, [])
        self.sent = []

    def send(self, node, message):
        self.sent.append((int(node.id), message))
        return True

    def destroy(self):
        pass


class Poller:
    """Nothing to wait for."""

    def poll(self, timeout):
        pass


class Store(SyncObj):
    """The replicated application: a list of values."""

    def __init__(self, *arguments):
        super().__init__(*arguments[:2], conf=arguments[2], nodeClass=Node, transport=arguments[3])
        self.values = []

    @replicated
    def put(self, value):
        self.values.append(value)


class Server:
    """One node, with its journal in a folder of its own."""

    def __init__(self, id, servers, folder):
        self.id = id
        self.peers = [peer for peer in range(1, servers + 1) if peer != id]
        self.journal = os.path.join(folder, "journal")
        self.dump = os.path.join(folder, "dump")
        self.shadow = []  # The whole log, as it is shown.
        self.numbers = {peer: 0 for peer in self.peers}  # Of the messages sent to each.
        self.seen = {peer: 0 for peer in self.peers}  # Of the last message that came from each.
        self.start()

    def start(self):
        conf = SyncObjConf(
            autoTick=False,
            journalFile=self.journal,
            fullDumpFile=self.dump,
            useFork=False,
            dynamicMembershipChange=False,
            pollerType="select",
        )
        self.wire = Wire()
        nodes = [Node(str(peer)) for peer in self.peers]
        self.node = Store(Node(str(self.id)), nodes, conf, self.wire)
        self.node._poller = Poller()
        for node in nodes:
            self.wire._onNodeConnected(node)

    def of(self, name):
        """A private attribute of the library."""
        return getattr(self.node, "_SyncObj__" + name)

    def set(self, name, value):
        setattr(self.node, "_SyncObj__" + name, value)

    def take(self, input):
        self.wire.sent = []
        if input == "restart":
            self.of("raftLog")._destroy()
            self.start()
        elif input == "timeout":
            self.set("raftElectionDeadline", NOW - 1)
        elif input == "heartbeat":
            self.set("newAppendEntriesTime", NOW - 1)
        elif input == "compact":
            self.node.forceLogCompaction()
        elif "propose" in input:
            self.node.put(input["propose"])
        else:
            sender, message = input["deliver"]["from"], input["deliver"]["message"]
            if IN_ORDER:
                if message["number"] <= self.seen[sender]:
                    return
                self.seen[sender] = message["number"]
            self.wire._onMessageReceived(Node(str(sender)), decode(message["content"]))
            shadow = message.get("shadow", [])
            if len(shadow) + 1 == self.of("raftLog")[0][1] and len(self.of("raftLog")) == 2:
                self.shadow = shadow
        self.node.doTick()
        self.log()

    def log(self):
        """The whole log: what the library has of it, behind what a snapshot has replaced."""
        entries = self.of("raftLog")[:]
        del self.shadow[entries[0][1] - 1 :]
        self.shadow += [[term, payload(command)] for command, _, term in entries]
        return self.shadow

    def sent(self):
        sent = []
        for peer, message in self.wire.sent:
            wrapped = {"content": encode(message)}
            if "serialized" in message:
                wrapped["shadow"] = self.shadow[: self.of("raftLog")[0][1] - 1]
            if IN_ORDER:
                self.numbers[peer] += 1
                wrapped["number"] = self.numbers[peer]
            sent.append({"to": peer, "message": wrapped})
        self.wire.sent = []
        return sent

    def view(self):
        vote = self.of("votedForNodeId")
        view = {
            "role": ROLES[self.of("raftState")],
            "term": self.of("raftCurrentTerm"),
            "vote": None if vote is None else int(vote),
            "log": self.log(),
            "commit": self.of("raftCommitIndex"),
            "applied": self.of("raftLastApplied"),
        }
        if view["role"] == "leader":
            view["match"] = {node.id: index for node, index in self.of("raftMatchIndex").items()}
        return view

    def state(self):
        """Everything that the library can read again."""
        role = ROLES[self.of("raftState")]
        leader = self.of("raftLeader")
        journal = self.of("raftLog")
        state = {
            "view": self.view(),
            "leader": leader and leader.id,
            "votes": self.of("votesCount") if role == "candidate" else None,
            "meta": journal._FileJournal__meta,
            "stored": journal._FileJournal__metaStorer.getMeta(),
            "values": self.node.values,
            "ready": self.of("onReadyCalled"),
            "leader_commit": self.of("leaderCommitIndex"),
            "noop": self.of("noopIDx"),
            "waiting": len(self.node._SyncObj__commandsQueue._FastQueue__queue),
            "no_heartbeat_yet": self.of("newAppendEntriesTime") == 0,
            "due": self.of("raftElectionDeadline") < NOW,
            "one_second": self.of("numOneSecondDumps"),
            "first": journal[0][1],
            "snapshot": self.snapshot(),
        }
        if role == "leader":
            state["next"] = {node.id: index for node, index in self.of("raftNextIndex").items()}
        if IN_ORDER:
            state["numbers"], state["seen"] = self.numbers, self.seen
        return state


    def snapshot(self):
        """The state of the library's snapshots."""
        serializer = self.of("serializer")
        private = lambda name: getattr(serializer, "_Serializer__" + name)
        incoming = private("incomingTransmissionFile")
        if incoming is not None:
            incoming.flush()
        return {
            "due": self.of("forceLogCompaction"),
            "last": self.of("lastSerializedEntry"),
            "at_work": [private("pid"), private("currentID")],
            "sending": {node.id: sent["transmitted"] for node, sent in private("transmissions").items()},
            "incoming": incoming and content_of(self.dump + ".1.tmp"),
            "dump": content_of(self.dump),
        }


def content_of(path):
    if not os.path.exists(path):
        return None
    with open(path, "rb") as file:
        return base64.b64encode(file.read()).decode()


def payload(command):
    """A value that a client proposed, or the kind of another command."""
    if command[0] != 0:
        return f"kind {command[0]}"
    content = library.pickle.loads(command[1:])
    return content[1][0]


def encode(message):
    """A message as JSON: bytes are texts."""
    message = dict(message)
    if "entries" in message:
        entries = message["entries"]
        message["entries"] = [[base64.b64encode(command).decode(), index, term] for command, index, term in entries]
    if message.get("serialized"):
        data, first, last = message["serialized"]
        message["serialized"] = [base64.b64encode(data).decode(), first, last]
    return message


def decode(message):
    if "entries" in message:
        entries = message["entries"]
        message["entries"] = [(base64.b64decode(command), index, term) for command, index, term in entries]
    if message.get("serialized"):
        data, first, last = message["serialized"]
        message["serialized"] = (base64.b64decode(data), first, last)
    return message


DESCRIPTION = {
    "op": "describe",
    "protocol": 2,
    "messages": "opaque",
    "name": "pysyncobj" + (" in order" if IN_ORDER else ""),
    "version": "0.3.17",
    "inputs": {"timeout": {}, "heartbeat": {}, "propose": {}, "restart": {}, "compact": {}},
    "fields": ["role", "term", "log", "commit", "vote", "applied", "match"],
}


def answer(question, folder):
    server = Server(question["server"], question["config"]["servers"], folder)
    sent = []
    for input in question["inputs"]:
        server.take(input)
        sent = server.sent()
    state, view = server.state(), server.view()
    server.of("raftLog")._destroy()
    return {"op": "answer", "id": question["id"], "state": state, "view": view, "sent": sent}


# The library writes its own log to standard error; replies go to standard output alone.
for line in sys.stdin:
    request = json.loads(line)
    if request["op"] == "describe":
        reply = DESCRIPTION
    else:
        folder = tempfile.mkdtemp(prefix="lockstep-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
        try:
            reply = answer(request, folder)
        finally:
            shutil.rmtree(folder)
    print(json.dumps(reply), flush=True)
