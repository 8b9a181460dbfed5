// Tests of the Explorer and of a trace's page in a real browser.
//
//   node test/browser/run.mjs PROGRAM [REPORTS]
//
// PROGRAM is the built `lockstep`; screenshots go to REPORTS (target/reports/explorer). The browser is
// $CHROMIUM or /usr/bin/chromium. Every process that is started is ended.
import { chromium } from "playwright-core";
import { spawn, spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";

const top = resolve(import.meta.dirname, "../../../..");
const program = resolve(process.argv[2] ?? join(top, "target/release/lockstep"));
const reports = resolve(process.argv[3] ?? join(top, "target/reports/explorer"));
const browserPath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const corpus = (name) => join(top, "traces/corpus", `${name}.ndjson`);
const PATIENCE = 30_000;
mkdirSync(reports, { recursive: true });

const started = [];
/** Starts the Explorer; its address. */
async function explore(...options) {
  const child = spawn(program, ["explore", "--port", "0", ...options], { stdio: ["ignore", "pipe", "inherit"] });
  started.push(child);
  let text = "";
  for await (const chunk of child.stdout) {
    text += chunk;
    const found = /http:\/\/[0-9.:]+\//.exec(text);
    if (found && text.includes("Ctrl-C")) return { url: found[0], child };
  }
  throw new Error(`the Explorer did not start: ${text}`);
}

const profile = mkdtempSync(join(tmpdir(), "lockstep-browser-"));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: browserPath,
  headless: true,
  viewport: { width: 1600, height: 1000 },
  acceptDownloads: true,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
  ],
});
context.setDefaultTimeout(PATIENCE);
// For work on the pages: with DIST=1 they come from dist/, not from the program.
if (process.env.DIST) {
  const kinds = { "explorer.js": "text/javascript", "style.css": "text/css" };
  for (const [name, contentType] of Object.entries(kinds)) {
    const path = join(top, "conformance/explorer/dist", name);
    await context.route(`**/${name}`, (route) => route.fulfill({ path, contentType }));
  }
}

const complaints = [];
const elsewhere = [];
async function open(url, { size, theme } = {}) {
  const page = await context.newPage();
  if (size) await page.setViewportSize(size);
  if (theme) await page.emulateMedia({ colorScheme: theme });
  page.on("console", (it) => {
    if (it.type() === "error" || it.type() === "warning") complaints.push(`${url}: ${it.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`${url}: ${error}`));
  const own = new URL(url).origin;
  page.on("request", (it) => {
    if (!it.url().startsWith("data:") && !it.url().startsWith("blob:") && new URL(it.url()).origin !== own) {
      elsewhere.push(it.url());
    }
  });
  await page.goto(url);
  return page;
}

const shot = (page, name) => page.screenshot({ path: join(reports, `${name}.png`) });

/** The step that the page shows. */
const atStep = (page, step) =>
  page.waitForFunction((step) => document.title.includes(`step ${step} `), step, { timeout: PATIENCE });

/** Every lifeline is in sight with its name, words and labels end within what holds them. */
async function fits(page, servers, name) {
  const seen = await page.evaluate(() => {
    const box = (it) => it.getBoundingClientRect();
    const all = (what) => [...document.querySelectorAll(what)];
    const pane = box(document.querySelector(".diagram"));
    const inside = (it) => box(it).left >= pane.left - 1 && box(it).right <= pane.right + 1;
    const middle = (it) => box(it).x + box(it).width / 2;
    const [names, axes] = [all(".lanes span"), all(".lk-axis")];
    const overfull = all(".lk-label, .lk-mark").filter((it) => {
      const [text, edge] = [box(it.querySelector("text")), box(it.querySelector("rect"))];
      return text.left < edge.left - 1 || text.right > edge.right + 1;
    });
    const cut = all(".lk-sentence, .lk-changes").filter((it) => it.textContent !== "" && !inside(it));
    return {
      names: names.filter(inside).length,
      axes: axes.filter(inside).length,
      apart: Math.max(...names.map((it, place) => Math.abs(middle(it) - middle(axes[place])))),
      overfull: overfull.map((it) => it.textContent),
      cut: cut.map((it) => it.textContent),
    };
  });
  assert.ok(seen.apart < 2, `${name}: a name is ${seen.apart} pixels beside its lifeline`);
  assert.deepEqual({ ...seen, apart: 0 }, { names: servers, axes: servers, apart: 0, overfull: [], cut: [] }, name);
}

/** Nothing that axe finds wrong. */
async function accessible(page, name) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() =>
    window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] }),
  );
  const text = violations.map((it) => `${it.id}: ${it.help}: ${it.nodes.map((node) => node.html).slice(0, 3).join(" | ")}`);
  assert.deepEqual(text, [], `${name} is not accessible`);
}

async function assertInSight(page, element) {
  const box = await element.boundingBox();
  const { height } = page.viewportSize();
  assert.ok(box && box.y >= 0 && box.y + box.height <= height, `${await element.textContent()} is out of sight`);
}

/** Takes the action whose whole sentence contains this. */
const deliver = (page, text) => page.getByRole("button", { name: text, exact: false }).first().click();

const tests = {
  async "an election by clicks, back and forward, and the address of a state"() {
    const { url } = await explore("--preset", "smoke");
    const page = await open(url);
    await atStep(page, 0);
    await page.getByRole("button", { name: /election timer fires/ }).first().click();
    await atStep(page, 1);
    let step = 1;
    for (const text of [
      "deliver 1→2 RequestPreVote ",
      "deliver 2→1 RequestPreVoteResponse",
      "lose 1→3 RequestPreVote ",
      "deliver 1→2 RequestVote ",
      "deliver 2→1 RequestVoteResponse",
    ]) {
      await deliver(page, text);
      await atStep(page, ++step);
    }
    await page.locator(".card.role-leader .chip.role").waitFor();
    assert.equal(await page.locator(".picture svg .lk-mark.lk-leader").count(), 1);
    assert.equal(await page.locator(".picture svg .lk-row").count(), 6);
    assert.equal(await page.locator(".picture svg .lk-cross").count(), 1);
    await fits(page, 3, "an election");
    assert.ok((await page.locator(".picture .lk-sentence").first().textContent()).endsWith("election timer fires"));
    await shot(page, "election");
    await accessible(page, "an election");
    const address = page.url();
    await page.goBack();
    await atStep(page, 5);
    assert.equal(await page.locator(".card.role-leader").count(), 0);
    await page.goForward();
    await atStep(page, 6);
    await page.keyboard.press("ArrowLeft");
    await atStep(page, 5);
    // What follows stays in sight.
    assert.equal(await page.locator(".picture svg .lk-row.lk-future").count(), 1);
    await page.keyboard.press("ArrowRight");
    await atStep(page, 6);
    await page.close();
    const other = await open(address);
    await atStep(other, 6);
    await other.locator(".card.role-leader").waitFor();
    await other.close();
  },

  async "what the bounds leave out has a reason"() {
    const { url } = await explore("--preset", "smoke");
    const page = await open(url);
    await atStep(page, 0);
    await page.getByRole("button", { name: /election timer fires/ }).first().click();
    await atStep(page, 1);
    const reason = page.locator(".group").first().locator(".reasons", { hasText: "election timer fires" });
    assert.match((await reason.textContent()) ?? "", /election timer fires: budget spent: 1 of 1 timeouts/);
    assert.equal(await page.getByRole("button", { name: /election timer fires/ }).count(), 0);
    // The many that mean nothing to a candidate are counted, and named when somebody asks.
    const others = page.locator(".group").first().locator(".reasons details", { hasText: "means nothing in this role" });
    const named = others.getByText("heartbeat timer fires");
    assert.equal(await named.isVisible(), false);
    await others.locator("summary").click();
    await named.waitFor();
    await page.getByLabel("also take what the bounds leave out").check();
    await page.getByRole("button", { name: /election timer fires/ }).first().click();
    await atStep(page, 2);
    await page.close();
  },

  async "the rules of a step, with their source"() {
    const { url } = await explore("--preset", "smoke");
    const page = await open(url);
    await atStep(page, 0);
    await page.getByRole("button", { name: /election timer fires/ }).first().click();
    await atStep(page, 1);
    // The servers are in sight without scrolling, whatever the number of rules.
    for (const card of await page.locator(".card").all()) await assertInSight(page, card);
    const rule = page.locator(".rules > ul > li", { hasText: "PreVoteFirst" });
    assert.match(await rule.getByRole("link", { name: /raft.go/ }).getAttribute("href"), /github.com\/etcd-io\/raft/);
    await rule.locator("summary").click();
    await rule.locator("pre", { hasText: "fn become_pre_candidate" }).waitFor();
    await accessible(page, "the rules of a step");
    await shot(page, "rules");
    await page.close();
  },

  async "keys, the help, and the theme"() {
    const { url } = await explore("--preset", "smoke");
    const page = await open(url, { theme: "light" });
    await atStep(page, 0);
    await page.keyboard.press("1");
    await atStep(page, 1);
    await page.keyboard.press("r");
    await atStep(page, 2);
    await page.keyboard.press("Home");
    await atStep(page, 0);
    await page.keyboard.press("End");
    await atStep(page, 2);
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Help" }).waitFor();
    await shot(page, "help");
    await accessible(page, "the help");
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "hidden" });
    const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    const light = await ground();
    await page.keyboard.press("t");
    await page.keyboard.press("t");
    await page.waitForFunction(() => document.documentElement.dataset.theme === "dark");
    assert.notEqual(await ground(), light);
    // Searching is a key away, and typing there is no command.
    await page.keyboard.press("/");
    await page.keyboard.type("r");
    assert.equal(await page.getByLabel("Condition").inputValue(), "r");
    await atStep(page, 2);
    await page.close();
  },

  async "a search, a witness, and a random walk"() {
    const { url } = await explore("--preset", "default");
    const page = await open(url);
    await atStep(page, 0);
    await page.getByLabel("Condition").fill("two leaders");
    await page.getByRole("button", { name: "shortest way" }).first().click();
    await page.locator(".card.role-leader").nth(1).waitFor();
    assert.equal(await page.locator(".card.role-leader").count(), 2);
    await shot(page, "two-leaders");
    await page.getByLabel("Condition").fill("two leeders");
    await page.getByRole("button", { name: "shortest way" }).first().click();
    await page.getByText("expected leader, candidate").waitFor();
    // The refusal is an error of the request, and the browser says so.
    assert.equal(complaints.filter((it) => it.includes("400")).length, 1);
    complaints.length = 0;
    await page.locator("details.witnesses > summary").click();
    const witness = page.locator(".witnesses li", { hasText: "stepped_down_by_check_quorum_reachable" });
    await witness.getByRole("button", { name: "shortest way" }).click();
    await page.locator(".witnesses li.holds", { hasText: "stepped_down_by_check_quorum_reachable" }).waitFor();
    const before = page.url();
    await page.getByRole("button", { name: "Random walk" }).click();
    await page.waitForFunction((before) => location.href !== before, before);
    // One that this model does not reach is reached in a preset of its own.
    const elsewhere = page.locator(".witnesses li", { hasText: "stale_lease_read_reachable" });
    await elsewhere.getByRole("button", { name: /^in lease-/ }).click();
    await page.locator(".witnesses li.holds", { hasText: "stale_lease_read_reachable" }).waitFor();
    assert.match(page.url(), /#lease-/);
    await page.close();
  },

  async "a trace is opened, and saved"() {
    const { url } = await explore();
    const page = await open(url);
    await atStep(page, 0);
    await page.getByLabel("Trace file").setInputFiles(corpus("story-figure-8-committed"));
    await page.locator(".notice", { hasText: "story-figure-8-committed" }).waitFor();
    const rows = await page.locator(".picture svg .lk-row").count();
    assert.ok(rows > 20, `${rows} rows`);
    await shot(page, "figure-8");
    await page.getByText("Save as").click();
    const download = page.waitForEvent("download");
    await page.getByText("Lockstep trace").click();
    const saved = await (await download).path();
    const lines = readFileSync(saved, "utf8").trim().split("\n");
    assert.equal(lines.length, rows + 2);
    // Dropping the file that was saved leads to the same state.
    const address = page.url();
    await page.evaluate((text) => {
      const files = new DataTransfer();
      files.items.add(new File([text], "saved.ndjson"));
      dispatchEvent(new DragEvent("drop", { dataTransfer: files, cancelable: true }));
    }, lines.join("\n") + "\n");
    await page.locator(".notice", { hasText: "explored" }).waitFor();
    assert.equal(page.url(), address);
    await page.close();
  },

  async "five presets, light and dark"() {
    const { url } = await explore();
    for (const [preset, theme] of [
      ["smoke", "light"],
      ["default", "dark"],
      ["conflict", "light"],
      ["pair", "dark"],
      ["five", "light"],
    ]) {
      const page = await open(`${url}#${preset}/`, { theme });
      await atStep(page, 0);
      const servers = { pair: 2, five: 5 }[preset] ?? 3;
      assert.equal(await page.locator(".card").count(), servers);
      for (let turn = 1; turn <= 2; turn++) {
        const before = page.url();
        await page.getByRole("button", { name: "Random walk" }).click();
        await page.waitForFunction((before) => location.href !== before, before).catch(() => {});
        await page.waitForTimeout(150);
      }
      await page.locator(".picture svg .lk-row").first().waitFor();
      await shot(page, `preset-${preset}-${theme}`);
      await accessible(page, `${preset} in ${theme}`);
      await page.close();
    }
  },

  async "five servers and sixty steps"() {
    const { url } = await explore();
    const answer = await fetch(
      `${url}api/walk?model=five~max_term=9~max_in_flight=9~timeouts=unlimited~drops=3~restarts=2~duplicates=2&path=&steps=60&seed=7`,
    );
    const { path, steps } = await answer.json();
    assert.equal(steps, 60);
    const page = await open(`${url}#five~max_term=9~max_in_flight=9~timeouts=unlimited~drops=3~restarts=2~duplicates=2/${path}`);
    await atStep(page, 60);
    assert.equal(await page.locator(".picture svg .lk-row").count(), 60);
    await fits(page, 5, "five servers");
    await shot(page, "five-servers-60-steps");
    // The picture follows the window.
    await page.setViewportSize({ width: 1920, height: 1080 });
    await page.waitForFunction(() => document.querySelector(".says") === null);
    await fits(page, 5, "five servers on a wide screen");
    await shot(page, "five-servers-60-steps-1920");
    await page.setViewportSize({ width: 1280, height: 800 });
    await page.locator("svg.lk-short").waitFor();
    await fits(page, 5, "five servers on 1280 pixels");
    await shot(page, "five-servers-60-steps-1280");
    await page.close();
    const narrow = await open(page.url(), { size: { width: 390, height: 844 }, theme: "dark" });
    await atStep(narrow, 60);
    await shot(narrow, "narrow-diagram");
    await fits(narrow, 5, "a narrow page");
    // There is no room for words beside it, so those of the step stand above it.
    await narrow.locator(".says", { hasText: /^60 / }).waitFor();
    await narrow.getByRole("button", { name: "What next" }).click();
    await shot(narrow, "narrow-next");
    await narrow.getByRole("button", { name: "State" }).click();
    await shot(narrow, "narrow-state");
    const wide = await narrow.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= 390, `the narrow page is ${wide} pixels wide`);
    await accessible(narrow, "a narrow page");
    await narrow.close();
  },

  async "an implementation beside the specification, and its mistake in red"() {
    const good = await explore("--preset", "smoke", "--target", "lockstep-raft");
    const page = await open(good.url);
    await atStep(page, 0);
    await page.getByRole("button", { name: /election timer fires/ }).first().click();
    await atStep(page, 1);
    await page.locator(".chip.target", { hasText: "agrees" }).waitFor();
    await page.close();
    // This one sends its first message twice when an election timer fires.
    const bad = await explore("--preset", "smoke", "--target", "lockstep-raft", "--plant", "extra_message");
    const other = await open(bad.url);
    await atStep(other, 0);
    await other.locator(".chip.target", { hasText: "agrees" }).waitFor();
    await other.getByRole("button", { name: /election timer fires/ }).first().click();
    await atStep(other, 1);
    await other.locator(".chip.target.bad", { hasText: "differs" }).waitFor();
    await other.locator(".laststep .wrongs", { hasText: "extra message" }).waitFor();
    assert.equal(await other.locator(".picture svg .lk-row.lk-differs").count(), 1);
    await shot(other, "planted-mistake");
    await accessible(other, "a planted mistake");
    await other.close();
  },

  async "stateright's own Explorer"() {
    const { url } = await explore("--preset", "single");
    const page = await open(`${url}stateright/`);
    await page.getByText("Properties").first().waitFor();
    await page.getByText("Init 0").first().click();
    await page.getByText("Timeout(1)").first().waitFor();
    await shot(page, "stateright");
    await page.close();
    complaints.length = 0;
  },

  async "the page of a trace needs no server"() {
    const file = join(profile, "figure-8.html");
    const made = spawnSync(
      program,
      ["show", corpus("story-figure-8-overwritten"), "--as", "html", "--target", "lockstep-raft", "--out", file],
      { timeout: PATIENCE },
    );
    assert.equal(made.status, 0, String(made.stderr));
    const page = await open(pathToFileURL(file).href);
    await page.getByText("lockstep-raft agrees at every step.").waitFor();
    const slider = page.getByRole("slider", { name: "Step" });
    const last = Number(await slider.getAttribute("max"));
    assert.equal(await page.locator("#app svg .lk-row").count(), last);
    await page.keyboard.press("Home");
    await page.getByText(`0 of ${last}`).waitFor();
    await page.keyboard.press("ArrowRight");
    await page.getByText(`1 of ${last}`).waitFor();
    await page.keyboard.press("End");
    await shot(page, "trace-page");
    await accessible(page, "the page of a trace");
    await page.close();
  },
};

tests["the page of a report"] = async () => {
  const folder = join(profile, "report");
  const run = (...args) => spawnSync(program, [...args, "--quiet"], { timeout: PATIENCE, maxBuffer: 1 << 28 });
  const json = (name, ...args) => {
    const path = join(profile, name);
    writeFileSync(path, run(...args, "--format", "json").stdout);
    return path;
  };
  assert.equal(run("check", "--preset", "smoke", "--report", folder).status, 0);
  const results = [
    join(folder, "report.json"),
    json("coverage.json", "coverage", "smoke"),
    json("replay.json", "replay", corpus("story-figure-8-committed"), "--target", "lockstep-raft"),
  ];
  const alone = join(profile, "divergence");
  const planted = run("conform", "--preset", "smoke", "--plant", "wrong_message", "--report", alone, "--trace-out", join(profile, "d.ndjson"));
  assert.equal(planted.status, 1, String(planted.stderr));
  const bad = await open(pathToFileURL(join(alone, "index.html")).href);
  await bad.locator(".wrong-jobs", { hasText: "wrong message" }).waitFor();
  await shot(bad, "report-of-a-divergence");
  await accessible(bad, "the report of a divergence");
  await bad.getByRole("link", { name: "its trace, step by step" }).click();
  await bad.locator(".laststep .wrongs", { hasText: "wrong message" }).waitFor();
  await shot(bad, "divergence");
  await bad.close();
  assert.equal(run("report", ...results, "--out", folder).status, 0);
  const page = await open(pathToFileURL(join(folder, "index.html")).href);
  await page.getByRole("heading", { name: "Lockstep report" }).waitFor();
  assert.equal(await page.locator(".plots figure").count(), 1);
  assert.equal(await page.locator(".matrix tbody tr").count(), 15);
  await page.screenshot({ path: join(reports, "report.png"), fullPage: true });
  // Long lists are folded: a person sees the whole result in a few screens.
  const tall = await page.evaluate(() => document.documentElement.scrollHeight);
  assert.ok(tall < 6000, `the report is ${tall} pixels high`);
  await accessible(page, "a report");
  for (const fold of await page.locator("details.fold > summary, details.kind > summary").all()) await fold.click();
  await accessible(page, "a report with everything open");
  await page.emulateMedia({ colorScheme: "dark" });
  await page.screenshot({ path: join(reports, "report-dark.png"), fullPage: true });
  await accessible(page, "a dark report");
  const witness = page.getByRole("link", { name: "a server leads" });
  if (!(await witness.isVisible())) await page.locator("summary", { hasText: "Witnesses" }).click();
  await witness.click();
  await page.locator("#app svg .lk-mark.lk-leader").waitFor();
  await page.close();
};

let failed = 0;
const only = process.env.ONLY;
for (const [name, run] of Object.entries(tests)) {
  if (only && !name.includes(only)) continue;
  const clock = Date.now();
  try {
    await run();
    assert.deepEqual(complaints, [], "the console is silent");
    assert.deepEqual(elsewhere, [], "nothing is loaded from elsewhere");
    console.log(`ok ${name} (${((Date.now() - clock) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed += 1;
    console.error(`FAILED ${name}: ${error.stack ?? error}`);
    for (const [number, page] of context.pages().entries()) {
      if (page.url() !== "about:blank") await shot(page, `failed-${failed}-${number}`).catch(() => {});
    }
  }
  complaints.length = 0;
  elsewhere.length = 0;
  for (const page of context.pages().slice(1)) await page.close();
  for (const child of started.splice(0)) {
    child.kill("SIGINT");
    const code = await Promise.race([
      new Promise((end) => (child.exitCode === null ? child.once("exit", end) : end(child.exitCode))),
      new Promise((end) => setTimeout(() => end("still running"), 20_000)),
    ]);
    // Code 4 says that a signal ended it.
    if (code !== 0 && code !== 4) {
      failed += 1;
      console.error(`FAILED ${name}: after Ctrl-C the Explorer ended with ${code}`);
      child.kill("SIGKILL");
    }
  }
}
await context.close();
rmSync(profile, { recursive: true, force: true });
if (!existsSync(join(reports, "election.png")) && !only) failed += 1;
process.exit(failed === 0 ? 0 : 1);
