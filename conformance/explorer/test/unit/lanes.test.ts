import assert from "node:assert/strict";
import { test } from "node:test";
import { cut, fitLine, layOut, type Drawn } from "../../src/lanes";

/** A picture of this number of servers, as the program draws it. */
function drawn(servers: number): Drawn {
  const gap = servers > 3 ? 148 : 186;
  const lanes = Array.from({ length: servers }, (_, place) => 104 + gap * place);
  return { lanes, words: (lanes[servers - 1] ?? 104) + 142 };
}

test("every lifeline of up to seven servers is in sight in every pane", () => {
  for (let servers = 1; servers <= 7; servers++) {
    const picture = drawn(servers);
    for (let pane = servers > 5 ? 480 : 360; pane <= 2000; pane += 20) {
      const { lane, shift, words, width } = layOut(picture, pane);
      const last = (picture.lanes[0] ?? 0) + shift + lane * (servers - 1);
      assert.ok(last <= pane, `${servers} servers in ${pane}: the last one is at ${last}`);
      assert.equal(width, pane, `${servers} servers in ${pane} pixels need ${width}`);
      assert.ok(words.width === 0 || words.x + words.width <= pane);
      assert.ok(words.width === 0 || words.x > last + 100, "the words begin beside the labels");
    }
  }
});

test("more servers than fit are scrolled to", () => {
  const layout = layOut(drawn(30), 390);
  assert.ok(layout.width > 390 && layout.lane >= 40);
});

test("words stand where there is room for them", () => {
  assert.ok(layOut(drawn(3), 840).words.width >= 300);
  assert.ok(layOut(drawn(5), 1200).words.width >= 300);
  assert.equal(layOut(drawn(5), 840).words.width, 0);
  assert.equal(layOut(drawn(5), 840).short, false);
  assert.equal(layOut(drawn(5), 390).short, true);
});

test("a label is cut to initials and short words", () => {
  for (const [whole, short] of [
    ["AppendEntries 2..3", "AE 2..3"],
    ["AppendResponse ✓2", "AR ✓2"],
    ["PreVoteResponse ✗", "PVR ✗"],
    ["lost RequestVote", "lost RV"],
    ["pre-candidate", "pre"],
    ["candidate · term 1", "cand · t1"],
    ["leader", "leader"],
    ["leader · commit 2", "leader · c2"],
    ["election timeout", "timeout"],
    ["snapshot for 2 arrived", "snap 2"],
    ["applied", "applied"],
  ] as const) {
    assert.equal(cut(whole), short);
  }
});

test("a line ends where there is no more room", () => {
  assert.equal(fitLine("deliver it", 100, 10), "deliver it");
  assert.equal(fitLine("deliver it", 90, 10), "deliver…");
  assert.equal(fitLine("deliver it", 50, 10), "deli…");
});
