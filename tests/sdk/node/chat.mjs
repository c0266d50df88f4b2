// Chat Completions through OpenAI's own client.

import assert from "node:assert/strict";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { apiKey, baseURL, CALLS, IMAGE, JSON_ANSWER, model, rejects, run, TEXT } from "./common.mjs";

const client = new OpenAI({ apiKey, baseURL, maxRetries: 0 });
const user = (content) => [{ role: "user", content }];
const definition = { name: "get_weather", description: CALLS.description, parameters: CALLS.schema };
const tools = [{ type: "function", function: definition }];

await run({
  async create() {
    const completion = await client.chat.completions.create({ model, messages: user(TEXT.ask) });
    assert.equal(completion.choices[0].message.content, TEXT.answer);
    assert.equal(completion.choices[0].finish_reason, "stop");
    assert.ok(completion.usage.total_tokens > 0);
  },

  async "create with stream"() {
    const stream = await client.chat.completions.create({
      model,
      messages: user(TEXT.ask),
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    assert.equal(chunks[0].choices[0].delta.role, "assistant");
    assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""), TEXT.answer);
    assert.deepEqual(chunks.at(-1).choices, []);
    assert.ok(chunks.at(-1).usage.total_tokens > 0);
    assert.equal(new Set(chunks.map((chunk) => chunk.id)).size, 1);
  },

  async "stream helper"() {
    const stream = client.chat.completions.stream({ model, messages: user(TEXT.ask) });
    let snapshot = "";
    stream.on("content", (_, whole) => {
      snapshot = whole;
    });
    assert.equal(await stream.finalContent(), TEXT.answer);
    assert.equal(snapshot, TEXT.answer);
    assert.ok((await stream.totalUsage()).total_tokens > 0);
  },

  async "streamed tool calls"() {
    const stream = client.chat.completions.stream({ model, messages: user(CALLS.ask), tools });
    const message = await stream.finalMessage();
    assert.deepEqual(
      message.tool_calls.map((call) => JSON.parse(call.function.arguments).city),
      CALLS.cities,
    );
    const outputs = message.tool_calls.map((call) => ({
      role: "tool",
      tool_call_id: call.id,
      content: "sunny",
    }));
    const messages = [...user(CALLS.ask), message, ...outputs];
    const second = await client.chat.completions.create({ model, messages, tools });
    assert.equal(second.choices[0].message.content, CALLS.answer);
  },

  async "tool runner"() {
    for (const stream of [false, true]) {
      const asked = [];
      const runner = client.chat.completions.runTools({
        model,
        stream,
        messages: user(CALLS.ask),
        tools: [
          {
            type: "function",
            function: {
              ...definition,
              parse: JSON.parse,
              function: ({ city }) => {
                asked.push(city);
                return "sunny";
              },
            },
          },
        ],
      });
      assert.equal(await runner.finalContent(), CALLS.answer);
      assert.deepEqual(asked, CALLS.cities);
    }
  },

  async "structured output"() {
    const City = z.object({ city: z.string(), population: z.number() });
    const completion = await client.chat.completions.parse({
      model,
      messages: user(JSON_ANSWER.ask),
      response_format: zodResponseFormat(City, "city"),
    });
    assert.deepEqual(completion.choices[0].message.parsed, JSON_ANSWER.answer);
  },

  async image() {
    const content = [
      { type: "text", text: IMAGE.ask },
      { type: "image_url", image_url: { url: IMAGE.url } },
    ];
    const completion = await client.chat.completions.create({ model, messages: user(content) });
    assert.equal(completion.choices[0].message.content, IMAGE.answer);
  },

  async errors() {
    const stranger = new OpenAI({ apiKey: "wrong", baseURL, maxRetries: 0 });
    const ask = { model, messages: user(TEXT.ask) };
    for (const stream of [false, true]) {
      await rejects(stranger.chat.completions.create({ ...ask, stream }), {
        status: 401,
        code: "invalid_api_key",
      });
      await rejects(client.chat.completions.create({ ...ask, stream, model: "no-such-model" }), {
        status: 404,
        code: "model_not_found",
      });
      await rejects(client.chat.completions.create({ ...ask, stream, messages: "hi" }), {
        status: 400,
        type: "invalid_request_error",
      });
    }
  },
});
