// Takes the official TypeScript clients through a tour of an MCP server (tours/*.json).
//
// Usage: tour.mjs ERA TOUR DIRECTORY COMMAND...
//
// ERA is `initialize` (2025-11-25, @modelcontextprotocol/sdk) or `discover` (2026-07-28, @modelcontextprotocol/client).
// Prints one JSON object a step: what the client's caller saw of it. The frames are written down by tee.py.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const PATIENCE = 30_000; // milliseconds for what a step waits for
const require = createRequire(new URL("../.peers/node/package.json", import.meta.url));
const [era, path, directory, ...command] = process.argv.slice(2);
const tour = JSON.parse(readFileSync(path, "utf8"));
const known = { dir: directory };
let answers = tour.answers ?? {};

/** What came from the server since the step began, and who waits for it. */
const seen = {
  methods: [],
  waiting: [],
  begin() {
    this.methods = [];
  },
  note(method) {
    this.methods.push(method);
    this.waiting.forEach((look) => look());
  },
  wait(wanted) {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`still waiting for ${wanted}; came: ${this.methods}`)), PATIENCE);
      const look = () => {
        const came = [...this.methods];
        if (wanted.every((method) => came.includes(method) && came.splice(came.indexOf(method), 1))) {
          clearTimeout(late);
          this.waiting = this.waiting.filter((other) => other !== look);
          resolve();
        }
      };
      this.waiting.push(look);
      look();
    });
  },
};

/** A transport that says what passes on it from the server, and when this client has answered. */
function watched(Transport, parameters) {
  const inner = new Transport(parameters);
  const outer = {
    start: () => inner.start(),
    send: async (message, options) => {
      await inner.send(message, options);
      if (message.method === undefined) seen.note("answer");
    },
    close: () => inner.close(),
  };
  inner.onmessage = (message, extra) => {
    outer.onmessage?.(message, extra);
    if (message.method !== undefined) seen.note(message.method);
  };
  inner.onclose = () => outer.onclose?.();
  inner.onerror = (error) => outer.onerror?.(error);
  return outer;
}

/** The value with `${NAME}` replaced by what is known. */
function filled(value) {
  if (typeof value === "string") {
    return Object.entries(known).reduce((text, [name, now]) => text.replaceAll("${" + name + "}", now), value);
  }
  if (Array.isArray(value)) return value.map(filled);
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, filled(item)]));
  }
  return value;
}

function told(method) {
  const answer = filled(answers[method]);
  if (answer.error === undefined) return answer;
  throw Object.assign(new Error(answer.error.message), { code: answer.error.code });
}

/** What is asked of this client; as a task where the server wants one. */
async function answer(method, request, extra) {
  const result = told(method);
  if (request.params?.task === undefined || extra.taskStore === undefined) return result;
  const task = await extra.taskStore.createTask({ ttl: extra.taskRequestedTtl });
  await extra.taskStore.storeTaskResult(task.taskId, "completed", result);
  return { task };
}

async function connected() {
  const asks = tour.answers !== undefined;
  const capabilities = asks ? { sampling: {}, elicitation: { form: {}, url: {} }, roots: { listChanged: true } } : {};
  const parameters = { command: command[0], args: command.slice(1), env: process.env, stderr: "inherit" };
  const name = { name: "tour", version: "1" };
  if (era === "discover") {
    const { Client } = require("@modelcontextprotocol/client");
    const { StdioClientTransport } = require("@modelcontextprotocol/client/stdio");
    const client = new Client(name, { capabilities, versionNegotiation: { mode: { pin: "2026-07-28" } } });
    await client.connect(watched(StdioClientTransport, parameters));
    return [client, (method) => [method]];
  }
  const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
  const { StdioClientTransport } = require("@modelcontextprotocol/sdk/client/stdio.js");
  const { InMemoryTaskStore } = require("@modelcontextprotocol/sdk/experimental/tasks/stores/in-memory.js");
  const types = require("@modelcontextprotocol/sdk/types.js");
  const tasks = { list: {}, cancel: {}, requests: { sampling: { createMessage: {} }, elicitation: { create: {} } } };
  const client = new Client(
    name,
    asks ? { capabilities: { ...capabilities, tasks }, taskStore: new InMemoryTaskStore() } : { capabilities },
  );
  if (asks) {
    for (const schema of [types.CreateMessageRequestSchema, types.ElicitRequestSchema, types.ListRootsRequestSchema]) {
      const method = schema.shape.method.value;
      client.setRequestHandler(schema, (request, extra) => answer(method, request, extra));
    }
  }
  await client.connect(watched(StdioClientTransport, parameters));
  await seen.wait(tour.after_initialize ?? []);
  return [client, (method, params) => [{ method, params }, types.ResultSchema]];
}

/** As an application would call it; for what the client has no call of its own, the plain request. */
function request(client, plain, method, params, options) {
  const calls = {
    ping: () => client.ping(options),
    "logging/setLevel": () => client.setLoggingLevel(params.level, options),
    "tools/list": () => client.listTools(params, options),
    "resources/list": () => client.listResources(params, options),
    "resources/templates/list": () => client.listResourceTemplates(params, options),
    "resources/read": () => client.readResource(params, options),
    "resources/subscribe": () => client.subscribeResource(params, options),
    "resources/unsubscribe": () => client.unsubscribeResource(params, options),
    "prompts/list": () => client.listPrompts(params, options),
    "prompts/get": () => client.getPrompt(params, options),
    "completion/complete": () => client.complete(params, options),
  };
  if (method in calls) return calls[method]();
  if (method === "tools/call" && params.task === undefined) {
    return era === "discover" ? client.callTool(params, options) : client.callTool(params, undefined, options);
  }
  return client.request(...plain(method, params), options);
}

async function asked(client, plain, step) {
  const outcome = { asked: step.request };
  const options = { timeout: PATIENCE };
  if (step.progress || step.cancel_after) options.onprogress = () => {};
  const stop = new AbortController();
  if (step.cancel_after) options.signal = stop.signal;
  try {
    const answering = request(client, plain, step.request, filled(step.params), options);
    if (step.cancel_after) {
      answering.catch(() => {});
      await seen.wait([step.cancel_after]);
      stop.abort("the tour has seen enough");
    }
    const result = await answering;
    for (const [name, at] of Object.entries(step.save ?? {})) {
      known[name] = at.split("/").reduce((value, key) => value[key], result);
    }
    outcome.came = result.isError ? "tool error" : "result";
  } catch (error) {
    outcome.came = stop.signal.aborted ? "cancelled" : `error ${error.code ?? error}`;
  }
  return outcome;
}

async function take(client, plain, step) {
  seen.begin();
  answers = { ...tour.answers, ...step.answers };
  let outcome = {};
  if (step.notify !== undefined) {
    await client.notification({ method: step.notify, params: filled(step.params) });
    outcome = { notified: step.notify };
  } else if (step.request !== undefined) {
    outcome = await asked(client, plain, step);
  }
  await seen.wait(step.wait ?? []);
  return outcome;
}

const [client, plain] = await connected();
const print = (value) => process.stdout.write(JSON.stringify(value) + "\n");
for (const step of tour.steps) {
  if (["typescript", era].includes(step.only ?? "typescript")) print(await take(client, plain, step));
}
await client.close();
process.exit(0);
