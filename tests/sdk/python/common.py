"""What the scripts of frameworks share: what the upstream was told to say, and how a script ends."""

import asyncio
import json
import os
import sys
import traceback
from pathlib import Path

from pydantic import BaseModel

BASE_URL, API_KEY = os.environ["BASE_URL"], os.environ["API_KEY"]
SAID = json.loads(Path(__file__).with_name("said.json").read_text(encoding="utf-8"))
MODEL = SAID["model"]
TEXT = "".join(SAID["text"]["deltas"])
JSON = "".join(SAID["json"]["deltas"])
ANSWER = SAID["tools"]["answer"]
CALLS = [(call["name"], json.loads(call["arguments"])) for call in SAID["tools"]["calls"]]
OUTPUTS = {call["name"]: call["output"] for call in SAID["tools"]["calls"]}
THOUGHTS = ["".join(deltas) for deltas in SAID["reasoning"]["summary"]]


class Place(BaseModel):
    """What the structured output is."""

    city: str
    people: int


PLACE = Place.model_validate_json(JSON)


def equal(left, right):
    if left != right:
        raise AssertionError(f"{left!r} is not {right!r}")


async def refused(ask):
    """The error that a call with a wrong key ends with."""
    try:
        await ask
    except Exception as error:
        return error
    raise AssertionError("nothing was refused")


def functions():
    """The tools as functions, and the list of the calls that they get."""
    called = []

    def get_weather(city: str, days: int) -> str:
        """The weather."""
        called.append(("get_weather", {"city": city, "days": days}))
        return OUTPUTS["get_weather"]

    def get_time(zone: str) -> str:
        """The time."""
        called.append(("get_time", {"zone": zone}))
        return OUTPUTS["get_time"]

    return [get_weather, get_time], called


def check_calls(called):
    # Some run them side by side.
    equal(sorted(called, key=str), sorted(CALLS, key=str))


def run(surfaces):
    """Runs the steps, each on every surface, prints one line of JSON and ends with 1 at the first that fails."""
    asyncio.run(run_all(surfaces))


async def run_all(surfaces):
    passed = []
    for surface, steps in surfaces.items():
        for name in [name for name in vars(type(steps)) if not name.startswith("_")]:
            try:
                await getattr(steps, name)()
            except Exception:
                failed = f"{surface}_{name}"
                print(json.dumps({"passed": passed, "failed": failed, "error": traceback.format_exc()}))
                sys.exit(1)
            passed.append(f"{surface}_{name}")
    print(json.dumps({"passed": passed}))
