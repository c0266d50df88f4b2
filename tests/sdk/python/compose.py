"""Reads compose files together as an engine would, checks them against the Compose specification, and prints the result as
JSON. With `--yaml FILE` a YAML file is printed as JSON as it is."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

if sys.argv[1] == "--yaml":
    print(json.dumps(yaml.safe_load(Path(sys.argv[2]).read_text())))
    sys.exit()

import compose_spec

with tempfile.TemporaryDirectory() as folder:
    # podman-compose asks its engine for nothing but the version before it puts the files together.
    engine = Path(folder, "podman")
    engine.write_text("#!/bin/sh\necho podman version 5.0.0\n")
    engine.chmod(0o755)
    files = [argument for file in sys.argv[1:] for argument in ("--file", file)]
    together = subprocess.run(
        [str(Path(sys.executable).with_name("podman-compose")), *files, "config"],
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        text=True,
    )
if together.returncode:
    sys.exit(together.returncode)
compose_spec.PyCompose.from_yaml(together.stdout).validate()
print(json.dumps(yaml.safe_load(together.stdout)))
