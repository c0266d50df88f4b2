"""LangChain's ChatOpenAI, on both APIs."""

from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from common import (
    ANSWER, API_KEY, BASE_URL, MODEL, PLACE, SAID, TEXT, Place, check_calls, equal, functions, refused, run,
)


class Steps:
    def __init__(self, use_responses_api):
        self.use_responses_api = use_responses_api

    def _chat(self, key=API_KEY, **more):
        # Retries would hide an answer that was bad at first.
        return ChatOpenAI(
            model=MODEL, base_url=BASE_URL, api_key=key, max_retries=0, stream_usage=True,
            use_responses_api=self.use_responses_api, **more,
        )

    async def _streamed(self, chat, asked):
        whole = None
        async for chunk in chat.astream(asked):
            whole = chunk if whole is None else whole + chunk
        return whole

    def _check_usage(self, usage):
        said = SAID["usage"]
        equal((usage["input_tokens"], usage["output_tokens"]), (said["input"], said["output"]))
        equal(usage["input_token_details"]["cache_read"], said["cached"])
        equal(usage["output_token_details"]["reasoning"], said["reasoning"])

    async def whole(self):
        message = await self._chat().ainvoke([SystemMessage("be brief"), HumanMessage(SAID["text"]["marker"])])
        equal(message.text, TEXT)
        self._check_usage(message.usage_metadata)

    async def streamed(self):
        message = await self._streamed(self._chat(), SAID["text"]["marker"])
        equal(message.text, TEXT)
        self._check_usage(message.usage_metadata)

    async def tools(self):
        for ask in [lambda chat, asked: chat.ainvoke(asked), self._streamed]:
            plain, called = functions()
            tools = {function.__name__: tool(function) for function in plain}
            chat = self._chat().bind_tools(tools.values())
            messages = [HumanMessage(SAID["tools"]["marker"])]
            asked = await ask(chat, messages)
            equal([call["id"] for call in asked.tool_calls], [call["id"] for call in SAID["tools"]["calls"]])
            messages.append(asked)
            for call in asked.tool_calls:
                output = await tools[call["name"]].ainvoke(call["args"])
                messages.append(ToolMessage(output, tool_call_id=call["id"]))
            check_calls(called)
            equal((await ask(chat, messages)).text, ANSWER)

    async def structured_output(self):
        chat = self._chat().with_structured_output(Place, method="json_schema", strict=True)
        equal(await chat.ainvoke(SAID["json"]["marker"]), PLACE)

    async def image(self):
        content = [
            {"type": "text", "text": SAID["image"]["marker"]},
            {"type": "image_url", "image_url": {"url": SAID["image"]["url"]}},
        ]
        message = await self._chat().ainvoke([HumanMessage(content)])
        equal(message.text, SAID["image"]["text"])

    async def refusal(self):
        error = await refused(self._chat("wrong").ainvoke(SAID["text"]["marker"]))
        equal(error.status_code, 401)


run({"responses": Steps(True), "chat": Steps(False)})
