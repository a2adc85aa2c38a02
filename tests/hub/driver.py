"""What a user's huggingface_hub does with a hub, in more than 30 steps, by whichever version runs this.

HF_HOME=EMPTY python driver.py URL     prints one JSON line: {"version": ..., "steps": {name: error}}
"""

import json
import os
import sys
import tempfile
from pathlib import Path

URL = sys.argv[1].rstrip("/")
os.environ["HF_ENDPOINT"] = URL
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"

import huggingface_hub as hh  # noqa: E402
from huggingface_hub.errors import (  # noqa: E402
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

API = hh.HfApi(URL, token="hf_writer")
READER, OTHER = hh.HfApi(URL, token="hf_reader"), hh.HfApi(URL, token="hf_other")
REPO, WORK = "me/toy-" + hh.__version__.replace(".", "-"), Path(tempfile.mkdtemp())
CARD = "---\nlicense: mit\ntags: [toy]\nlibrary_name: genzoo\n---\n# Toy\n"
HEAD = json.dumps({"w": {"dtype": "U8", "shape": [3_000_000], "data_offsets": [0, 3_000_000]}})
HEAD += " " * (-len(HEAD) % 8)


def weights(seed):
    """3 MB that do not compress, as a safetensors file."""
    import random

    body = random.Random(seed).randbytes(3_000_000)
    return len(HEAD).to_bytes(8, "little") + HEAD.encode() + body


def get(path="model.safetensors", revision=None, api=API, **more):
    found = hh.hf_hub_download(REPO, path, revision=revision, token=api.token, endpoint=URL, **more)
    return Path(found).read_bytes()


def fails(kind, call, *args, **more):
    try:
        call(*args, **more)
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def commit_of(revision):
    return API.repo_info(REPO, revision=revision).sha


def whoami():
    assert API.whoami()["name"] == "me"


def create():
    assert API.create_repo(REPO, exist_ok=True).repo_id == REPO


def create_again():
    assert API.create_repo(REPO, exist_ok=True).repo_id == REPO
    assert fails(HfHubHTTPError, API.create_repo, REPO).response.status_code == 409


def readme():
    API.upload_file(path_or_fileobj=CARD.encode(), path_in_repo="README.md", repo_id=REPO)
    assert get("README.md") == CARD.encode()


def bad_readme():
    torn = b"---\nlicense: [\n---\n"
    fails(ValueError, API.upload_file, path_or_fileobj=torn, path_in_repo="README.md", repo_id=REPO)


def folder():
    (WORK / "sub").mkdir()
    (WORK / "model.safetensors").write_bytes(weights(1))
    (WORK / "sub" / "a b.txt").write_text("ü" * 100)
    (WORK / "empty.txt").write_bytes(b"")
    API.upload_folder(folder_path=WORK, repo_id=REPO, commit_message="one")
    assert get() == weights(1)
    assert get("sub/a b.txt") == ("ü" * 100).encode()


def unchanged():
    before = commit_of("main")
    API.upload_folder(folder_path=WORK, repo_id=REPO, commit_message="again")
    assert commit_of("main") == before


def tag():
    API.create_tag(REPO, tag="v1", tag_message="the first")
    API.create_tag(REPO, tag="v1", exist_ok=True)
    assert fails(HfHubHTTPError, API.create_tag, REPO, tag="v1").response.status_code == 409


def second():
    (WORK / "model.safetensors").write_bytes(weights(1)[:-1000] + bytes(1000))
    API.upload_folder(folder_path=WORK, repo_id=REPO, commit_message="two")
    assert get() == weights(1)[:-1000] + bytes(1000)


def by_tag():
    assert get(revision="v1") == weights(1)


def by_commit():
    assert get(revision=commit_of("v1")) == weights(1)


def by_short_commit():
    assert get(revision=commit_of("v1")[:8], force_download=True) == weights(1)


def branch():
    API.create_branch(REPO, branch="feature/x", revision="v1")
    API.upload_file(path_or_fileobj=b"branch", path_in_repo="b.txt", repo_id=REPO,
                    revision="feature/x")  # fmt: skip
    assert get("b.txt", "feature/x") == b"branch"
    fails(EntryNotFoundError, get, "b.txt")


def refs():
    found = API.list_repo_refs(REPO)
    assert {each.name for each in found.branches} == {"main", "feature/x"}
    assert [each.name for each in found.tags] == ["v1"]


def snapshot():
    at = Path(hh.snapshot_download(REPO, revision="v1", token="hf_writer", endpoint=URL))
    assert at.name == commit_of("v1")
    assert (at / "model.safetensors").read_bytes() == weights(1)
    assert (at / "sub" / "a b.txt").is_file()


def offline():
    assert get(revision="v1", local_files_only=True) == weights(1)


def info():
    from hashlib import sha256

    found = API.model_info(REPO, revision="v1", files_metadata=True)
    files = {each.rfilename: each for each in found.siblings}
    assert files["model.safetensors"].lfs["sha256"] == sha256(weights(1)).hexdigest()
    assert files["model.safetensors"].size == len(weights(1))
    assert found.card_data["license"] == "mit"
    assert "toy" in found.tags


def tree():
    rows = list(API.list_repo_tree(REPO, recursive=True, expand=True))
    assert {each.path for each in rows} >= {"sub", "sub/a b.txt", "README.md"}
    assert {each.last_commit.title for each in rows} >= {"one", "two"}
    assert [each.path for each in API.list_repo_tree(REPO, "sub")] == ["sub/a b.txt"]


def files():
    assert "sub/a b.txt" in API.list_repo_files(REPO)
    assert API.file_exists(REPO, "README.md")
    assert not API.file_exists(REPO, "none.md")
    assert API.repo_exists(REPO)
    assert API.revision_exists(REPO, "v1")
    assert not API.revision_exists(REPO, "v9")


def paths():
    rows = API.get_paths_info(REPO, ["README.md", "sub", "none"], expand=True)
    assert [each.path for each in rows] == ["README.md", "sub"]


def commits():
    titles = [each.title for each in API.list_repo_commits(REPO)]
    assert titles[0] == "two"
    assert titles[-1] == "initial commit"


def listing():
    assert REPO in [each.id for each in API.list_models(search="toy", author="me", limit=50)]
    assert REPO in [each.id for each in API.list_models(filter="license:mit")]
    assert list(API.list_models(search="nothing-like-it")) == []


def missing():
    fails(EntryNotFoundError, get, "none.txt")
    fails(RevisionNotFoundError, get, revision="v9")
    fails(RepositoryNotFoundError, API.model_info, "me/none")


def parent():
    stale = commit_of("v1")
    operation = hh.CommitOperationAdd("c.txt", b"c")
    error = fails(HfHubHTTPError, API.create_commit, REPO, [operation], commit_message="c",
                  parent_commit=stale)  # fmt: skip
    assert error.response.status_code == 412


def proposal():
    operation = hh.CommitOperationAdd("pr.txt", b"pr")
    made = API.create_commit(REPO, [operation], commit_message="pr", create_pr=True)
    assert made.pr_revision == "refs/pr/1"
    assert get("pr.txt", "refs/pr/1") == b"pr"


def copy():
    operation = hh.CommitOperationCopy("model.safetensors", "copy.safetensors", src_revision="v1")
    API.create_commit(REPO, [operation], commit_message="copy")
    assert get("copy.safetensors") == weights(1)


def delete_files():
    API.delete_file("copy.safetensors", REPO)
    API.delete_folder("sub", REPO)
    names = API.list_repo_files(REPO)
    assert "copy.safetensors" not in names
    assert "sub/a b.txt" not in names


def unsafe_paths():
    before = commit_of("main")
    for path in ("a/../../b", "COM1", "a\\b", "readme.MD", "a/.git/config", "nul.txt"):
        fails((HfHubHTTPError, ValueError), API.upload_file, path_or_fileobj=b"x",
              path_in_repo=path, repo_id=REPO)  # fmt: skip
    assert commit_of("main") == before


def reader():
    assert get(revision="v1", api=READER, force_download=True) == weights(1)
    operation = hh.CommitOperationAdd("r.txt", b"r")
    error = fails(HfHubHTTPError, READER.create_commit, REPO, [operation], commit_message="r")
    assert error.response.status_code == 403


def private():
    API.create_repo(f"{REPO}-p", private=True)
    API.upload_file(path_or_fileobj=b"s", path_in_repo="s.txt", repo_id=f"{REPO}-p")
    assert READER.file_exists(f"{REPO}-p", "s.txt")
    fails(RepositoryNotFoundError, OTHER.model_info, f"{REPO}-p")
    fails(RepositoryNotFoundError, hh.HfApi(URL, token=False).model_info, f"{REPO}-p")
    assert f"{REPO}-p" not in [each.id for each in OTHER.list_models()]


def visible():
    API.update_repo_settings(f"{REPO}-p", private=False)
    assert OTHER.model_info(f"{REPO}-p").private is False


def move():
    API.move_repo(f"{REPO}-p", f"{REPO}-moved")
    assert API.file_exists(f"{REPO}-moved", "s.txt")
    fails(RepositoryNotFoundError, API.model_info, f"{REPO}-p")


def dataset():
    API.create_repo(REPO, repo_type="dataset")
    API.upload_file(path_or_fileobj=b"d", path_in_repo="d.txt", repo_id=REPO, repo_type="dataset")
    at = hh.hf_hub_download(REPO, "d.txt", repo_type="dataset", token="hf_writer", endpoint=URL)
    assert Path(at).read_bytes() == b"d"


def file_system():
    system = hh.HfFileSystem(endpoint=URL, token="hf_writer")
    assert f"{REPO}/README.md" in system.ls(REPO, detail=False)
    with system.open(f"{REPO}@v1/model.safetensors", "rb") as file:
        file.seek(8)
        assert file.read(len(HEAD)) == HEAD.encode()


def header():
    found = API.get_safetensors_metadata(REPO, revision="v1")
    assert found.files_metadata["model.safetensors"].tensors["w"].shape == [3_000_000]


def bad_token():
    fails(HfHubHTTPError, hh.HfApi(URL, token="hf_forged").model_info, REPO)
    error = fails(OSError, hh.HfApi(URL, token="hf_forged").whoami)  # of requests before 1.0
    assert "Invalid user token" in str(error)


def squash():
    API.super_squash_history(REPO, branch="feature/x")
    assert len(API.list_repo_commits(REPO, revision="feature/x")) == 1
    assert get("b.txt", "feature/x", force_download=True) == b"branch"


def delete_refs():
    API.delete_tag(REPO, tag="v1")
    API.delete_branch(REPO, branch="feature/x")
    fails(RevisionNotFoundError, get, "README.md", "v1", force_download=True)


def delete():
    for name in (REPO, f"{REPO}-moved"):
        API.delete_repo(name)
    API.delete_repo(REPO, repo_type="dataset")
    fails(RepositoryNotFoundError, API.model_info, REPO)
    API.delete_repo(REPO, missing_ok=True)


STEPS = (
    whoami, create, create_again, readme, bad_readme, folder, unchanged, tag, second, by_tag,
    by_commit, by_short_commit, branch, refs, snapshot, offline, info, tree, files, paths, commits,
    listing, missing, parent, proposal, copy, delete_files, unsafe_paths, reader, private, visible,
    move, dataset, file_system, header, bad_token, squash, delete_refs, delete,
)  # fmt: skip


def main():
    told = {}
    for step in STEPS:
        try:
            step()
            told[step.__name__] = None
        except Exception as error:  # each step is judged by the caller
            told[step.__name__] = f"{type(error).__name__}: {error}"[:600]
    print(json.dumps({"version": hh.__version__, "steps": told}))


if __name__ == "__main__":
    main()
