import assert from "node:assert/strict";
import { test } from "node:test";
import { formatAddress, parseAddress, steps } from "../../src/address";
import { changedFields, inFlight, plain, same, viewAfter } from "../../src/story";
import type { Story, View } from "../../src/types";

const follower: View = { role: "follower", term: 0, log: [], commit: 0, vote: null };
const candidate: View = { ...follower, role: "candidate", term: 1, vote: 1 };

const story: Story = {
  name: "",
  purpose: "",
  config: { servers: 2 },
  servers: [1, 2],
  start: follower,
  steps: [
    { server: 1, kind: "timeout", sentence: "", event: "", view: candidate, changes: [], sent: [] },
    { server: null, kind: "duplicate", sentence: "", event: "", changes: [], sent: [] },
    { server: 2, kind: "deliver", sentence: "", event: "", view: { ...follower, term: 1 }, changes: [], sent: [] },
  ],
  rules: {},
  flights: [
    { from: 1, to: 2, kind: "", label: "", sentence: "a", born: 0, after_persist: false, fate: { delivered: 2 } },
    { from: 1, to: 2, kind: "", label: "", sentence: "b", born: 1, copy_of: 0, after_persist: false, fate: "in_flight" },
  ],
};

test("an address is read back as it was written", () => {
  for (const address of [
    { model: "smoke", path: "", future: "", seal: "" },
    { model: "default", path: "0a_b", future: "Cd", seal: "x-9" },
    { model: "five~timeouts=3~drops=unlimited", path: "01", future: "", seal: "abc" },
  ]) {
    assert.deepEqual(parseAddress(formatAddress(address)), address);
  }
  assert.deepEqual(parseAddress(""), { model: "", path: "", future: "", seal: "" });
  assert.deepEqual(parseAddress("#smoke"), { model: "smoke", path: "", future: "", seal: "" });
});

test("a link is taken apart into its steps", () => {
  assert.deepEqual(steps("0a__bZ-"), ["0", "a", "__b", "Z", "-"]);
  assert.deepEqual(steps(""), []);
});

test("a server is as its last step left it", () => {
  assert.equal(viewAfter(story, 1, 0), follower);
  assert.equal(viewAfter(story, 1, 1), candidate);
  assert.equal(viewAfter(story, 1, 99), candidate);
  assert.equal(viewAfter(story, 2, 2), follower);
  assert.equal(viewAfter(story, 2, 3).term, 1);
});

test("a message is in flight from its birth to its end", () => {
  const sentences = (at: number) => inFlight(story, at).map((it) => it.sentence);
  assert.deepEqual(sentences(0), []);
  assert.deepEqual(sentences(1), ["a"]);
  assert.deepEqual(sentences(2), ["a", "b"]);
  assert.deepEqual(sentences(3), ["b"]);
});

test("every field that differs is found, also one that only one view has", () => {
  assert.deepEqual(changedFields(follower, candidate), new Set(["role", "term", "vote"]));
  assert.deepEqual(changedFields(follower, { ...follower }), new Set());
  const later: View = { ...follower, snapshot: { index: 3, term: 1 } };
  assert.deepEqual(changedFields(follower, later), new Set(["snapshot"]));
  assert.deepEqual(changedFields(later, follower), new Set(["snapshot"]));
});

test("plain data is equal field by field", () => {
  assert.ok(same({ a: [1, { b: null }] }, { a: [1, { b: null }] }));
  assert.ok(!same({ a: 1 }, { a: 1, b: undefined }));
  assert.ok(!same([1, 2], [1]));
  assert.ok(!same(null, {}));
});

test("any value has words", () => {
  assert.equal(plain(null), "–");
  assert.equal(plain(true), "yes");
  assert.equal(plain([]), "none");
  assert.equal(plain({ auto_leave: false, voters: [1, 2] }), "auto leave no, voters 1, 2");
});
