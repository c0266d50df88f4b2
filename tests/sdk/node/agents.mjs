// OpenAI's Agents SDK, on both APIs.
import assert from "node:assert/strict";
import { Agent, OpenAIProvider, Runner, tool } from "@openai/agents";
import { z } from "zod";
import { apiKey, baseURL, model, named, run, said, text } from "./common.mjs";

const calls = said.tools.calls.map(({ name, arguments: args }) => [name, JSON.parse(args)]);

function tools(called) {
  const entry = ({ name, output }, parameters) => tool({
    name,
    description: `the ${name}`,
    parameters,
    execute(args) {
      called.push([name, args]);
      return output;
    },
  });
  const [weather, time] = said.tools.calls;
  return [
    entry(weather, z.object({ city: z.string(), days: z.number() })),
    entry(time, z.object({ zone: z.string() })),
  ];
}

function steps(useResponses) {
  const runnerWith = (key) => {
    // Its own client tries again by itself, which would hide an answer that was bad at first.
    const modelProvider = new OpenAIProvider({ apiKey: key, baseURL, useResponses });
    return new Runner({ modelProvider, tracingDisabled: true });
  };
  const runner = runnerWith(apiKey);
  const agent = (more) => new Agent({ name: "assistant", model, ...more });

  async function streamed(of, input) {
    let deltas = "";
    const result = await runner.run(of, input, { stream: true });
    for await (const event of result) {
      if (event.type === "raw_model_stream_event" && event.data.type === "output_text_delta") deltas += event.data.delta;
    }
    await result.completed;
    assert.equal(result.error, null);
    return [result, deltas];
  }

  function checkUsage(result) {
    const { usage } = result.runContext;
    const { input, output } = said.usage;
    assert.deepEqual([usage.inputTokens, usage.outputTokens, usage.totalTokens], [input, output, input + output]);
  }

  return {
    async whole() {
      const result = await runner.run(agent({ instructions: "be brief" }), said.text.marker);
      assert.equal(result.finalOutput, text);
      checkUsage(result);
    },

    async streamed() {
      const [result, deltas] = await streamed(agent({}), said.text.marker);
      assert.equal(deltas, text);
      assert.equal(result.finalOutput, text);
      checkUsage(result);
    },

    async tool_loop() {
      const called = [];
      const result = await runner.run(agent({ tools: tools(called) }), said.tools.marker);
      assert.equal(result.finalOutput, said.tools.answer);
      assert.deepEqual(called, calls);
    },

    async tool_loop_streamed() {
      const called = [];
      const [result, deltas] = await streamed(agent({ tools: tools(called) }), said.tools.marker);
      assert.equal(deltas, said.tools.answer);
      assert.equal(result.finalOutput, said.tools.answer);
      assert.deepEqual(called, calls);
    },

    async conversation() {
      const first = await runner.run(agent({}), said.text.marker);
      const again = [...first.history, { role: "user", content: said.text.marker }];
      const second = await runner.run(agent({}), again);
      assert.equal(second.finalOutput, text);
    },

    async structured_output() {
      const outputType = z.object({ city: z.string(), people: z.number() });
      const expected = JSON.parse(said.json.deltas.join(""));
      const result = await runner.run(agent({ outputType }), said.json.marker);
      assert.deepEqual(result.finalOutput, expected);
      const [again] = await streamed(agent({ outputType }), said.json.marker);
      assert.deepEqual(again.finalOutput, expected);
    },

    async image() {
      const content = [
        { type: "input_text", text: said.image.marker },
        { type: "input_image", image: said.image.url },
      ];
      const result = await runner.run(agent({}), [{ role: "user", content }]);
      assert.equal(result.finalOutput, said.image.text);
    },

    async refusal() {
      await assert.rejects(runnerWith("wrong").run(agent({}), said.text.marker), (error) => {
        assert.equal(error.status, 401);
        return true;
      });
    },
  };
}

await run(Object.fromEntries([...named("responses", steps(true)), ...named("chat", steps(false))]));
