"""Prompts as numbers: a vocabulary of a model's own, and pretrained text encoders."""

from zoo.nn.text.encoders import Encoder as Encoder
from zoo.nn.text.vocabulary import Vocabulary as Vocabulary
from zoo.nn.text.vocabulary import trained as trained
