// The Responses API through OpenAI's own client.

import assert from "node:assert/strict";
import OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { apiKey, baseURL, CALLS, IMAGE, JSON_ANSWER, model, rejects, run, TEXT } from "./common.mjs";

const client = new OpenAI({ apiKey, baseURL, maxRetries: 0 });
const tools = [
  {
    type: "function",
    name: "get_weather",
    description: CALLS.description,
    parameters: CALLS.schema,
    strict: true,
  },
];

await run({
  async create() {
    const response = await client.responses.create({ model, input: TEXT.ask });
    assert.equal(response.output_text, TEXT.answer);
    assert.equal(response.status, "completed");
    assert.ok(response.usage.total_tokens > 0);
    assert.equal(response.usage.total_tokens, response.usage.input_tokens + response.usage.output_tokens);
    assert.ok(response._request_id);
  },

  async "create with stream"() {
    const stream = await client.responses.create({ model, input: TEXT.ask, stream: true });
    const events = [];
    for await (const event of stream) events.push(event);
    assert.deepEqual(
      events.map((event) => event.sequence_number),
      events.map((_, index) => index),
    );
    assert.equal(events[0].type, "response.created");
    assert.equal(events.at(-1).type, "response.completed");
    const deltas = events.filter((event) => event.type === "response.output_text.delta");
    assert.equal(deltas.map((event) => event.delta).join(""), TEXT.answer);
    const summary = events.filter((event) => event.type === "response.reasoning_summary_text.delta");
    assert.equal(summary.map((event) => event.delta).join(""), "**Plan**");
  },

  async "stream helper"() {
    const stream = client.responses.stream({ model, input: TEXT.ask });
    let snapshot = "";
    stream.on("response.output_text.delta", (event) => {
      snapshot = event.snapshot;
    });
    const response = await stream.finalResponse();
    assert.equal(snapshot, TEXT.answer);
    assert.equal(response.output_text, TEXT.answer);
    assert.deepEqual(
      response.output.map((item) => item.type),
      ["reasoning", "message"],
    );
  },

  async "tool loop by whole history"() {
    const input = [{ role: "user", content: CALLS.ask }];
    const first = await client.responses.create({ model, input, tools, store: false });
    const calls = first.output.filter((item) => item.type === "function_call");
    assert.deepEqual(
      calls.map((call) => JSON.parse(call.arguments).city),
      CALLS.cities,
    );
    input.push(...first.output);
    for (const call of calls) {
      input.push({ type: "function_call_output", call_id: call.call_id, output: "sunny" });
    }
    const second = await client.responses.create({ model, input, tools, store: false });
    assert.equal(second.output_text, CALLS.answer);
  },

  async "streamed tool call"() {
    const stream = client.responses.stream({ model, input: CALLS.ask, tools });
    const done = [];
    for await (const event of stream) {
      if (event.type === "response.function_call_arguments.done") done.push(event);
    }
    assert.deepEqual(
      done.map((event) => [event.name, JSON.parse(event.arguments).city]),
      CALLS.cities.map((city) => ["get_weather", city]),
    );
    const first = await stream.finalResponse();
    const input = [{ role: "user", content: CALLS.ask }, ...first.output];
    for (const call of first.output.filter((item) => item.type === "function_call")) {
      input.push({ type: "function_call_output", call_id: call.call_id, output: "sunny" });
    }
    const second = await client.responses.stream({ model, input, tools }).finalResponse();
    assert.equal(second.output_text, CALLS.answer);
  },

  async "structured output"() {
    const City = z.object({ city: z.string(), population: z.number() });
    const response = await client.responses.parse({
      model,
      input: JSON_ANSWER.ask,
      text: { format: zodTextFormat(City, "city") },
    });
    assert.deepEqual(response.output_parsed, JSON_ANSWER.answer);
  },

  async image() {
    const content = [
      { type: "input_text", text: IMAGE.ask },
      { type: "input_image", image_url: IMAGE.url, detail: "auto" },
    ];
    const response = await client.responses.create({ model, input: [{ role: "user", content }] });
    assert.equal(response.output_text, IMAGE.answer);
  },

  async errors() {
    const stranger = new OpenAI({ apiKey: "wrong", baseURL, maxRetries: 0 });
    const ask = { model, input: TEXT.ask };
    const unauthorised = await rejects(stranger.responses.create(ask), { status: 401, code: "invalid_api_key" });
    assert.ok(unauthorised instanceof OpenAI.AuthenticationError);
    const missing = await rejects(client.responses.create({ ...ask, model: "no-such-model" }), {
      status: 404,
      code: "model_not_found",
    });
    assert.ok(missing instanceof OpenAI.NotFoundError);
    const bad = await rejects(client.responses.create({ ...ask, max_output_tokens: "many" }), {
      status: 400,
      param: "max_output_tokens",
      type: "invalid_request_error",
    });
    assert.ok(bad instanceof OpenAI.BadRequestError);
  },

  async models() {
    const ids = [];
    for await (const entry of client.models.list()) ids.push(entry.id);
    assert.ok(ids.includes(model), ids.join());
    assert.equal((await client.models.retrieve(model)).id, model);
  },
});
