"""Both surfaces through OpenAI's Python client, with every answer and event strictly validated."""

import json
import os
import sys
import traceback
import urllib.request

from openai import AuthenticationError, BadRequestError, NotFoundError, OpenAI
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

BASE_URL = os.environ["BASE_URL"]
API_KEY = os.environ["API_KEY"]
MODEL = os.environ.get("MODEL", "gpt-6.1-sol")
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
FUNCTION = {"name": "get_weather", "description": "The weather of a city", "parameters": PARAMETERS, "strict": True}

client = OpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0, _strict_response_validation=True)


class City(BaseModel):
    """What the model is asked for."""

    city: str
    population: int


def user(content):
    return [{"role": "user", "content": content}]


def check(condition, said):
    if not condition:
        raise AssertionError(said)


def equal(left, right):
    check(left == right, f"{left!r} is not {right!r}")


def raises(kind, call, **expected):
    """Asserts that the call raises an API error of this kind with these attributes."""
    try:
        result = call()
    except kind as error:
        for name, value in expected.items():
            equal(getattr(error, name), value)
        check(error.request_id, "the error has no request id")
        return
    raise AssertionError(f"no {kind.__name__}, but {result!r}")


def frames(path, body):
    """The JSON of every frame of a streamed answer, as it came over the wire."""
    headers = {"authorization": f"Bearer {API_KEY}", "content-type": "application/json"}
    data = json.dumps({**body, "stream": True}).encode()
    request = urllib.request.Request(f"{BASE_URL}{path}", data=data, headers=headers)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    events, done = [], False
    with direct.open(request, timeout=60) as answer:
        equal(answer.status, 200)
        for raw in answer:
            line = raw.decode().removesuffix("\n")
            check(not (done and line), f"a line after [DONE]: {line}")
            if line == "data: [DONE]":
                done = True
            elif line.startswith("data: "):
                events.append(json.loads(line.removeprefix("data: ")))
    check(done, "no [DONE]")
    return events


def responses_create():
    response = client.responses.create(model=MODEL, input="[[text]]")
    equal(response.output_text, "Héllo 🦀")
    equal(response.status, "completed")
    equal(response.usage.total_tokens, response.usage.input_tokens + response.usage.output_tokens)


def responses_stream():
    with client.responses.stream(model=MODEL, input="[[text]]") as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        equal(text, "Héllo 🦀")
        equal(stream.get_final_response().output_text, "Héllo 🦀")


def responses_events_are_valid():
    adapter = TypeAdapter(ResponseStreamEvent)
    tools = [{"type": "function", **FUNCTION}]
    for ask in ("[[text]]", "[[tools]]"):
        for event in frames("/responses", {"model": MODEL, "input": ask, "tools": tools}):
            parsed = adapter.validate_python(event, strict=True)
            equal(parsed.type, event["type"])


def responses_tools():
    tools = [{"type": "function", **FUNCTION}]
    items = user("[[tools]]")
    first = client.responses.create(model=MODEL, input=items, tools=tools)
    calls = [item for item in first.output if item.type == "function_call"]
    equal([json.loads(call.arguments)["city"] for call in calls], ["Paris", "Rome"])
    items += first.output
    items += [{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"} for call in calls]
    equal(client.responses.create(model=MODEL, input=items, tools=tools).output_text, "done")


def responses_parse():
    response = client.responses.parse(model=MODEL, input="[[json]]", text_format=City)
    equal(response.output_parsed, City(city="Zürich", population=400000))


def responses_image():
    content = [{"type": "input_text", "text": "[[image]]"}, {"type": "input_image", "image_url": PIXEL, "detail": "auto"}]
    equal(client.responses.create(model=MODEL, input=user(content)).output_text, "a pixel")


def chat_create():
    completion = client.chat.completions.create(model=MODEL, messages=user("[[text]]"))
    equal(completion.choices[0].message.content, "Héllo 🦀")
    equal(completion.choices[0].finish_reason, "stop")


def chat_stream():
    with client.chat.completions.stream(model=MODEL, messages=user("[[text]]")) as stream:
        text = "".join(event.delta for event in stream if event.type == "content.delta")
        equal(text, "Héllo 🦀")
        final = stream.get_final_completion()
    equal(final.choices[0].message.content, "Héllo 🦀")


def chat_chunks_are_valid():
    adapter = TypeAdapter(ChatCompletionChunk)
    for chunk in frames("/chat/completions", {"model": MODEL, "messages": user("[[text]]")}):
        adapter.validate_python(chunk, strict=True)


def chat_tools():
    tools = [{"type": "function", "function": FUNCTION}]
    messages = user("[[tools]]")
    first = client.chat.completions.create(model=MODEL, messages=messages, tools=tools).choices[0]
    equal(first.finish_reason, "tool_calls")
    calls = first.message.tool_calls
    equal([json.loads(call.function.arguments)["city"] for call in calls], ["Paris", "Rome"])
    messages.append(first.message)
    messages += [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in calls]
    second = client.chat.completions.create(model=MODEL, messages=messages, tools=tools)
    equal(second.choices[0].message.content, "done")


def chat_parse():
    completion = client.chat.completions.parse(model=MODEL, messages=user("[[json]]"), response_format=City)
    equal(completion.choices[0].message.parsed, City(city="Zürich", population=400000))


def errors():
    stranger = client.with_options(api_key="wrong")
    raises(
        AuthenticationError,
        lambda: stranger.responses.create(model=MODEL, input="x"),
        status_code=401,
        code="invalid_api_key",
    )
    raises(
        NotFoundError,
        lambda: client.responses.create(model="no-such-model", input="x"),
        status_code=404,
        code="model_not_found",
    )
    raises(
        BadRequestError,
        lambda: client.chat.completions.create(model=MODEL, messages="hi"),
        status_code=400,
        type="invalid_request_error",
    )


def models():
    check(MODEL in [model.id for model in client.models.list()], "the model is not listed")
    equal(client.models.retrieve(MODEL).id, MODEL)


CHECKS = [
    responses_create,
    responses_stream,
    responses_events_are_valid,
    responses_tools,
    responses_parse,
    responses_image,
    chat_create,
    chat_stream,
    chat_chunks_are_valid,
    chat_tools,
    chat_parse,
    errors,
    models,
]


def main():
    report = {"passed": [], "failed": []}
    for one in CHECKS:
        try:
            one()
        except Exception:
            traceback.print_exc()
            report["failed"].append(one.__name__)
        else:
            report["passed"].append(one.__name__)
    print(json.dumps(report))
    return 1 if report["failed"] else 0


sys.exit(main())
