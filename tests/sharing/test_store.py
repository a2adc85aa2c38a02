"""What lies in the store: damaged, healed, collected, read-only, shared, carried by hand."""

import pytest
from parcels import make, tensor

import zoo
from zoo import hub
from zoo.errors import HubError, UnknownModel, UnknownVersion, WeightsError
from zoo.hub.home import home
from zoo.hub.pulling import pull
from zoo.sharing import push
from zoo.sharing.bundles import export, import_
from zoo.sharing.collecting import collect
from zoo.sharing.healing import verdicts
from zoo.sharing.listing import search, versions
from zoo.sharing.yanking import yank


@pytest.fixture
def pulled(lab, repository, model):
    push(model, f"lab:{repository}", "1.0.0")
    return pull(f"lab:{repository}@1.0.0")


def damage(path):
    """Flip one bit, keeping the size."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("file", "how"),
    [
        ("README.md", "bit"), ("README.md", "gone"), ("model.safetensors", "bit"),
        ("model.safetensors", "short"), ("recipe.toml", "gone"),
    ],
)  # fmt: skip
def test_damage_is_found_and_healed(pulled, file, how):
    path = pulled.folder / file
    was = path.read_bytes()
    if how == "bit":
        damage(path)
    elif how == "gone":
        path.unlink()
    else:
        path.chmod(0o644)
        path.write_bytes(was[:-1])
    name = str(pulled.origin)
    with pytest.raises((HubError, WeightsError)):
        zoo.verify(name)
    (row,) = verdicts([name], heal=False)
    assert row.error
    (row,) = verdicts([name])
    assert (row.error, row.healed) == (None, [file])
    assert path.read_bytes() == was
    assert zoo.verify(name)


def test_a_damaged_origin_is_told(pulled):
    path = pulled.folder / ".zoo-origin.json"
    path.write_text(path.read_text().replace(pulled.origin.commit, "0" * 40))
    with pytest.raises(HubError, match=r"its sum is wrong"):
        pull(f"{pulled.origin.repository}@1.0.0")
    assert any(row.error and "its sum is wrong" in row.error for row in verdicts([]))
    with pytest.warns(UserWarning, match="A model was left out"):
        assert pulled.origin.repository not in zoo.list()


def test_a_damaged_blob_is_not_given_to_the_next(pulled, model):
    damage(pulled.folder / "model.safetensors")  # the blob too: they are one file
    push(model, f"lab:{pulled.origin.repository}", "1.1.0")
    second = pull(f"{pulled.origin.repository}@1.1.0")
    assert zoo.verify(second.folder)
    assert (second.folder / "model.safetensors").read_bytes() == tensor(100_000)


def test_only_what_no_model_uses_is_collected(pulled, model):
    repository = pulled.origin.repository
    make(model, {"model.safetensors": tensor(100_000), "other.txt": b"other"})
    push(model, f"lab:{repository}", "2.0.0")
    pull(f"{repository}@2.0.0")
    assert collect(grace=0).files == 0
    would = collect([f"{repository}@1.0.0"], dry=True)
    done = collect([f"{repository}@1.0.0"])
    assert (would.files, would.bytes) == (done.files, done.bytes) == (1, len(b"steps = 3\n"))
    assert not pulled.folder.exists()
    assert zoo.verify(f"{repository}@2.0.0")
    (home() / "blobs" / "ab").mkdir(exist_ok=True)
    (home() / "blobs" / "ab" / "young").write_bytes(b"one that another process is about to link")
    assert collect().files == 0
    assert collect(grace=-1).files == 1
    with pytest.raises(UnknownModel, match=r"No pulled model is called .*There are: me/toy"):
        collect([f"{repository}@3.0.0"])


def test_a_store_that_cannot_be_written_is_read(pulled, monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_SHARED", str(home()))
    files = {path: path.stat().st_mtime_ns for path in home().rglob("*")}
    own = tmp_path / "own"
    monkeypatch.setenv("ZOO_HOME", str(own))
    assert hub.resolve(pulled.origin.repository).folder == pulled.folder
    assert zoo.verify(f"{pulled.origin.repository}@1.0.0")
    assert not own.exists()
    repository = pulled.origin.repository
    push(pulled.folder, f"lab:{repository}", "1.1.0")
    second = pull(f"lab:{repository}")
    assert (own / "hubs") in second.folder.parents
    assert zoo.verify(second.folder)
    assert {path: path.stat().st_mtime_ns for path in files} == files
    (tmp_path / "wall").write_text("")
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "wall" / "home"))
    with pytest.raises(HubError, match=r"cannot be written.*Set ZOO_HOME"):
        pull(f"lab:{repository}")


def test_a_bundle_crosses_the_gap(pulled, tmp_path, monkeypatch):
    name = f"{pulled.origin.repository}@1.0.0"
    done = export([name], tmp_path / "all.zoo")
    assert done.models == [str(pulled.origin)]
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    with pytest.raises(HubError, match=r"has the sha256 .*, expected 00"):
        import_(tmp_path / "all.zoo", "00")
    assert not list((home() / "hubs").glob("**/*@*"))
    assert import_(tmp_path / "all.zoo", done.sha256).models == done.models
    assert import_(tmp_path / "all.zoo").models == done.models
    assert zoo.verify(name)
    assert hub.resolve(name).origin == pulled.origin


@pytest.mark.parametrize("place", [0.001, 0.3, 0.6, 0.9])
def test_a_damaged_bundle_gives_no_wrong_file(pulled, tmp_path, monkeypatch, place):
    export([str(pulled.origin)], tmp_path / "all.zoo")
    data = bytearray((tmp_path / "all.zoo").read_bytes())
    data[int(place * len(data))] ^= 1
    (tmp_path / "all.zoo").write_bytes(data)
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "elsewhere"))
    with pytest.raises(zoo.ZooError):
        import_(tmp_path / "all.zoo")
    assert not list((home() / "hubs").glob("*/*/*"))
    (tmp_path / "all.zoo").write_bytes(data[: len(data) // 2])
    with pytest.raises(zoo.ZooError):
        import_(tmp_path / "all.zoo")


def test_a_yanked_version_is_for_those_who_name_it(lab, repository, model):
    push(model, f"lab:{repository}", "1.0.0")
    push(model, f"lab:{repository}", "1.1.0")
    assert yank(f"lab:{repository}@1.1.0").latest == "1.0.0"
    assert [(each.version, each.yanked) for each in versions(f"lab:{repository}")] == [
        ("1.1.0", True), ("1.0.0", False)
    ]  # fmt: skip
    assert pull(f"lab:{repository}").card.version == "1.0.0"
    with pytest.warns(UserWarning, match=r"1\.1\.0 was yanked"):
        assert pull(f"lab:{repository}@1.1.0").card.version == "1.1.0"
    with pytest.raises(HubError, match="already"):
        push(model, f"lab:{repository}", "1.1.0")
    yank(f"lab:{repository}@1.0.0")
    with pytest.raises(UnknownVersion, match=r"All versions of .* are yanked: 1\.0\.0, 1\.1\.0"):
        pull(f"lab:{repository}")
    assert not yank(f"lab:{repository}@1.1.0", undo=True).yanked
    assert pull(f"lab:{repository}").card.version == "1.1.0"
    with pytest.raises(HubError, match="which version"):
        yank(f"lab:{repository}")


def test_search_looks_here_and_on_the_hubs(lab, repository, model, monkeypatch):
    push(model, f"lab:{repository}", "1.0.0")
    name = repository.partition("/")[2]
    (found,) = search(name)
    assert (found.name, found.hub, found.version, found.license) == (
        repository,
        "lab",
        "1.0.0",
        "mit",
    )
    assert {each.hub for each in search("vae")} >= {"here"}
    assert search(name, "lab") == search(name, lab.url) == [found]
    with pytest.raises(HubError, match=r"No hub is called 'lob'\. Did you mean 'lab'"):
        search("x", "lob")
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    assert search(name) == []
