"""OpenAI's Agents SDK, on both APIs."""

from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI

from common import (
    ANSWER, API_KEY, BASE_URL, MODEL, PLACE, SAID, TEXT, Place, check_calls, equal, functions, refused, run,
)

set_tracing_disabled(True)


class Steps:
    def __init__(self, kind):
        self.kind = kind

    def _agent(self, key=API_KEY, **more):
        # Retries would hide an answer that was bad at first.
        client = AsyncOpenAI(base_url=BASE_URL, api_key=key, max_retries=0)
        return Agent(name="assistant", model=self.kind(model=MODEL, openai_client=client), **more)

    async def _streamed(self, agent, asked):
        result = Runner.run_streamed(agent, asked)
        deltas = ""
        async for event in result.stream_events():
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                deltas += event.data.delta
        return result, deltas

    def _check_usage(self, result):
        usage, said = result.context_wrapper.usage, SAID["usage"]
        equal((usage.input_tokens, usage.output_tokens), (said["input"], said["output"]))
        equal(usage.input_tokens_details.cached_tokens, said["cached"])
        equal(usage.output_tokens_details.reasoning_tokens, said["reasoning"])

    async def whole(self):
        result = await Runner.run(self._agent(instructions="be brief"), SAID["text"]["marker"])
        equal(result.final_output, TEXT)
        self._check_usage(result)

    async def streamed(self):
        result, deltas = await self._streamed(self._agent(), SAID["text"]["marker"])
        equal((deltas, result.final_output), (TEXT, TEXT))

    async def tools(self):
        plain, called = functions()
        agent = self._agent(tools=[function_tool(function) for function in plain])
        result = await Runner.run(agent, SAID["tools"]["marker"])
        equal(result.final_output, ANSWER)
        check_calls(called)

    async def tools_streamed(self):
        plain, called = functions()
        agent = self._agent(tools=[function_tool(function) for function in plain])
        result, deltas = await self._streamed(agent, SAID["tools"]["marker"])
        equal((deltas, result.final_output), (ANSWER, ANSWER))
        check_calls(called)

    async def conversation(self):
        first = await Runner.run(self._agent(), SAID["text"]["marker"])
        again = [*first.to_input_list(), {"role": "user", "content": SAID["text"]["marker"]}]
        equal((await Runner.run(self._agent(), again)).final_output, TEXT)

    async def structured_output(self):
        agent = self._agent(output_type=Place)
        equal((await Runner.run(agent, SAID["json"]["marker"])).final_output, PLACE)
        equal((await self._streamed(agent, SAID["json"]["marker"]))[0].final_output, PLACE)

    async def image(self):
        content = [
            {"type": "input_text", "text": SAID["image"]["marker"]},
            {"type": "input_image", "image_url": SAID["image"]["url"], "detail": "auto"},
        ]
        result = await Runner.run(self._agent(), [{"role": "user", "content": content}])
        equal(result.final_output, SAID["image"]["text"])

    async def refusal(self):
        error = await refused(Runner.run(self._agent("wrong"), SAID["text"]["marker"]))
        equal(error.status_code, 401)


run({"responses": Steps(OpenAIResponsesModel), "chat": Steps(OpenAIChatCompletionsModel)})
