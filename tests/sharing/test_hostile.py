"""What a hub may say and must not be able to do: names that escape, and pickles."""

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parcels import CARD, make

import zoo
from zoo.card import File
from zoo.errors import CardError, HubError
from zoo.hub.address import Address
from zoo.hub.home import home
from zoo.hub.store import Origin, install, refuse_paths
from zoo.sharing import push

SEGMENT = st.one_of(
    st.sampled_from(
        ["..", ".", "", "con", "NUL.txt", "aux ", "a.", ".git", "GIT~1", "README.md", "readme.MD",
         "C:", "\\\\host\\share", "..\\..\\x", "~", "\u202e", "\x00", "K", "\u212a", "é", "e\u0301",
         "signature.json", ".zoo-origin.json", ".ZOO-ORIGIN.json", "a", "b", "x" * 300]
    ),
    st.text(max_size=8),
)  # fmt: skip
PATHS = st.lists(SEGMENT, min_size=1, max_size=4).map("/".join) | SEGMENT.map(lambda x: "/" + x)
DATA = b"x"
FACTS = File(sha256(DATA).hexdigest(), len(DATA))


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # fmt: skip
@given(paths=st.lists(PATHS, min_size=1, max_size=4, unique=True))
def test_no_name_leaves_its_folder(tmp_path, paths):
    """Whatever the card says, files land inside the model's folder, one each, or it is refused."""
    given_file = tmp_path / "given"
    given_file.write_bytes(DATA)
    outside = set(home().parent.iterdir())
    try:
        card = replace(CARD, files=dict.fromkeys(paths, FACTS))
        refuse_paths(card)
    except (CardError, HubError):
        return
    origin = Origin("http://h:1", "me/toy", None, "0" * 40, "0" * 64)
    folder = install(card.text().encode(), dict.fromkeys(paths, given_file), origin)
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    assert there == {"README.md", ".zoo-origin.json", *paths}
    assert folder.parent == home() / "hubs" / "http+++h+1" / "me"
    assert set(home().parent.iterdir()) == outside | {home()}
    assert json.loads((folder / ".zoo-origin.json").read_text())["repository"] == "me/toy"


@settings(max_examples=120, deadline=None)
@given(name=st.text(max_size=20) | st.lists(SEGMENT, min_size=1, max_size=3).map("/".join),
       revision=st.none() | SEGMENT)  # fmt: skip
def test_no_repository_name_leaves_the_store(name, revision):
    from zoo.errors import UnknownModel
    from zoo.hub.address import addresses

    text = f"http://host/{name}" + (f"@{revision}" if revision is not None else "")
    with contextlib.suppress(UnknownModel):
        (address,) = addresses(text)
        place = Origin(address.endpoint, address.repository, None, "0" * 40, "0" * 64).folder
        assert len(place.parts) == 4
        assert not {"..", ".", ""} & set(place.parts)
        assert "\\" not in str(place)
        assert address.file("0" * 40, "a b").count("/") == 7


def test_an_endpoint_is_one_folder():
    for endpoint in ("https://a/../../x", "http://a:1/..", "http://[::1]:80"):
        place = Origin(endpoint, "me/toy", None, "0" * 40, "0" * 64).folder
        assert len(place.parts) == 4
        assert ".." not in place.parts
    good = {"endpoint": "http://h", "repository": "me/toy", "asked": None, "commit": "0" * 40,
            "card_sha256": "0" * 64}  # fmt: skip
    for key, value in [
        ("endpoint", "https://.."), ("endpoint", "file:///x"), ("repository", "../toy"),
        ("repository", "me/toy/x"), ("commit", "../.."), ("card_sha256", ""), ("version", "../1"),
        ("repository", 3), ("asked", 3),
    ]:  # fmt: skip
        with pytest.raises((HubError, CardError)):
            Origin(**{**good, key: value})
    assert str(Address("https://huggingface.co", "me/toy", "1.0.0")) == "hf:me/toy@1.0.0"


def test_parts_of_parts_have_an_end(lab, repository):
    """A hub that answers each part with a model that has parts: here two that need each other."""
    import huggingface_hub

    from zoo.hub.pulling import pull

    client = huggingface_hub.HfApi(lab.url, token=lab.token)
    organisation, _, name = repository.partition("/")
    for own, other in ((name, f"{name}-b"), (f"{name}-b", name)):
        card = replace(CARD, name=own, files={"x": FACTS}, parts={"decoder": f"{other}@1.0.0"})
        client.create_repo(f"{organisation}/{own}")
        for path, data in (("README.md", card.text().encode()), ("x", DATA)):
            client.upload_file(
                path_or_fileobj=data, path_in_repo=path, repo_id=f"{organisation}/{own}"
            )
        client.create_tag(f"{organisation}/{own}", tag="1.0.0")
    with pytest.raises(CardError, match=rf"Parts of parts of parts: .*{name}@1.0.0 needs .*-b@"):
        pull(f"lab:{repository}")


def test_a_strangers_text_does_nothing_to_a_terminal(tmp_path, capsys):
    from zoo.cli import main
    from zoo.columns import columns, visible

    assert visible("a\x1b[31m\tb\r\nc\rd\u202e\x9b") == "a\\x1b[31m\tb\r\nc\\rd\\u202e\\x9b"
    assert "\x1b" not in columns(["name"], [["\x1b]0;title\x07"]])
    folder = make(tmp_path / "toy", body="# Toy\n\n\x1b]0;owned\x07\n")
    for words in (["show", str(folder)], ["show", f"{folder}-\x1b[2J"]):
        with pytest.raises(SystemExit):
            main(words)
    said = capsys.readouterr()
    assert r"\x1b]0;owned\x07" in said.out
    assert r"\x1b[2J" in said.err
    assert "\x1b" not in said.out + said.err


WATCH = """
import sys
seen = []
def hook(event, args):
    if event == "pickle.find_class":
        seen.append(args)
sys.addaudithook(hook)
"""

USE = """
import os, sys, tempfile
from pathlib import Path
import zoo
from zoo.hub.pulling import pull
from zoo.sharing import push
from zoo.sharing.bundles import export, import_
from zoo.sharing.healing import verdicts
from zoo.sharing.locking import lock, pull_locked
name = sys.argv[1]
push("vae-mnist", f"lab:{name}", "1.0.0")
pull(f"lab:{name}")
model = zoo.load(f"{name}@1.0.0")
zoo.show(name), zoo.list(), zoo.verify(name), list(verdicts([name]))
folder = Path(tempfile.mkdtemp())
lock([f"lab:{name}"], folder / "zoo.lock")
pull_locked(folder / "zoo.lock")
export([f"lab:{name}"], folder / "all.zoo")
os.environ["ZOO_HOME"] = str(folder / "home")
import_(folder / "all.zoo")
model.save(folder / "saved")
zoo.load(folder / "saved")
"""


def test_no_pickle_is_opened_on_any_default_path(lab, repository):
    path = os.pathsep.join(
        [str(Path(zoo.__file__).parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    program = WATCH + USE + "\nassert not seen, seen\n"
    done = subprocess.run(
        [sys.executable, "-c", program, repository], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    program = (
        WATCH
        + "import pickle, collections\npickle.loads(pickle.dumps(collections.deque()))\nassert seen"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_pickle_with_a_safe_name_is_not_pulled_either(lab, repository, tmp_path):
    import huggingface_hub

    from zoo.hub.pulling import pull

    push(make(tmp_path / "toy"), f"lab:{repository}", "1.0.0")
    data = b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93."
    bad = make(tmp_path / "bad", {"model.safetensors": data}, name=repository.partition("/")[2])
    client = huggingface_hub.HfApi(lab.url, token=lab.token)
    client.upload_folder(repo_id=repository, folder_path=bad, commit_message="a stranger's")
    with pytest.raises(zoo.WeightsError, match="not a whole safetensors file"):
        pull(f"{repository}@main")
