// What every script shares: the client under test, what the upstream was told to say, and how a script ends.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

const { BASE_URL, API_KEY, OPENAI_PACKAGE = "openai" } = process.env;
assert.ok(BASE_URL && API_KEY, "BASE_URL and API_KEY are set");

const sdk = await import(OPENAI_PACKAGE);
export const helpers = await import(`${OPENAI_PACKAGE}/helpers/zod`);
export const { APIError, APIUserAbortError, AuthenticationError, BadRequestError, NotFoundError } = sdk;
export const baseURL = BASE_URL;
export const apiKey = API_KEY;
export const said = JSON.parse(readFileSync(new URL("./said.json", import.meta.url), "utf8"));
export const model = said.model;
export const text = said.text.deltas.join("");

// Retries would hide an answer that was bad at first.
export function client(options = {}) {
  return new sdk.default({ baseURL: BASE_URL, apiKey: API_KEY, maxRetries: 0, ...options });
}

export function parameters(...names) {
  const properties = Object.fromEntries(names.map((name) => [name, { type: name === "days" ? "integer" : "string" }]));
  return { type: "object", properties, required: names, additionalProperties: false };
}

export const responsesUsage = {
  input_tokens: said.usage.input,
  input_tokens_details: { cached_tokens: said.usage.cached, cache_write_tokens: said.usage.cache_write },
  output_tokens: said.usage.output,
  output_tokens_details: { reasoning_tokens: said.usage.reasoning },
  total_tokens: said.usage.input + said.usage.output,
};

export function checkChatUsage(usage, times = 1) {
  const { input, cached, output, reasoning } = said.usage;
  assert.equal(usage.prompt_tokens, input * times);
  assert.equal(usage.completion_tokens, output * times);
  assert.equal(usage.total_tokens, (input + output) * times);
  assert.equal(usage.prompt_tokens_details.cached_tokens, cached * times);
  assert.equal(usage.completion_tokens_details.reasoning_tokens, reasoning * times);
}

// The three refusals that an application tells apart by class; they come before a stream begins, too.
export async function checkRefusals(request) {
  await checkRefusalsOf((openai, more) => request(openai, more));
  await checkRefusalsOf((openai, more) => request(openai, { ...more, stream: true }));
}

async function checkRefusalsOf(ask) {
  await assert.rejects(ask(client({ apiKey: "wrong" }), { model }), (error) => {
    assert.ok(error instanceof AuthenticationError, `${error}`);
    assert.deepEqual([error.status, error.code], [401, "invalid_api_key"]);
    assert.ok(error.requestID, "the request id is told");
    return true;
  });
  await assert.rejects(ask(client(), { model, metadata: "none" }), (error) => {
    assert.ok(error instanceof BadRequestError, `${error}`);
    assert.deepEqual([error.status, error.type, error.param], [400, "invalid_request_error", "metadata"]);
    assert.notEqual(error.message, "400 status code (no body)");
    return true;
  });
  await assert.rejects(ask(client(), { model: "nobody-has-it" }), (error) => {
    assert.ok(error instanceof NotFoundError, `${error}`);
    assert.deepEqual([error.status, error.code], [404, "model_not_found"]);
    return true;
  });
}

export async function collect(stream) {
  const all = [];
  for await (const event of stream) all.push(event);
  return all;
}

// The same steps once more under other names.
export const named = (prefix, all) => Object.entries(all).map(([name, step]) => [`${prefix}_${name}`, step]);

// Runs the steps in order, prints one line of JSON and exits with 1 at the first that fails.
export async function run(steps) {
  const passed = [];
  for (const [name, step] of Object.entries(steps)) {
    try {
      await step();
    } catch (error) {
      console.log(JSON.stringify({ passed, failed: name, error: error?.stack ?? String(error) }));
      console.error(error);
      process.exit(1);
    }
    passed.push(name);
  }
  console.log(JSON.stringify({ passed }));
}
