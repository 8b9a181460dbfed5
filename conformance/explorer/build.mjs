// Bundles the pages into dist/, which is committed: `cargo build` needs no Node.
//
//   node build.mjs           writes dist/
//   node build.mjs --check   fails if dist/ is not what the sources give
//   node build.mjs --tests   bundles the unit tests into .test/
import { build } from "esbuild";
import { readdirSync, readFileSync, existsSync, mkdirSync, writeFileSync, rmSync } from "node:fs";
import { basename, join } from "node:path";

const folder = import.meta.dirname;
const at = (...parts) => join(folder, ...parts);

/** What dist/ must hold: name and contents. */
async function bundle() {
  const result = await build({
    entryPoints: [at("src/explorer.tsx"), at("src/show.tsx")],
    outdir: at("dist"),
    bundle: true,
    minify: true,
    format: "iife",
    target: "es2022",
    jsx: "automatic",
    jsxImportSource: "preact",
    legalComments: "none",
    charset: "utf8",
    write: false,
  });
  const files = new Map(result.outputFiles.map((file) => [basename(file.path), file.text]));
  const style = await build({
    entryPoints: [at("src/style.css")],
    bundle: true,
    minify: true,
    charset: "utf8",
    write: false,
  });
  files.set("style.css", style.outputFiles[0].text);
  files.set("index.html", readFileSync(at("src/index.html"), "utf8"));
  return files;
}

async function tests() {
  rmSync(at(".test"), { recursive: true, force: true });
  const unit = readdirSync(at("test/unit")).filter((name) => /\.test\.tsx?$/.test(name));
  await build({
    entryPoints: unit.map((name) => at("test/unit", name)),
    outdir: at(".test"),
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    format: "esm",
    jsx: "automatic",
    jsxImportSource: "preact",
  });
}

async function main() {
  if (process.argv.includes("--tests")) return tests();
  const files = await bundle();
  if (!process.argv.includes("--check")) {
    mkdirSync(at("dist"), { recursive: true });
    for (const [name, text] of files) writeFileSync(at("dist", name), text);
    return;
  }
  const present = existsSync(at("dist")) ? readdirSync(at("dist")) : [];
  const stale = [...files].filter(
    ([name, text]) => !present.includes(name) || readFileSync(at("dist", name), "utf8") !== text,
  );
  const extra = present.filter((name) => !files.has(name));
  const wrong = [...stale.map(([name]) => name), ...extra];
  if (wrong.length > 0) {
    console.error(`dist/ is not what the sources give: ${wrong.join(", ")}; run \`npm run build\``);
    process.exit(1);
  }
}

await main();
