"""Which picture of a Debian package may be used, and the Qt resource files that some lie in."""

import struct
import zlib

import pytest

from zoo.data import qt_resources
from zoo.data.licences import of, stanzas
from zoo.errors import DataError

COPYRIGHT = """\
Format: copyright-format 1.0

Files: *
Copyright: 2014, The Program
License: GPL-3+

Files: photos/*.jpg
       more/b?.png
Copyright: 2018, Ann
           2019, Ben
License: CC-BY-SA-4.0
Comment: as the README says

Files: photos/c.jpg
Copyright: Cy
License: public-domain

License: GPL-3+
 All of it.
"""


def test_the_last_stanza_that_fits_wins(tmp_path):
    path = tmp_path / "copyright"
    path.write_text(COPYRIGHT)
    known = stanzas(path)
    ann, cy, other = (of(name, known) for name in ("photos/a.jpg", "photos/c.jpg", "main.c"))
    assert (ann.licence, ann.holders, ann.free) == ("CC-BY-SA-4.0", "2018, Ann; 2019, Ben", True)
    assert (cy.licence, cy.holders, cy.free) == ("public-domain", "Cy", True)
    assert (other.licence, other.free) == ("GPL-3+", False)
    assert of("src/more/b1.png", known) is ann


def test_a_file_that_says_nothing_is_refused(tmp_path):
    (tmp_path / "copyright").write_text("Free as in beer.")
    with pytest.raises(DataError, match="no machine-readable"):
        stanzas(tmp_path / "copyright")


def resources(files):
    """A version 1 resource file: a folder `d` in the root, with these (name, content, deflated)."""
    names, places, content, tree = b"", [], b"", b""
    for name in ("d", *(each[0] for each in files)):
        places.append(len(names))
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
    tree += struct.pack(">IHII", 0, 2, 1, 1) + struct.pack(">IHII", places[0], 2, len(files), 2)
    for place, (_, data, deflated) in zip(places[1:], files, strict=True):
        blob = struct.pack(">I", len(data)) + zlib.compress(data) if deflated else data
        tree += struct.pack(">IHHHI", place, int(deflated), 0, 0, len(content))
        content += struct.pack(">I", len(blob)) + blob
    head = struct.pack(">4s4I", b"qres", 1, 20, 20 + len(tree) + len(names), 20 + len(tree))
    return head + tree + names + content


def test_plain_and_deflated_members_come_out(tmp_path):
    files = [("a.txt", b"plain", False), ("b.txt", b"deflated" * 9, True)]
    (tmp_path / "r.rcc").write_bytes(resources(files))
    found = dict(qt_resources.members(tmp_path / "r.rcc"))
    assert found == {"d/a.txt": b"plain", "d/b.txt": b"deflated" * 9}


@pytest.mark.parametrize("damage", [lambda d: b"nope" + d[4:], lambda d: d[:-3], lambda d: d[:9]])
def test_damage_names_the_file(tmp_path, damage):
    (tmp_path / "r.rcc").write_bytes(damage(resources([("a.txt", b"plain", False)])))
    with pytest.raises(DataError, match=r"r\.rcc"):
        dict(qt_resources.members(tmp_path / "r.rcc"))


def test_a_folder_in_itself_ends(tmp_path):
    loop = struct.pack(">4s4I", b"qres", 1, 20, 34, 34) + struct.pack(">IHII", 0, 2, 1, 0)
    (tmp_path / "r.rcc").write_bytes(loop)
    with pytest.raises(DataError, match="without end"):
        dict(qt_resources.members(tmp_path / "r.rcc"))
