// LangChain's ChatOpenAI, on both APIs.
import assert from "node:assert/strict";
import { HumanMessage, SystemMessage, ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { z } from "zod";
import { apiKey, baseURL, model, named, run, said, text } from "./common.mjs";

const tools = [
  tool(() => "", {
    name: "get_weather", description: "the weather", schema: z.object({ city: z.string(), days: z.number() }),
  }),
  tool(() => "", { name: "get_time", description: "the time", schema: z.object({ zone: z.string() }) }),
];

function checkUsage(usage) {
  assert.equal(usage.input_tokens, said.usage.input);
  assert.equal(usage.output_tokens, said.usage.output);
  assert.equal(usage.total_tokens, said.usage.input + said.usage.output);
  assert.equal(usage.input_token_details.cache_read, said.usage.cached);
  assert.equal(usage.output_token_details.reasoning, said.usage.reasoning);
}

function checkCalls(message) {
  assert.deepEqual(
    message.tool_calls.map(({ id, name, args }) => ({ id, name, args })),
    said.tools.calls.map(({ id, name, arguments: args }) => ({ id, name, args: JSON.parse(args) })),
  );
}

async function whole(chat, input) {
  let all;
  for await (const chunk of await chat.stream(input)) all = all ? all.concat(chunk) : chunk;
  return all;
}

function steps(useResponsesApi) {
  const chat = new ChatOpenAI({ model, apiKey, configuration: { baseURL }, maxRetries: 0, useResponsesApi });
  return {
    async invoke() {
      const message = await chat.invoke([new SystemMessage("be brief"), new HumanMessage(said.text.marker)]);
      assert.equal(message.text, text);
      checkUsage(message.usage_metadata);
    },

    async stream() {
      const message = await whole(chat, said.text.marker);
      assert.equal(message.text, text);
      checkUsage(message.usage_metadata);
    },

    async tools() {
      const bound = chat.bindTools(tools);
      for (const ask of [(input) => bound.invoke(input), (input) => whole(bound, input)]) {
        const messages = [new HumanMessage(said.tools.marker)];
        const asked = await ask(messages);
        checkCalls(asked);
        messages.push(asked);
        for (const { id, output } of said.tools.calls) messages.push(new ToolMessage({ tool_call_id: id, content: output }));
        const answer = await ask(messages);
        assert.equal(answer.text, said.tools.answer);
      }
    },

    async structured_output() {
      const schema = z.object({ city: z.string(), people: z.number() });
      const structured = chat.withStructuredOutput(schema, { method: "jsonSchema", name: "place", strict: true });
      assert.deepEqual(await structured.invoke(said.json.marker), JSON.parse(said.json.deltas.join("")));
    },

    async image() {
      const content = [
        { type: "text", text: said.image.marker },
        { type: "image_url", image_url: { url: said.image.url } },
      ];
      const message = await chat.invoke([new HumanMessage({ content })]);
      assert.equal(message.text, said.image.text);
    },

    async refusal() {
      const other = new ChatOpenAI({ model, apiKey: "wrong", configuration: { baseURL }, maxRetries: 0, useResponsesApi });
      await assert.rejects(other.invoke(said.text.marker), (error) => {
        assert.equal(error.status, 401);
        return true;
      });
    },
  };
}

await run(Object.fromEntries([...named("responses", steps(true)), ...named("chat", steps(false))]));
