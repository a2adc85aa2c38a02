"""What genzoo itself does with a hub, by whichever version of huggingface_hub runs this.

    ZOO_HUBS=lab=URL ZOO_HUB_TOKEN=TOKEN ZOO_HOME=EMPTY python own_client.py FOLDER

prints one JSON line: the versions of the client and of what was pulled.
"""

import json
import sys
import warnings
from pathlib import Path

import huggingface_hub
from parcels import make, tensor

from zoo.errors import CardError, HubError, UnknownModel, UnknownVersion
from zoo.hub.pulling import pull
from zoo.sharing import push
from zoo.sharing.collecting import collect
from zoo.sharing.healing import verdicts
from zoo.sharing.listing import search, versions
from zoo.sharing.locking import check, lock, pull_locked
from zoo.sharing.mirroring import mirror
from zoo.sharing.yanking import yank

TO = "lab:me/own-" + huggingface_hub.__version__.replace(".", "-")
DATA = tensor(1_500_000)


def fails(kind, words, call, *arguments):
    """That a call raises this kind of error and no other, with these words."""
    raised = None
    try:
        call(*arguments)
    except (CardError, HubError, UnknownModel, UnknownVersion) as error:
        raised = error
    assert type(raised) is kind, repr(raised)
    assert words in str(raised), raised


def main():
    folder = Path(sys.argv[1])
    model = make(folder / "toy", {"model.safetensors": DATA, "sub/recipe.toml": b"steps = 3\n"})
    fails(UnknownModel, "has no repository", pull, TO)
    first = push(model, TO, "1.0.0")
    assert first.latest
    fails(HubError, "a version never changes", push, model, TO, "1.0.0")
    other = make(folder / "other", {"model.safetensors": DATA, "new.txt": b"new"})
    second = push(other, TO, "1.1.0")
    assert second.latest
    assert [each.version for each in versions(TO)] == ["1.1.0", "1.0.0"]
    fails(UnknownVersion, "has no version", pull, f"{TO}@9.0.0")
    fails(UnknownVersion, "has no revision 'nain'. Did you mean 'main'?", pull, f"{TO}@nain")
    fails(HubError, "cannot be reached", pull, "http://127.0.0.1:9/me/toy")
    got = pull(f"{TO}@1.0.0")
    assert (got.folder / "model.safetensors").read_bytes() == DATA
    assert (got.folder / "sub/recipe.toml").read_bytes() == b"steps = 3\n"
    assert got.origin.commit == first.commit
    for name in (TO, f"{TO}@main", f"{TO}@latest", f"{TO}@{second.commit}"):
        assert pull(name).origin.commit == second.commit, name
    assert TO.partition(":")[2] in [each.name for each in search("own", "lab")]
    yank(f"{TO}@1.1.0")
    assert pull(TO).card.version == "1.0.0"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        collect([TO.partition(":")[2]], grace=-1)
        assert pull(f"{TO}@1.1.0").card.version == "1.1.0"
    assert any("was yanked" in str(each.message) for each in told)
    yank(f"{TO}@1.1.0", undo=True)
    lock([f"{TO}@1.1.0"], folder / "zoo.lock")
    assert [each.error for each in check(folder / "zoo.lock")] == [None]
    collect([TO.partition(":")[2]], grace=-1)
    (locked,) = pull_locked(folder / "zoo.lock")
    damaged = Path(locked.folder) / "new.txt"
    damaged.unlink()
    assert [each.healed for each in verdicts([f"{TO}@1.1.0"])] == [["new.txt"]]
    done = mirror(TO, TO.replace("me/", "lab/"))
    assert [(each.version, each.copied) for each in done] == [("1.0.0", True), ("1.1.0", True)]
    push(model, f"{TO}-private", "1.0.0", private=True)
    assert pull(f"{TO}-private").card.version == "1.0.0"
    print(json.dumps({"client": huggingface_hub.__version__, "pulled": got.card.version}))


if __name__ == "__main__":
    main()
