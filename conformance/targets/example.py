#!/usr/bin/env python3
"""A toy behind Lockstep's exec protocol: votes and a log, nothing sent. On purpose it diverges: a restart forgets the vote."""
import json, sys

class Server:
    def __init__(self, id, config):
        self.id, self.config, self.log, self.term, self.vote = id, config, [], 0, None
        self.become("follower", 0)
    def become(self, role, term, leader=None):
        if term != self.term: self.term, self.vote = term, None
        self.role, self.leader, self.lease, self.votes, self.active = role, leader, True, {}, {self.id}
    def majority(self, count): return count > self.config["servers"] // 2
    def campaign(self, pre_vote):
        if pre_vote: self.become("pre_candidate", self.term)
        else: self.become("candidate", self.term + 1); self.vote = self.id
        self.count(self.id, True)
    def count(self, voter, granted):
        self.votes.setdefault(voter, granted)
        granted = sum(self.votes.values())
        if self.majority(len(self.votes) - granted): self.become("follower", self.term)
        elif self.majority(granted) and self.role == "pre_candidate": self.campaign(False)
        elif self.majority(granted): self.become("leader", self.term, self.id); self.log.append(self.term)
    def apply(self, input):
        leads, (kind, value) = self.role == "leader", (input, None) if isinstance(input, str) else [*input.items()][0]
        if kind == "timeout" and not leads: self.campaign(self.config["pre_vote"])
        elif kind == "lease_expire": self.lease = leads
        elif kind == "check_quorum" and leads and self.config["check_quorum"]:
            if not self.majority(len(self.active)): self.become("follower", self.term)
            self.active = {self.id}
        elif kind == "restart": self.vote = None; self.become("follower", self.term)  # the planted mistake
        elif kind == "propose" and leads: self.log.append(self.term)
        elif kind == "propose": return {"refused": "proposal_dropped"}
        elif kind == "deliver": return self.deliver(value)
        return "accepted"
    def deliver(self, m):
        sender, term, (kind, body) = m["from"], m["term"], (m["body"], {}) if isinstance(m["body"], str) else [*m["body"].items()][0]
        if kind.endswith("response") and sender > self.config["servers"]: return {"refused": "unknown_peer"}
        asks, leads = kind in ("request_vote", "request_pre_vote"), kind in ("append_entries", "heartbeat")
        if term > self.term:
            if asks and self.config["check_quorum"] and self.leader and self.lease: return "accepted"
            if kind != "request_pre_vote" and not (kind == "request_pre_vote_response" and body["granted"]):
                self.become("follower", term, sender if leads else None)
        if term < self.term: return "accepted"
        if leads and self.role != "leader": self.become("follower", term, sender)
        mine = (self.log[-1] if self.log else 0, len(self.log))
        if kind == "request_vote" and (self.vote == sender or not self.vote and not self.leader) and (body["last_term"], body["last_index"]) >= mine:
            self.vote, self.lease = sender, True
        elif kind == "append_entries" and [0, *self.log][body["prev_index"]:][:1] == [body["prev_term"]]:
            for index, entry in enumerate(body["entries"], body["prev_index"]):
                if self.log[index:][:1] != [entry["term"]]: self.log[index:] = [entry["term"]]
        elif (kind, self.role) in (("request_vote_response", "candidate"), ("request_pre_vote_response", "pre_candidate")): self.count(sender, body["granted"])
        elif self.role == "leader" and kind in ("append_entries_response", "heartbeat_response"): self.active.add(sender)
        return "accepted"
    def view(self): return {"role": self.role, "term": self.term, "vote": self.vote}

def reply(request, sessions):
    op, session = request["op"], request.get("session")
    if op == "describe": return {"protocol": 1, "name": "toy", "version": "1", "features": ["pre_vote", "check_quorum", "one_entry_per_append"], "fields": ["role", "term", "vote", "outcome"]}
    if op == "open": sessions[session] = {id: Server(id, request["config"]) for id in request["servers"]}
    servers = sessions[session] if op != "close" else sessions.pop(session)
    if op == "apply": return {"results": [{"outcome": servers[id].apply(input), "view": servers[id].view()} for id, input in request["inputs"]]}
    return {"views": [server.view() for server in servers.values()]}

sessions = {}
for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps({"op": request["op"], **({"session": request["session"]} if "session" in request else {}), **reply(request, sessions)}), flush=True)
