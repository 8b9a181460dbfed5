#!/usr/bin/env python3
"""Raft as figure 2 of the paper has it, made ready for `lockstep check --target exec:…`.

The upper part is an implementation of Raft that does nothing for Lockstep but to keep its hands off sockets, clocks and
files: an input comes in, messages go out. The lower part is all that Lockstep needs of it (README.md, PROTOCOL.md).
"""

import json
import sys


class Server:
    """One server. An entry of its log is a pair of term and value; indexes count from 1, as in the paper."""

    def __init__(self, id, servers):
        self.id = id
        self.servers = servers
        self.term, self.vote, self.log = 0, None, []  # On disk.
        self.restart()

    def restart(self):
        """Comes back from what is on disk."""
        self.commit = 0
        self.become("follower")

    # Inputs

    def take(self, input):
        """Does one input."""
        self.sent = []
        if input == "restart":
            self.restart()
        elif input == "timeout" and self.role != "leader":
            self.campaign()
        elif input == "heartbeat" and self.role == "leader":
            self.replicate()
        elif "propose" in input and self.role == "leader":
            self.log.append([self.term, input["propose"]])
            self.replicate()
            self.advance_commit()
        elif "deliver" in input:
            self.receive(input["deliver"]["from"], input["deliver"]["message"])

    def campaign(self):
        """Starts an election (section 5.2)."""
        self.term, self.vote = self.term + 1, self.id
        self.become("candidate")
        self.votes = [self.id]
        for peer in self.peers():
            self.send(peer, "request_vote", last=self.last())
        self.count_votes()

    def receive(self, sender, message):
        """Takes a message of another server."""
        if message["term"] > self.term:
            self.term, self.vote = message["term"], None
            self.become("follower")
        handler = getattr(self, "on_" + message["type"])
        handler(sender, message)

    def on_request_vote(self, sender, message):
        up_to_date = message["last"] >= self.last()
        granted = message["term"] == self.term and up_to_date and self.vote in (None, sender)
        if granted:
            self.vote = sender
        self.send(sender, "vote", granted=granted)

    def on_vote(self, sender, message):
        if self.role == "candidate" and message["term"] == self.term and message["granted"]:
            self.votes = sorted({*self.votes, sender})
            self.count_votes()

    def on_append_entries(self, sender, message):
        prev, entries = message["prev"], message["entries"]
        if message["term"] < self.term:
            return self.send(sender, "appended", success=False, index=prev)
        self.become("follower")
        if self.term_at(prev) != message["prev_term"]:
            return self.send(sender, "appended", success=False, index=prev)
        for index, entry in enumerate(entries, prev + 1):
            if self.term_at(index) != entry[0]:  # Not there, or in conflict.
                del self.log[index - 1 :]
                self.log.append(entry)
        last_new = prev + len(entries)
        self.commit = max(self.commit, min(message["commit"], last_new))
        self.send(sender, "appended", success=True, index=last_new)

    def on_appended(self, sender, message):
        if self.role != "leader" or message["term"] != self.term:
            return
        if message["success"]:
            self.match[sender] = max(self.match[sender], message["index"])
            self.next[sender] = max(self.next[sender], self.match[sender] + 1)
            self.advance_commit()
        elif self.match[sender] < message["index"] < self.next[sender]:
            self.next[sender] = message["index"]
            self.append_to(sender)

    # Rules

    def become(self, role):
        """Takes a role, and forgets what belonged to the one before."""
        self.role = role
        self.votes = []
        self.next = self.match = None

    def count_votes(self):
        if 2 * len(self.votes) > self.servers:
            self.become("leader")
            self.next = [len(self.log) + 1] * (self.servers + 1)
            self.match = [0] * (self.servers + 1)
            self.replicate()

    def replicate(self):
        for peer in self.peers():
            self.append_to(peer)

    def append_to(self, peer):
        prev = self.next[peer] - 1
        entries = self.log[prev:]
        self.send(
            peer, "append_entries", prev=prev, prev_term=self.term_at(prev), entries=entries, commit=self.commit
        )

    def advance_commit(self):
        """A majority has an entry of this term (section 5.4.2)."""
        for index in range(self.commit + 1, len(self.log) + 1):
            holders = 1 + sum(self.match[peer] >= index for peer in self.peers())
            if 2 * holders > self.servers and self.term_at(index) == self.term:
                self.commit = index

    def peers(self):
        return [peer for peer in range(1, self.servers + 1) if peer != self.id]

    def term_at(self, index):
        """The term of an entry; 0 before the first, None behind the last."""
        if index == 0:
            return 0
        return self.log[index - 1][0] if index <= len(self.log) else None

    def last(self):
        """Term and index of the last entry: the greater, the more up-to-date."""
        return [self.term_at(len(self.log)), len(self.log)]

    def send(self, peer, type, **content):
        self.sent.append({"to": peer, "message": {"type": type, "term": self.term, **content}})


# All that Lockstep needs

DESCRIPTION = {
    "op": "describe",
    "protocol": 2,
    "messages": "opaque",
    "name": "paper-raft-python",
    "version": "1",
    "inputs": {"timeout": {}, "heartbeat": {}, "propose": {}, "restart": {}},
    "fields": ["role", "term", "log", "commit", "vote", "match"],
    "restores": True,
}


def answer(question):
    """Sets a server up, gives it the inputs, and says what became of it."""
    server = Server(question["server"], question["config"]["servers"])
    vars(server).update(question.get("saved", {}), sent=[])
    for input in question["inputs"]:
        server.take(input)
    state = {name: value for name, value in vars(server).items() if name != "sent"}
    view = {name: state[name] for name in ("role", "term", "log", "commit", "vote")}
    if server.role == "leader":
        view["match"] = {peer: server.match[peer] for peer in server.peers()}
    return {"op": "answer", "id": question["id"], "state": state, "view": view, "sent": server.sent}


for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps(DESCRIPTION if request["op"] == "describe" else answer(request)), flush=True)
