"""The official Python SDK on both surfaces, with its strict validation of answers."""

import asyncio
import json
import os
import sys
import traceback
import urllib.request
from pathlib import Path

import openai
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

BASE_URL, API_KEY = os.environ["BASE_URL"], os.environ["API_KEY"]
SAID = json.loads(Path(__file__).with_name("said.json").read_text(encoding="utf-8"))
MODEL = SAID["model"]
TEXT = "".join(SAID["text"]["deltas"])
JSON = "".join(SAID["json"]["deltas"])
CALLS = [(call["id"], call["name"], call["arguments"]) for call in SAID["tools"]["calls"]]


class Place(BaseModel):
    """What the structured output is."""

    city: str
    people: int


def settings(key=API_KEY):
    # Retries would hide an answer that was bad at first.
    return {"base_url": BASE_URL, "api_key": key, "max_retries": 0, "_strict_response_validation": True}


client = OpenAI(**settings())
aclient = AsyncOpenAI(**settings())


def equal(left, right):
    if left != right:
        raise AssertionError(f"{left!r} is not {right!r}")


def parameters(*names):
    properties = {name: {"type": "integer" if name == "days" else "string"} for name in names}
    return {"type": "object", "properties": properties, "required": list(names), "additionalProperties": False}


FUNCTIONS = [
    {"name": "get_weather", "description": "the weather", "parameters": parameters("city", "days"), "strict": True},
    {"name": "get_time", "description": "the time", "parameters": parameters("zone"), "strict": True},
]
TOOLS = [{"type": "function", **function} for function in FUNCTIONS]
CHAT_TOOLS = [{"type": "function", "function": function} for function in FUNCTIONS]


def check_usage(usage):
    said = SAID["usage"]
    equal(
        usage.to_dict(),
        {
            "input_tokens": said["input"],
            "input_tokens_details": {"cached_tokens": said["cached"], "cache_write_tokens": said["cache_write"]},
            "output_tokens": said["output"],
            "output_tokens_details": {"reasoning_tokens": said["reasoning"]},
            "total_tokens": said["input"] + said["output"],
        },
    )


def check_chat_usage(usage, times=1):
    said = SAID["usage"]
    equal(usage.prompt_tokens, said["input"] * times)
    equal(usage.completion_tokens, said["output"] * times)
    equal(usage.total_tokens, (said["input"] + said["output"]) * times)
    equal(usage.prompt_tokens_details.cached_tokens, said["cached"] * times)
    equal(usage.completion_tokens_details.reasoning_tokens, said["reasoning"] * times)


def check_calls(response):
    calls = [item for item in response.output if item.type == "function_call"]
    equal([(call.call_id, call.name, call.arguments) for call in calls], CALLS)


def outputs():
    return [
        {"type": "function_call_output", "call_id": call["id"], "output": call["output"]}
        for call in SAID["tools"]["calls"]
    ]


def user(content):
    return [{"role": "user", "content": content}]


def tool_messages():
    return [
        {"role": "tool", "tool_call_id": call["id"], "content": call["output"]} for call in SAID["tools"]["calls"]
    ]


def chat_calls(message):
    return [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls]


def responses_create():
    response = client.responses.create(model=MODEL, input=SAID["text"]["marker"], instructions="be brief")
    equal(response.output_text, TEXT)
    equal((response.status, response.instructions, response.error), ("completed", "be brief", None))
    check_usage(response.usage)


def responses_stream():
    with client.responses.stream(model=MODEL, input=SAID["text"]["marker"]) as stream:
        events = list(stream)
        response = stream.get_final_response()
    equal("".join(event.delta for event in events if event.type == "response.output_text.delta"), TEXT)
    equal([event.sequence_number for event in events], list(range(len(events))))
    equal(response.output_text, TEXT)
    check_usage(response.usage)


def responses_tools():
    request = {"model": MODEL, "tools": TOOLS}
    first = client.responses.create(**request, input=SAID["tools"]["marker"])
    check_calls(first)
    history = [*user(SAID["tools"]["marker"]), *first.output, *outputs()]
    second = client.responses.create(**request, input=history)
    equal(second.output_text, SAID["tools"]["answer"])
    with client.responses.stream(**request, input=SAID["tools"]["marker"]) as stream:
        done = [event for event in stream if event.type == "response.function_call_arguments.done"]
        check_calls(stream.get_final_response())
    equal([(event.name, event.arguments) for event in done], [call[1:] for call in CALLS])
    with client.responses.stream(**request, input=history) as stream:
        stream.until_done()
        equal(stream.get_final_response().output_text, SAID["tools"]["answer"])


def responses_parse():
    response = client.responses.parse(model=MODEL, input=SAID["json"]["marker"], text_format=Place)
    equal(response.output_parsed, Place.model_validate_json(JSON))
    equal(response.output_text, JSON)


def responses_image():
    content = [
        {"type": "input_text", "text": SAID["image"]["marker"]},
        {"type": "input_image", "image_url": SAID["image"]["url"], "detail": "auto"},
    ]
    response = client.responses.create(model=MODEL, input=user(content))
    equal(response.output_text, SAID["image"]["text"])


def responses_reasoning():
    said = SAID["reasoning"]
    request = {
        "model": MODEL,
        "include": ["reasoning.encrypted_content"],
        "store": False,
        "reasoning": {"effort": "high", "summary": "auto"},
    }
    first = client.responses.create(**request, input=said["marker"])
    reasoning = first.output[0]
    equal(reasoning.type, "reasoning")
    equal([part.text for part in reasoning.summary], ["".join(deltas) for deltas in said["summary"]])
    equal(reasoning.encrypted_content, said["encrypted"])
    equal(first.output_text, said["text"])
    history = [*user(said["marker"]), *first.output, *user(said["marker"] + " again")]
    second = client.responses.create(**request, input=history)
    equal(second.output_text, said["text"])


def chat_create():
    completion = client.chat.completions.create(model=MODEL, messages=user(SAID["text"]["marker"]))
    equal(completion.choices[0].message.content, TEXT)
    equal(completion.choices[0].finish_reason, "stop")
    check_chat_usage(completion.usage)


def chat_stream():
    request = {"model": MODEL, "messages": user(SAID["text"]["marker"]), "stream_options": {"include_usage": True}}
    chunks = list(client.chat.completions.create(**request, stream=True))
    equal("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices), TEXT)
    check_chat_usage(chunks[-1].usage)
    with client.chat.completions.stream(**request) as stream:
        equal("".join(event.delta for event in stream if event.type == "content.delta"), TEXT)
        completion = stream.get_final_completion()
    equal(completion.choices[0].message.content, TEXT)
    check_chat_usage(completion.usage)


def chat_tools():
    request = {"model": MODEL, "tools": CHAT_TOOLS}
    messages = user(SAID["tools"]["marker"])
    first = client.chat.completions.create(**request, messages=messages)
    equal(first.choices[0].finish_reason, "tool_calls")
    equal(chat_calls(first.choices[0].message), CALLS)
    history = [*messages, first.choices[0].message, *tool_messages()]
    second = client.chat.completions.create(**request, messages=history)
    equal(second.choices[0].message.content, SAID["tools"]["answer"])
    with client.chat.completions.stream(**request, messages=messages) as stream:
        streamed = stream.get_final_completion().choices[0].message
    equal(chat_calls(streamed), CALLS)
    equal([call.function.parsed_arguments for call in streamed.tool_calls], [json.loads(call[2]) for call in CALLS])
    with client.chat.completions.stream(**request, messages=history) as stream:
        equal(stream.get_final_completion().choices[0].message.content, SAID["tools"]["answer"])


def chat_parse():
    request = {"model": MODEL, "messages": user(SAID["json"]["marker"]), "response_format": Place}
    completion = client.chat.completions.parse(**request)
    equal(completion.choices[0].message.parsed, Place.model_validate_json(JSON))


def chat_choices():
    completion = client.chat.completions.create(model=MODEL, messages=user(SAID["text"]["marker"]), n=2)
    equal([(choice.index, choice.message.content) for choice in completion.choices], [(0, TEXT), (1, TEXT)])
    check_chat_usage(completion.usage, 2)


def raw_events(path, body):
    """The events of a stream as they are on the wire, read without the SDK."""
    request = urllib.request.Request(
        BASE_URL + path,
        json.dumps({**body, "model": MODEL, "stream": True}).encode(),
        {"authorization": f"Bearer {API_KEY}", "content-type": "application/json"},
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
        data = [line[6:] for line in answer.read().decode().split("\n") if line.startswith("data: ")]
    equal(data.pop(), "[DONE]")
    return data


def every_event_is_valid():
    event, chunk = TypeAdapter(ResponseStreamEvent), TypeAdapter(ChatCompletionChunk)
    seen = 0
    tools = SAID["tools"]["marker"]
    sealed = {"include": ["reasoning.encrypted_content"]}
    history, messages = [*user(tools), *call_items(), *outputs()], [*user(tools), call_message(), *tool_messages()]
    for path, adapter, body in [
        *(("/responses", event, {"input": SAID[kind]["marker"]}) for kind in ["text", "json", "image"]),
        ("/responses", event, {"input": SAID["reasoning"]["marker"], **sealed}),
        ("/responses", event, {"input": tools, "tools": TOOLS}),
        ("/responses", event, {"input": history, "tools": TOOLS}),
        *(("/chat/completions", chunk, {"messages": user(SAID[kind]["marker"])}) for kind in ["text", "json", "reasoning"]),
        ("/chat/completions", chunk, {"messages": user(tools), "tools": CHAT_TOOLS}),
        ("/chat/completions", chunk, {"messages": messages, "tools": CHAT_TOOLS}),
    ]:
        for data in raw_events(path, body):
            # Being strict, it takes no number for a text and no unknown type for one of those it knows.
            known = adapter.validate_json(data, strict=True)
            equal(known.to_dict().get("type"), json.loads(data).get("type"))
            seen += 1
    if seen < 50:
        raise AssertionError(f"only {seen} events were seen")


def call_items():
    return [
        {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}
        for call_id, name, arguments in CALLS
    ]


def call_message():
    calls = [
        {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        for call_id, name, arguments in CALLS
    ]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def models():
    equal([model.id for model in client.models.list() if model.id == MODEL], [MODEL])
    equal(client.models.retrieve(MODEL).id, MODEL)


def refused(kind, ask):
    try:
        ask()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def refusals():
    surfaces = [
        lambda c, **more: c.responses.create(**{"model": MODEL, "input": SAID["text"]["marker"], **more}),
        lambda c, **more: c.chat.completions.create(
            **{"model": MODEL, "messages": user(SAID["text"]["marker"]), **more}
        ),
    ]
    surfaces += [lambda c, whole=whole, **more: whole(c, stream=True, **more) for whole in surfaces]
    for ask in surfaces:
        error = refused(openai.AuthenticationError, lambda: ask(OpenAI(**settings("wrong"))))
        equal((error.status_code, error.code), (401, "invalid_api_key"))
        error = refused(openai.BadRequestError, lambda: ask(client, metadata="none"))
        equal((error.status_code, error.type, error.param), (400, "invalid_request_error", "metadata"))
        error = refused(openai.NotFoundError, lambda: ask(client, model="nobody-has-it"))
        equal((error.status_code, error.code), (404, "model_not_found"))


def failures_in_streams():
    marker, message = SAID["fail"]["marker"], SAID["fail"]["message"]
    error = refused(
        openai.APIError, lambda: list(client.responses.create(model=MODEL, input=marker, stream=True))
    )
    equal(message in error.message, True)
    error = refused(
        openai.APIError,
        lambda: list(client.chat.completions.create(model=MODEL, messages=user(marker), stream=True)),
    )
    equal(message in error.message, True)


def abort():
    marker, begun = SAID["hang"]["marker"], "".join(SAID["hang"]["deltas"])
    with client.responses.create(model=MODEL, input=marker, stream=True) as stream:
        equal(next(event.delta for event in stream if event.type == "response.output_text.delta"), begun)
    with client.chat.completions.create(model=MODEL, messages=user(marker), stream=True) as stream:
        deltas = (chunk.choices[0].delta.content for chunk in stream)
        equal(next(delta for delta in deltas if delta), begun)


def asynchronous():
    asyncio.run(asynchronously())


async def asynchronously():
    marker = SAID["text"]["marker"]

    async def whole():
        response = await aclient.responses.create(model=MODEL, input=marker)
        equal(response.output_text, TEXT)
        check_usage(response.usage)

    async def streamed():
        async with aclient.responses.stream(model=MODEL, input=marker) as stream:
            deltas = [event.delta async for event in stream if event.type == "response.output_text.delta"]
            equal((await stream.get_final_response()).output_text, TEXT)
        equal("".join(deltas), TEXT)

    async def chat():
        completion = await aclient.chat.completions.create(model=MODEL, messages=user(marker))
        equal(completion.choices[0].message.content, TEXT)

    async def chat_streamed():
        stream = await aclient.chat.completions.create(model=MODEL, messages=user(marker), stream=True)
        deltas = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
        equal("".join(deltas), TEXT)

    await asyncio.gather(whole(), streamed(), chat(), chat_streamed())
    await aclient.close()


STEPS = [
    responses_create,
    responses_stream,
    responses_tools,
    responses_parse,
    responses_image,
    responses_reasoning,
    chat_create,
    chat_stream,
    chat_tools,
    chat_parse,
    chat_choices,
    every_event_is_valid,
    models,
    refusals,
    failures_in_streams,
    abort,
    asynchronous,
]


def main():
    passed = []
    for step in STEPS:
        try:
            step()
        except Exception:
            print(json.dumps({"passed": passed, "failed": step.__name__, "error": traceback.format_exc()}))
            sys.exit(1)
        passed.append(step.__name__)
    print(json.dumps({"passed": passed}))


if __name__ == "__main__":
    main()
