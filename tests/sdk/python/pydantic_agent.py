"""Pydantic AI, on both APIs."""

import base64

from openai import AsyncOpenAI
from pydantic_ai import Agent, BinaryContent, NativeOutput, ThinkingPart
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from common import (
    ANSWER, API_KEY, BASE_URL, MODEL, PLACE, SAID, TEXT, THOUGHTS, Place, check_calls, equal, functions, refused, run,
)


class Steps:
    def __init__(self, kind, thinking):
        self.kind, self.thinking = kind, thinking

    def _agent(self, key=API_KEY, **more):
        # Retries would hide an answer that was bad at first.
        client = AsyncOpenAI(base_url=BASE_URL, api_key=key, max_retries=0)
        return Agent(self.kind(MODEL, provider=OpenAIProvider(openai_client=client)), retries=0, **more)

    async def _streamed(self, agent, asked):
        async with agent.run_stream(asked) as result:
            deltas = [delta async for delta in result.stream_text(delta=True, debounce_by=None)]
        return "".join(deltas)

    def _check_usage(self, usage):
        said = SAID["usage"]
        equal((usage.input_tokens, usage.output_tokens), (said["input"], said["output"]))
        equal(usage.cache_read_tokens, said["cached"])

    async def whole(self):
        result = await self._agent(instructions="be brief").run(SAID["text"]["marker"])
        # On Chat it takes such tags for thoughts, where they come whole.
        tagged = SAID["text"]["deltas"][5].rstrip()
        equal(result.output, TEXT if self.kind is OpenAIResponsesModel else TEXT.replace(tagged, ""))
        self._check_usage(result.usage)

    async def streamed(self):
        equal(await self._streamed(self._agent(), SAID["text"]["marker"]), TEXT)

    async def tools(self):
        plain, called = functions()
        result = await self._agent(tools=plain).run(SAID["tools"]["marker"])
        equal(result.output, ANSWER)
        check_calls(called)

    async def tools_streamed(self):
        plain, called = functions()
        equal(await self._streamed(self._agent(tools=plain), SAID["tools"]["marker"]), ANSWER)
        check_calls(called)

    async def conversation(self):
        first = await self._agent().run(SAID["reasoning"]["marker"], model_settings=self.thinking)
        thoughts = [part.content for part in first.new_messages()[-1].parts if isinstance(part, ThinkingPart)]
        equal("\n\n".join(thoughts), "\n\n".join(THOUGHTS))
        equal(first.output, SAID["reasoning"]["text"])
        second = await self._agent().run(SAID["reasoning"]["marker"], message_history=first.all_messages())
        equal(second.output, SAID["reasoning"]["text"])

    async def structured_output(self):
        agent = self._agent(output_type=NativeOutput(Place, strict=True))
        equal((await agent.run(SAID["json"]["marker"])).output, PLACE)
        async with agent.run_stream(SAID["json"]["marker"]) as result:
            equal(await result.get_output(), PLACE)

    async def image(self):
        kind, data = SAID["image"]["url"].removeprefix("data:").split(";base64,")
        image = BinaryContent(base64.b64decode(data), media_type=kind)
        result = await self._agent().run([SAID["image"]["marker"], image])
        equal(result.output, SAID["image"]["text"])

    async def refusal(self):
        error = await refused(self._agent("wrong").run(SAID["text"]["marker"]))
        equal(error.status_code, 401)


run(
    {
        "responses": Steps(
            OpenAIResponsesModel, {"openai_reasoning_effort": "high", "openai_reasoning_summary": "auto"}
        ),
        "chat": Steps(OpenAIChatModel, {"openai_reasoning_effort": "high"}),
    }
)
