// Vercel's AI SDK: its OpenAI provider on both APIs, and the provider for services that are like OpenAI's.
import assert from "node:assert/strict";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, Output, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { apiKey, baseURL, model, named, run, said, text } from "./common.mjs";

const compatible = (key) =>
  createOpenAICompatible({ name: "proxy", baseURL, apiKey: key, includeUsage: true, supportsStructuredOutputs: true });

// The options by which each is asked to think; on Chat the summary comes without being asked for.
const providers = {
  responses: [(key) => createOpenAI({ baseURL, apiKey: key }).responses(model), { openai: { reasoningEffort: "high", reasoningSummary: "auto" } }],
  chat: [(key) => createOpenAI({ baseURL, apiKey: key }).chat(model), { openai: { reasoningEffort: "high" } }],
  compatible: [(key) => compatible(key)(model), { proxy: { reasoningEffort: "high" } }],
};

function checkUsage(usage) {
  const { input, cached, output, reasoning } = said.usage;
  assert.deepEqual([usage.inputTokens, usage.outputTokens, usage.totalTokens], [input, output, input + output]);
  assert.equal(usage.inputTokenDetails.cacheReadTokens, cached);
  assert.equal(usage.outputTokenDetails.reasoningTokens, reasoning);
}

// The tools as an application has them, with a note of what they were called with.
function tools(called) {
  const entry = ({ name, output }, inputSchema) => [name, tool({
    description: `the ${name}`,
    inputSchema,
    execute(input, { toolCallId }) {
      called.push([toolCallId, name, input]);
      return output;
    },
  })];
  const [weather, time] = said.tools.calls;
  return Object.fromEntries([
    entry(weather, z.object({ city: z.string(), days: z.number() })),
    entry(time, z.object({ zone: z.string() })),
  ]);
}

const calls = said.tools.calls.map(({ id, name, arguments: args }) => [id, name, JSON.parse(args)]);

function steps(kind) {
  const [modelOf, thinking] = providers[kind];
  const chosen = modelOf(apiKey);
  // Retries would hide an answer that was bad at first.
  const settings = { model: chosen, maxRetries: 0 };
  // What goes wrong in a stream comes as a part of it.
  const streamed = (more) => {
    const failures = [];
    const stream = streamText({ ...settings, onError: ({ error }) => failures.push(error), ...more });
    return { stream, failures };
  };

  return {
    async generate() {
      const answer = await generateText({ ...settings, system: "be brief", prompt: said.text.marker });
      assert.equal(answer.text, text);
      assert.equal(answer.finishReason, "stop");
      checkUsage(answer.usage);
    },

    async stream() {
      const { stream, failures } = streamed({ prompt: said.text.marker });
      let all = "";
      for await (const delta of stream.textStream) all += delta;
      assert.deepEqual(failures, []);
      assert.equal(all, text);
      assert.equal(await stream.finishReason, "stop");
      checkUsage(await stream.usage);
    },

    async tool_loop() {
      const called = [];
      const answer = await generateText({
        ...settings, prompt: said.tools.marker, tools: tools(called), stopWhen: stepCountIs(3),
      });
      assert.equal(answer.text, said.tools.answer);
      assert.deepEqual(called, calls);
      assert.deepEqual(answer.steps.map((step) => step.finishReason), ["tool-calls", "stop"]);
    },

    async tool_loop_streamed() {
      const called = [];
      const { stream, failures } = streamed({ prompt: said.tools.marker, tools: tools(called), stopWhen: stepCountIs(3) });
      const inputs = new Map();
      for await (const part of stream.fullStream) {
        if (part.type === "tool-input-delta") inputs.set(part.id, (inputs.get(part.id) ?? "") + part.delta);
      }
      assert.deepEqual(failures, []);
      assert.deepEqual([...inputs], said.tools.calls.map((call) => [call.id, call.arguments]));
      assert.equal(await stream.text, said.tools.answer);
      assert.deepEqual(called, calls);
    },

    async structured_output() {
      const output = Output.object({ schema: z.object({ city: z.string(), people: z.number() }), name: "place" });
      const expected = JSON.parse(said.json.deltas.join(""));
      const answer = await generateText({ ...settings, prompt: said.json.marker, output });
      assert.deepEqual(answer.output, expected);
      const { stream, failures } = streamed({ prompt: said.json.marker, output });
      assert.deepEqual(await stream.output, expected);
      assert.deepEqual(failures, []);
    },

    async image() {
      const content = [
        { type: "text", text: said.image.marker },
        { type: "image", image: said.image.url },
      ];
      const answer = await generateText({ ...settings, messages: [{ role: "user", content }] });
      assert.equal(answer.text, said.image.text);
    },

    async reasoning() {
      const expected = said.reasoning.summary.map((deltas) => deltas.join("")).join("\n\n");
      const asked = { prompt: said.reasoning.marker, providerOptions: thinking };
      const answer = await generateText({ ...settings, ...asked });
      assert.equal(answer.text, said.reasoning.text);
      const { stream, failures } = streamed(asked);
      assert.equal(await stream.text, said.reasoning.text);
      assert.deepEqual(failures, []);
      // OpenAI's own Chat Completions tells no reasoning, and the provider for it reads none.
      if (kind === "chat") return;
      const joined = (parts) => parts.map((part) => part.text).join("\n\n");
      assert.equal(joined(answer.reasoning), expected);
      assert.equal(joined(await stream.reasoning), expected);
    },

    async refusal() {
      const other = { ...settings, model: modelOf("wrong"), prompt: said.text.marker };
      const check = (error) => {
        assert.ok(APICallError.isInstance(error), `${error}`);
        assert.equal(error.statusCode, 401);
        assert.match(error.message, /key/i);
        return true;
      };
      await assert.rejects(generateText(other), check);
      const { stream, failures } = streamed(other);
      await stream.consumeStream();
      assert.equal(failures.length, 1);
      check(failures[0]);
    },

    async failure_in_the_stream() {
      const { stream, failures } = streamed({ prompt: said.fail.marker });
      let seen = "";
      for await (const delta of stream.textStream) seen += delta;
      assert.equal(seen, said.fail.deltas.join(""));
      assert.equal(failures.length, 1);
      assert.match(JSON.stringify(failures[0]) + failures[0].message, new RegExp(said.fail.message));
    },

    async abort() {
      const controller = new AbortController();
      const { stream } = streamed({ prompt: said.hang.marker, abortSignal: controller.signal });
      let seen = "";
      for await (const part of stream.fullStream) {
        if (part.type === "text-delta") {
          seen += part.text;
          controller.abort();
        }
      }
      assert.equal(seen, said.hang.deltas.join(""));
    },
  };
}

await run(Object.fromEntries(Object.keys(providers).flatMap((kind) => named(kind, steps(kind)))));
