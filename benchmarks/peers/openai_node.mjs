// The openai npm package's AssistantStream over the same bytes; run by versus.py as
//
//     node openai_node.mjs STREAM CHUNK_BYTES ROUNDS PACKAGE_FOLDER
//
// The body is an async iterable, the cheapest that both versions take. Nobody listens, so no snapshot is handed out.
// Only wall time counts: the collector and the compiler work on threads of their own.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [path, size, rounds, folder] = process.argv.slice(2);
const load = (module) => import(pathToFileURL(join(folder, module)));
const { AssistantStream } = await load("lib/AssistantStream.mjs");
const { Stream } = await load("streaming.mjs");
const { VERSION } = await load("version.mjs");

const bytes = readFileSync(path);
const chunks = [];
for (let at = 0; at < bytes.length; at += Number(size)) chunks.push(new Uint8Array(bytes.subarray(at, at + Number(size))));

async function* body() {
  yield* chunks;
}

// Stands for the client's resource: makes the stream of events that the real one makes of a response.
const runs = {
  create: async () => Stream.fromSSEResponse({ body: body(), headers: new Headers() }, new AbortController(), undefined, true),
};

const open = () => AssistantStream.createAssistantStream("thread", runs, {}, {});

// What it merged before the terminal snapshot replaced it: the last snapshot given to the delta listeners.
async function texts() {
  const last = new Map();
  const runner = open();
  runner.on("runStepDelta", (_, snapshot) => last.set(snapshot.id, snapshot));
  runner.on("messageDelta", (_, snapshot) => last.set(snapshot.id, snapshot));
  await runner.done();
  const held = {};
  for (const [id, snapshot] of last) {
    const items = snapshot.content ?? snapshot.step_details?.tool_calls ?? [];
    held[id] = items.map((item) => {
      const inner = item[item.type];
      return inner.arguments ?? inner.input ?? inner.value ?? "";
    });
  }
  return held;
}

const held = await texts();
const wall = [];
for (let round = 0; round <= Number(rounds); round++) {
  const start = performance.now();
  await open().done();
  if (round) wall.push((performance.now() - start) / 1000);
}
console.log(JSON.stringify({ version: VERSION, cpu: [], wall, texts: held }));
