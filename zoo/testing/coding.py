"""Checks of `encode`, `decode` and `log_prob`: shapes, and that images stay apart."""
# ruff: noqa: D103  (their names are their sentences)

from __future__ import annotations

from unittest import SkipTest

import torch

from zoo.testing.subject import Subject, latents, same, want


def latents_have_the_shape_and_type_of_the_card(subject: Subject) -> None:
    codes = subject.giving("encode").encode(subject.images)
    want(
        tuple(codes.shape) == (3, *(subject.latent or ())),
        f"encode gave {tuple(codes.shape)}: {subject.latent}",
    )
    if subject.latent_kind == "tokens":
        low, high = int(codes.min()), int(codes.max())
        want(codes.dtype == torch.int64, f"tokens are int64, encode gave {codes.dtype}")
        want(
            low >= 0 and high < (subject.codes or 0),
            f"tokens {low} .. {high} are not within 0 .. {subject.codes} - 1",
        )


def encoding_without_a_generator_is_deterministic(subject: Subject) -> None:
    model = subject.giving("encode")
    same(
        model.encode(subject.images),
        model.encode(subject.images),
        0,
        "two encodings of the same images",
    )


def one_image_does_not_change_the_latents_of_another(subject: Subject) -> None:
    model = subject.giving("encode")
    same(
        model.encode(subject.images)[:1],
        model.encode(subject.images[:1]),
        subject.tolerance,
        "latents of image 0",
    )


def a_drawn_latent_depends_on_its_seed_and_place_alone(subject: Subject) -> None:
    model, images = subject.giving("encode"), subject.images
    drawn, alone = model.encode(images, seed=3)[:1], model.encode(images[:1], seed=3)
    same(drawn, alone, subject.tolerance, "the latent drawn for image 0 of 3 and for image 0 of 1")


def decoded_images_have_the_shape_of_the_card(subject: Subject) -> None:
    back = subject.giving("decode").decode(latents(subject))
    want(
        tuple(back.shape) == (3, *subject.image),
        f"decode gave {tuple(back.shape)} for 3 of {subject.image}",
    )


def one_latent_does_not_change_the_image_of_another(subject: Subject) -> None:
    model, drawn = subject.giving("decode"), latents(subject)
    same(model.decode(drawn)[:1], model.decode(drawn[:1]), subject.tolerance, "image 0")


def decode_inverts_encode_where_the_family_is_lossless(subject: Subject) -> None:
    if not subject.lossless:
        raise SkipTest("not lossless")
    model = subject.giving("encode")
    same(
        model.decode(model.encode(subject.images)),
        subject.images,
        subject.tolerance,
        "decode(encode(images))",
    )


def log_prob_is_one_number_an_image(subject: Subject) -> None:
    nats = subject.giving("log_prob").log_prob(subject.images, seed=0).nats
    want(
        tuple(nats.shape) == (3,),
        f"log_prob gave {tuple(nats.shape)} for 3 images: sum over everything but the batch",
    )
    want(
        len({*nats.tolist()}) > 1,
        f"three different images have the same log_prob {float(nats[0]):.6g}",
    )


def one_image_does_not_change_the_log_prob_of_another(subject: Subject) -> None:
    model, images = subject.giving("log_prob"), subject.images.tensor.clone()
    together = model.log_prob(images, seed=3).nats
    images[1:] = -images[1:].flip(-1)
    same(
        together[:1],
        model.log_prob(images, seed=3).nats[:1],
        subject.tolerance,
        "log_prob of image 0",
    )
    same(
        together[:1],
        model.log_prob(images[:1], seed=3).nats,
        subject.tolerance,
        "log_prob of image 0 alone",
    )


CHECKS = (
    latents_have_the_shape_and_type_of_the_card,
    encoding_without_a_generator_is_deterministic,
    one_image_does_not_change_the_latents_of_another,
    a_drawn_latent_depends_on_its_seed_and_place_alone,
    decoded_images_have_the_shape_of_the_card,
    one_latent_does_not_change_the_image_of_another,
    decode_inverts_encode_where_the_family_is_lossless,
    log_prob_is_one_number_an_image,
    one_image_does_not_change_the_log_prob_of_another,
)
