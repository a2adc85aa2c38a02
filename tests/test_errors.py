import pytest

from zoo import errors
from zoo.errors import listed, nearest


def test_the_nearest_name_ends_a_sentence():
    assert nearest("vqgan-f61", ["vqgan-f16", "dalle"]) == " Did you mean 'vqgan-f16'?"
    assert nearest("zzz", ["vqgan-f16"]) == ""
    assert nearest("x", []) == ""


def test_long_lists_are_counted():
    assert listed([]) == "none"
    assert listed("ba") == "a, b"
    assert listed([f"{index:02}" for index in range(20)], 2) == "00, 01 and 18 more"


@pytest.mark.parametrize(
    "name", [each for each in vars(errors) if each[0].isupper() and each != "Iterable"]
)
def test_every_error_is_documented_and_caught_as_one(name):
    kind = getattr(errors, name)
    assert issubclass(kind, errors.ZooError)
    assert kind.__doc__
