// LangChain's ChatOpenAI, over both surfaces.

import assert from "node:assert/strict";
import { HumanMessage, ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { z } from "zod";
import { apiKey, baseURL, CALLS, IMAGE, JSON_ANSWER, model, run, TEXT } from "./common.mjs";

const weather = tool(async () => "sunny", {
  name: "get_weather",
  description: CALLS.description,
  schema: z.object({ city: z.string() }),
});

/** The text of a message whose content is a string or a list of blocks. */
function text(message) {
  if (typeof message.content === "string") return message.content;
  return message.content.map((block) => block.text ?? "").join("");
}

const checks = {};
for (const useResponsesApi of [true, false]) {
  const surface = useResponsesApi ? "responses" : "chat";
  const chat = new ChatOpenAI({ model, apiKey, useResponsesApi, maxRetries: 0, configuration: { baseURL } });

  checks[`${surface}: invoke`] = async () => {
    const message = await chat.invoke(TEXT.ask);
    assert.equal(text(message), TEXT.answer);
    assert.ok(message.usage_metadata.total_tokens > 0);
  };

  checks[`${surface}: stream`] = async () => {
    let whole;
    for await (const chunk of await chat.stream(TEXT.ask)) whole = whole ? whole.concat(chunk) : chunk;
    assert.equal(text(whole), TEXT.answer);
    assert.ok(whole.usage_metadata.total_tokens > 0);
  };

  checks[`${surface}: bindTools`] = async () => {
    const bound = chat.bindTools([weather]);
    const ask = new HumanMessage(CALLS.ask);
    const first = await bound.invoke([ask]);
    assert.deepEqual(
      first.tool_calls.map((call) => call.args.city),
      CALLS.cities,
    );
    const outputs = first.tool_calls.map(
      (call) => new ToolMessage({ content: "sunny", tool_call_id: call.id }),
    );
    assert.equal(text(await bound.invoke([ask, first, ...outputs])), CALLS.answer);
  };

  checks[`${surface}: streamed bindTools`] = async () => {
    const bound = chat.bindTools([weather]);
    const ask = new HumanMessage(CALLS.ask);
    let first;
    for await (const chunk of await bound.stream([ask])) first = first ? first.concat(chunk) : chunk;
    assert.deepEqual(
      first.tool_calls.map((call) => call.args.city),
      CALLS.cities,
    );
    const outputs = first.tool_calls.map(
      (call) => new ToolMessage({ content: "sunny", tool_call_id: call.id }),
    );
    assert.equal(text(await bound.invoke([ask, first, ...outputs])), CALLS.answer);
  };

  checks[`${surface}: withStructuredOutput`] = async () => {
    const City = z.object({ city: z.string(), population: z.number() });
    const structured = chat.withStructuredOutput(City, { name: "city", method: "jsonSchema" });
    assert.deepEqual(await structured.invoke(JSON_ANSWER.ask), JSON_ANSWER.answer);
  };

  checks[`${surface}: image`] = async () => {
    const content = [
      { type: "text", text: IMAGE.ask },
      { type: "image_url", image_url: { url: IMAGE.url } },
    ];
    assert.equal(text(await chat.invoke([new HumanMessage({ content })])), IMAGE.answer);
  };
}

await run(checks);
