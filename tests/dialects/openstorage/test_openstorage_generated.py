"""What is kept in `pb` is what `make proto` makes of `proto/`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
KEPT = ROOT / "gateway/frontends/openstorage/pb"


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def test_the_python_is_made_of_the_definitions(tmp_path):
    subprocess.run([sys.executable, ROOT / "scripts/make-proto", tmp_path], check=True)
    made, kept = contents(tmp_path), contents(KEPT)
    assert set(made) == set(kept)
    assert [name for name in made if made[name] != kept[name]] == [], "run `make proto`"


def test_generated_files_say_so():
    assert [name for name, text in contents(KEPT).items() if "DO NOT EDIT!" not in "".join(text.splitlines()[:3])] == []


def test_every_definition_has_its_module():
    definitions = {path.stem for path in (ROOT / "proto/openstorage").glob("*.proto")}
    assert {path.stem for path in KEPT.glob("*_pb2.py")} == {f"{name}_pb2" for name in definitions}
