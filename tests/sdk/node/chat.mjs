// The official OpenAI SDK on the Chat Completions API.
import assert from "node:assert/strict";
import { z } from "zod";
import {
  APIError, checkChatUsage, checkRefusals, client, collect, helpers, model, parameters, run, said, text,
} from "./common.mjs";

const openai = client();
const user = (content) => [{ role: "user", content }];

await run({
  async create() {
    const messages = [{ role: "system", content: "be brief" }, ...user(said.text.marker)];
    const completion = await openai.chat.completions.create({ model, messages });
    const [choice] = completion.choices;
    assert.equal(choice.message.content, text);
    assert.deepEqual([choice.finish_reason, choice.message.role, choice.message.refusal], ["stop", "assistant", null]);
    assert.match(completion.id, /^chatcmpl-/);
    assert.equal(completion.object, "chat.completion");
    checkChatUsage(completion.usage);
    assert.ok(completion._request_id);
  },

  async chunks() {
    const request = {
      model, messages: user(said.text.marker), stream: true, stream_options: { include_usage: true },
    };
    const chunks = await collect(await openai.chat.completions.create(request));
    assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""), text);
    assert.equal(chunks[0].choices[0].delta.role, "assistant");
    assert.equal(new Set(chunks.map((chunk) => `${chunk.id} ${chunk.created}`)).size, 1);
    assert.equal(chunks.at(-2).choices[0].finish_reason, "stop");
    assert.deepEqual(chunks.at(-1).choices, []);
    checkChatUsage(chunks.at(-1).usage);
  },

  async stream_helper() {
    const request = { model, messages: user(said.text.marker), stream_options: { include_usage: true } };
    const stream = openai.chat.completions.stream(request);
    let snapshot = "";
    stream.on("content", (_, all) => { snapshot = all; });
    const completion = await stream.finalChatCompletion();
    assert.equal(snapshot, text);
    assert.equal(completion.choices[0].message.content, text);
    checkChatUsage(completion.usage);
  },

  async run_tools() {
    for (const stream of [false, true]) {
      const called = [];
      const tool = ({ id, name, output }, ...names) => ({
        type: "function",
        function: {
          name,
          description: id,
          parameters: parameters(...names),
          parse: JSON.parse,
          function(args) {
            called.push([name, args]);
            return output;
          },
        },
      });
      const [weather, time] = said.tools.calls;
      const tools = [tool(weather, "city", "days"), tool(time, "zone")];
      const runner = openai.chat.completions.runTools({ model, messages: user(said.tools.marker), tools, stream });
      assert.equal(await runner.finalContent(), said.tools.answer);
      assert.deepEqual(called, said.tools.calls.map((call) => [call.name, JSON.parse(call.arguments)]));
      const asked = runner.messages.find((message) => message.tool_calls);
      assert.deepEqual(
        asked.tool_calls.map((call) => [call.id, call.type, call.function.name, call.function.arguments]),
        said.tools.calls.map((call) => [call.id, "function", call.name, call.arguments]),
      );
    }
  },

  async structured_output() {
    const format = helpers.zodResponseFormat(z.object({ city: z.string(), people: z.number() }), "place");
    const request = { model, messages: user(said.json.marker), response_format: format };
    const expected = JSON.parse(said.json.deltas.join(""));
    const completion = await openai.chat.completions.parse(request);
    assert.deepEqual(completion.choices[0].message.parsed, expected);
    const streamed = await openai.chat.completions.stream(request).finalChatCompletion();
    assert.deepEqual(streamed.choices[0].message.parsed, expected);
  },

  async several_choices() {
    const request = { model, messages: user(said.text.marker), n: 2 };
    const completion = await openai.chat.completions.create(request);
    assert.deepEqual(completion.choices.map((choice) => [choice.index, choice.message.content]), [[0, text], [1, text]]);
    checkChatUsage(completion.usage, 2);
    const streamed = await openai.chat.completions.stream(request).finalChatCompletion();
    assert.deepEqual(streamed.choices.map((choice) => choice.message.content), [text, text]);
  },

  async image() {
    const content = [
      { type: "text", text: said.image.marker },
      { type: "image_url", image_url: { url: said.image.url, detail: "auto" } },
    ];
    const completion = await openai.chat.completions.create({ model, messages: user(content) });
    assert.equal(completion.choices[0].message.content, said.image.text);
  },

  async reasoning() {
    const request = { model, messages: user(said.reasoning.marker), reasoning_effort: "high" };
    const completion = await openai.chat.completions.create(request);
    assert.equal(completion.choices[0].message.content, said.reasoning.text);
    const expected = said.reasoning.summary.map((deltas) => deltas.join("")).join("\n\n");
    assert.equal(completion.choices[0].message.reasoning_content, expected);
  },

  async refusals() {
    await checkRefusals((other, more) =>
      other.chat.completions.create({ messages: user(said.text.marker), ...more }));
  },

  async failure_in_the_stream() {
    let seen = "";
    const ask = async () => {
      const request = { model, messages: user(said.fail.marker), stream: true };
      for await (const chunk of await openai.chat.completions.create(request)) {
        seen += chunk.choices[0]?.delta.content ?? "";
      }
    };
    await assert.rejects(ask, (error) => {
      assert.ok(error instanceof APIError, `${error}`);
      assert.match(error.message, new RegExp(said.fail.message));
      return true;
    });
    assert.equal(seen, said.fail.deltas.join(""));
  },

  async abort() {
    const request = { model, messages: user(said.hang.marker), stream: true };
    const stream = await openai.chat.completions.create(request);
    let seen = "";
    for await (const chunk of stream) {
      seen += chunk.choices[0]?.delta.content ?? "";
      if (seen) stream.controller.abort();
    }
    assert.equal(seen, said.hang.deltas.join(""));
  },
});
