// The official OpenAI SDK on the Responses API.
import assert from "node:assert/strict";
import { z } from "zod";
import {
  APIError, APIUserAbortError, checkRefusals, client, collect, helpers, model, parameters, responsesUsage, run, said, text,
} from "./common.mjs";

const openai = client();
const tools = [
  { type: "function", name: "get_weather", description: "the weather", parameters: parameters("city", "days"), strict: true },
  { type: "function", name: "get_time", description: "the time", parameters: parameters("zone"), strict: true },
];

function checkCalls(response) {
  const calls = response.output.filter((item) => item.type === "function_call");
  assert.deepEqual(
    calls.map(({ call_id: id, name, arguments: args, status }) => ({ id, name, arguments: args, status })),
    said.tools.calls.map(({ id, name, arguments: args }) => ({ id, name, arguments: args, status: "completed" })),
  );
  return calls;
}

// The way that OpenAI's guide describes: everything that came goes back, and the outputs after it.
function followUp(response) {
  const outputs = said.tools.calls.map(({ id, output }) => ({ type: "function_call_output", call_id: id, output }));
  return [{ role: "user", content: said.tools.marker }, ...response.output, ...outputs];
}

await run({
  async create() {
    const response = await openai.responses.create({ model, input: said.text.marker, instructions: "be brief" });
    assert.equal(response.output_text, text);
    assert.deepEqual(response.usage, responsesUsage);
    assert.deepEqual([response.object, response.status, response.instructions], ["response", "completed", "be brief"]);
    assert.equal(response.error, null);
    assert.match(response.id, /^resp_/);
    assert.ok(response._request_id);
  },

  async events() {
    const events = await collect(await openai.responses.create({ model, input: said.text.marker, stream: true }));
    assert.deepEqual(events.map((event) => event.sequence_number), events.map((_, index) => index));
    const deltas = events.filter((event) => event.type === "response.output_text.delta");
    assert.equal(deltas.map((event) => event.delta).join(""), text);
    assert.deepEqual(events.slice(0, 2).map((event) => event.type), ["response.created", "response.in_progress"]);
    const last = events.at(-1);
    assert.equal(last.type, "response.completed");
    assert.deepEqual(last.response.usage, responsesUsage);
    assert.equal(last.response.id, events[0].response.id);
  },

  async stream_helper() {
    let snapshot = "";
    let types = 0;
    const stream = openai.responses.stream({ model, input: said.text.marker });
    stream.on("event", () => { types += 1; });
    stream.on("response.output_text.delta", (event) => { snapshot = event.snapshot; });
    const response = await stream.finalResponse();
    assert.equal(snapshot, text);
    assert.equal(response.output_text, text);
    assert.deepEqual(response.usage, responsesUsage);
    assert.ok(types > said.text.deltas.length / 2);
  },

  async tool_loop() {
    const request = { model, input: said.tools.marker, tools };
    const first = await openai.responses.create(request);
    checkCalls(first);
    const second = await openai.responses.create({ ...request, input: followUp(first) });
    assert.equal(second.output_text, said.tools.answer);
  },

  async tool_loop_streamed() {
    const request = { model, input: said.tools.marker, tools };
    const parts = new Map();
    const stream = openai.responses.stream(request);
    stream.on("response.function_call_arguments.delta", (event) => {
      parts.set(event.item_id, (parts.get(event.item_id) ?? "") + event.delta);
    });
    const first = await stream.finalResponse();
    const calls = checkCalls(first);
    assert.deepEqual([...parts.values()], calls.map((call) => call.arguments));
    assert.deepEqual(calls.map((call) => call.parsed_arguments), said.tools.calls.map((call) => JSON.parse(call.arguments)));
    // The parsed arguments are the SDK's own addition and no part of the API.
    const output = first.output.map(({ parsed_arguments: _, ...item }) => item);
    const second = await openai.responses.stream({ ...request, input: followUp({ output }) }).finalResponse();
    assert.equal(second.output_text, said.tools.answer);
  },

  async structured_output() {
    const format = helpers.zodTextFormat(z.object({ city: z.string(), people: z.number() }), "place");
    const request = { model, input: said.json.marker, text: { format } };
    const expected = JSON.parse(said.json.deltas.join(""));
    const response = await openai.responses.parse(request);
    assert.deepEqual(response.output_parsed, expected);
    assert.equal(response.output_text, said.json.deltas.join(""));
    const streamed = await openai.responses.stream(request).finalResponse();
    assert.deepEqual(streamed.output_parsed, expected);
  },

  async image() {
    const content = [
      { type: "input_text", text: said.image.marker },
      { type: "input_image", image_url: said.image.url, detail: "auto" },
    ];
    const response = await openai.responses.create({ model, input: [{ role: "user", content }] });
    assert.equal(response.output_text, said.image.text);
  },

  async reasoning_round_trip() {
    const request = {
      model, include: ["reasoning.encrypted_content"], store: false, reasoning: { effort: "high", summary: "auto" },
    };
    const question = { role: "user", content: said.reasoning.marker };
    const summary = [];
    const stream = openai.responses.stream({ ...request, input: [question] });
    stream.on("response.reasoning_summary_text.done", (event) => summary.push(event.text));
    const first = await stream.finalResponse();
    const expected = said.reasoning.summary.map((deltas) => deltas.join(""));
    assert.deepEqual(summary, expected);
    const [reasoning] = first.output;
    assert.equal(reasoning.type, "reasoning");
    assert.deepEqual(reasoning.summary.map((part) => part.text), expected);
    assert.equal(reasoning.encrypted_content, said.reasoning.encrypted);
    assert.equal(first.output_text, said.reasoning.text);
    const input = [question, ...first.output, { role: "user", content: `${said.reasoning.marker} again` }];
    const second = await openai.responses.create({ ...request, input });
    assert.equal(second.output_text, said.reasoning.text);
  },

  async models() {
    const models = await collect(openai.models.list());
    assert.ok(models.some((entry) => entry.id === model), JSON.stringify(models));
    assert.equal((await openai.models.retrieve(model)).id, model);
  },

  async refusals() {
    await checkRefusals((other, more) => other.responses.create({ input: said.text.marker, ...more }));
  },

  async failure_in_the_stream() {
    const seen = [];
    const ask = async () => {
      for await (const event of await openai.responses.create({ model, input: said.fail.marker, stream: true })) {
        if (event.type === "response.output_text.delta") seen.push(event.delta);
      }
    };
    await assert.rejects(ask, (error) => {
      assert.ok(error instanceof APIError, `${error}`);
      assert.match(error.message, new RegExp(said.fail.message));
      return true;
    });
    assert.equal(seen.join(""), said.fail.deltas.join(""));
    await assert.rejects(openai.responses.stream({ model, input: said.fail.marker }).finalResponse(), APIError);
  },

  async abort() {
    const stream = openai.responses.stream({ model, input: said.hang.marker });
    stream.on("response.output_text.delta", () => stream.abort());
    await assert.rejects(stream.finalResponse(), APIUserAbortError);
  },
});
