"""genzoo: generative image models of every family behind one set of verbs.

    import zoo
    vq = zoo.load("vqgan-f16")
    tokens = vq.encode(images)
    back = vq.decode(tokens)

Importing this is quick and does not import torch: each name is fetched when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo import data as data
    from zoo import rng as rng
    from zoo.adapters import adapt as adapt
    from zoo.adoption import Adoption as Adoption
    from zoo.advice import recommend as recommend
    from zoo.card import Card as Card
    from zoo.codec import compress as compress
    from zoo.codec import decompress as decompress
    from zoo.density import LogProb as LogProb
    from zoo.errors import CardError as CardError
    from zoo.errors import CodecError as CodecError
    from zoo.errors import DataError as DataError
    from zoo.errors import ForeignError as ForeignError
    from zoo.errors import HubError as HubError
    from zoo.errors import ImageError as ImageError
    from zoo.errors import PluginError as PluginError
    from zoo.errors import RequestError as RequestError
    from zoo.errors import UnknownFamily as UnknownFamily
    from zoo.errors import UnknownModel as UnknownModel
    from zoo.errors import UnknownVersion as UnknownVersion
    from zoo.errors import Unsupported as Unsupported
    from zoo.errors import WeightsError as WeightsError
    from zoo.errors import ZooError as ZooError
    from zoo.evaluate.classifier import classify as classify
    from zoo.finetuning import finetune as finetune
    from zoo.foreign_models import convert as convert
    from zoo.hookspecs import hookimpl as hookimpl
    from zoo.hub import names
    from zoo.hub import show as show
    from zoo.images import Images as Images
    from zoo.loading import load as load
    from zoo.model import Model as Model
    from zoo.parts import compose as compose
    from zoo.plugins import families as families
    from zoo.sharing import pull as pull
    from zoo.sharing import push as push
    from zoo.tables import card_table as card_table
    from zoo.verification import verify as verify

    list = names

__version__ = "0.1.0"

_ERRORS = [
    "ZooError",
    "UnknownModel",
    "UnknownVersion",
    "UnknownFamily",
    "Unsupported",
    "PluginError",
    "CardError",
    "HubError",
    "WeightsError",
    "ForeignError",
    "ImageError",
    "RequestError",
    "DataError",
    "CodecError",
]
_PLACES = {
    "Adoption": "zoo.adoption:Adoption",
    "adapt": "zoo.adapters:adapt",
    "finetune": "zoo.finetuning:finetune",
    "Card": "zoo.card:Card",
    "Images": "zoo.images:Images",
    "LogProb": "zoo.density:LogProb",
    "Model": "zoo.model:Model",
    "card_table": "zoo.tables:card_table",
    "classify": "zoo.evaluate.classifier:classify",
    "compose": "zoo.parts:compose",
    "compress": "zoo.codec:compress",
    "convert": "zoo.foreign_models:convert",
    "data": "zoo.data",
    "decompress": "zoo.codec:decompress",
    "families": "zoo.plugins:families",
    "hookimpl": "zoo.hookspecs:hookimpl",
    "list": "zoo.hub:names",
    "load": "zoo.loading:load",
    "pull": "zoo.sharing:pull",
    "push": "zoo.sharing:push",
    "recommend": "zoo.advice:recommend",
    "rng": "zoo.rng",
    "show": "zoo.hub:show",
    "verify": "zoo.verification:verify",
    **{name: f"zoo.errors:{name}" for name in _ERRORS},
}
__all__ = ["__version__", *_PLACES]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        from zoo.errors import nearest

        raise AttributeError(f"zoo has no {name!r}.{nearest(name, _PLACES)}")
    module, _, attribute = _PLACES[name].partition(":")
    found = import_module(module)
    value = getattr(found, attribute) if attribute else found
    globals()[name] = value
    return value


def __dir__() -> Any:
    return sorted({*globals(), *_PLACES})
