"""Codebooks against their formulas, in float64."""

import math

import pytest
import torch

from zoo.nn.quantizers import ResidualQuantizer, VectorQuantizer, nearest
from zoo.nn.quantizers.entropy import entropies, orthogonality, perplexity
from zoo.nn.quantizers.vector import kmeans, rotate


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def latents(batch=3, dim=5, size=4, seed=0):
    return torch.randn(batch, dim, size, size, generator=seeded(seed), dtype=torch.float64)


def vector(codes=12, dim=5, **options):
    torch.manual_seed(0)
    return VectorQuantizer(codes, dim, **options).double()


@pytest.mark.parametrize("codes", [1, 7, 128, 300, 4096, 9001])
@pytest.mark.parametrize("rows", [1, 33, 700])
def test_nearest_is_the_argmin_of_all_distances(codes, rows):
    z = torch.randn(rows, 6, generator=seeded())
    codebook = torch.randn(codes, 6, generator=seeded(1))
    wanted = torch.cdist(z.double(), codebook.double()).argmin(dim=1)
    found = nearest(z, codebook)
    assert found.dtype == torch.int64
    assert torch.equal(found, wanted)


@pytest.mark.parametrize("codes", [300, 512, 8192])
def test_nearest_gives_the_first_of_equal_codes(codes):
    codebook = torch.randn(codes, 4, generator=seeded())
    codebook[7] = codebook[-1] = codebook[codes // 2] = 0
    assert nearest(torch.zeros(3, 4), codebook).tolist() == [7, 7, 7]


@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize("learn", ["ema", "gradient", "frozen"])
def test_tokens_are_integers_and_lookup_undoes_them(cosine, learn):
    quantizer = vector(cosine=cosine, learn=learn).eval()
    found = quantizer(latents())
    assert found.tokens.dtype == torch.int64
    assert found.tokens.shape == (3, 4, 4)
    assert torch.equal(found.tokens, quantizer.tokens(latents()))
    assert torch.equal(found.codes, quantizer.lookup(found.tokens))
    assert torch.equal(quantizer.tokens(found.codes), found.tokens)


def test_sequences_and_volumes_are_quantised_like_images():
    quantizer = vector().eval()
    z = latents()
    flat = quantizer(z.flatten(2))
    assert torch.equal(flat.tokens, quantizer.tokens(z).flatten(1))
    assert torch.equal(flat.codes, quantizer(z).codes.flatten(2))


def test_the_gradient_passes_straight_through():
    quantizer, z = vector(commitment=0.0), latents().requires_grad_()
    upstream = latents(seed=3)
    (gradient,) = torch.autograd.grad(quantizer(z).codes, z, upstream)
    assert torch.equal(gradient, upstream)


def test_the_rotated_gradient_is_the_rotation_and_the_scale():
    z = torch.randn(4, 3, generator=seeded(), dtype=torch.float64, requires_grad=True)
    q = torch.randn(4, 3, generator=seeded(1), dtype=torch.float64)
    out = rotate(z, q)
    torch.testing.assert_close(out, q)
    # along z itself a rotation that takes z to q must give q's direction, scaled by |q| / |z|
    rows = [torch.autograd.grad(out[0, i], z, retain_graph=True)[0][0] for i in range(3)]
    jacobian = torch.stack(rows)
    torch.testing.assert_close(jacobian @ z[0].detach(), q[0])
    scale = q[0].norm() / z[0].detach().norm()
    torch.testing.assert_close(jacobian.T @ jacobian, scale**2 * torch.eye(3, dtype=torch.float64))


def test_the_two_terms_of_the_loss_and_whom_they_move():
    quantizer = vector(learn="gradient", commitment=0.3, codebook_weight=0.7)
    z = latents().requires_grad_()
    found = quantizer(z)
    distance = (z - quantizer.lookup(found.tokens)).square().mean()
    torch.testing.assert_close(found.loss, distance)  # 0.3 + 0.7
    by_z, by_codes = torch.autograd.grad(found.loss, [z, quantizer.codebook])
    difference = 2 * (z - quantizer.lookup(found.tokens)).detach() / z.numel()
    torch.testing.assert_close(by_z, 0.3 * difference)
    wanted = torch.zeros_like(by_codes)
    rows = difference.movedim(1, -1).reshape(-1, 5)
    wanted.index_add_(0, found.tokens.flatten(), -0.7 * rows)
    torch.testing.assert_close(by_codes, wanted)


@pytest.mark.parametrize("running_sums", [False, True])
def test_the_running_averages_follow_the_formula(running_sums):
    decay, eps, codes = 0.9, 1e-3, 12
    quantizer = vector(codes, decay=decay, eps=eps, running_sums=running_sums)
    counts = torch.ones(codes, dtype=torch.float64)
    smooth = (counts + eps) / (counts.sum() + codes * eps) * counts.sum()
    sums = quantizer.codebook.clone() * smooth[:, None]
    for step in range(4):
        z = latents(seed=step)
        tokens = quantizer.tokens(z).flatten()
        rows = z.movedim(1, -1).reshape(-1, 5)
        used = torch.stack([(tokens == k).sum() for k in range(codes)]).double()
        total = torch.stack([rows[tokens == k].sum(0) for k in range(codes)])
        counts = decay * counts + (1 - decay) * used
        sums = decay * sums + (1 - decay) * total
        smooth = (counts + eps) / (counts.sum() + codes * eps) * counts.sum()
        found = quantizer(z)
        assert torch.equal(found.tokens.flatten(), tokens)  # by the codebook from before the step
        torch.testing.assert_close(quantizer.usage, counts)
        torch.testing.assert_close(quantizer.codebook, sums / smooth[:, None])


def test_a_cosine_codebook_stays_on_the_sphere():
    quantizer = vector(cosine=True, decay=0.5)
    for step in range(3):
        codes = quantizer(latents(seed=step)).codes
        torch.testing.assert_close(codes.norm(dim=1), torch.ones(3, 4, 4, dtype=torch.float64))
    torch.testing.assert_close(quantizer.codebook.norm(dim=1), torch.ones(12, dtype=torch.float64))


def test_evaluation_changes_nothing():
    quantizer = vector(revive=0.5, warmup=3).eval()
    before = {name: value.clone() for name, value in quantizer.state_dict().items()}
    quantizer(latents())
    assert all(torch.equal(before[name], value) for name, value in quantizer.state_dict().items())


@pytest.mark.parametrize("learn", ["ema", "gradient"])
def test_reviving_dead_codes_raises_usage(learn):
    used = {}
    for revive in (0.0, 0.2):
        quantizer = vector(64, learn=learn, revive=revive, decay=0.8)
        with torch.no_grad():
            quantizer.codebook[8:] += 100  # out of reach
        for step in range(20):
            quantizer(latents(batch=8, size=8, seed=step), seeded(step))
        used[revive] = quantizer.eval()(latents(batch=8, size=8, seed=99)).metrics["used"]
    assert used[0.0] <= 8 / 64
    assert used[0.2] > 0.9


def test_after_the_warm_up_the_codebook_is_laid_onto_the_latents():
    quantizer = vector(codes=16, warmup=2, learn="frozen")
    start = quantizer.codebook.clone()
    for step in range(2):
        z = latents(seed=step)
        found = quantizer(z, seeded())
        assert torch.equal(found.codes, z)  # unquantised
        assert found.loss == 0
        assert torch.equal(quantizer.codebook, start)
    z = latents()
    before = (z - quantizer.eval()(z).codes).square().mean()
    after = (z - quantizer.train()(z, seeded()).codes.detach()).square().mean()
    assert not torch.equal(quantizer.codebook, start)
    assert after < 0.5 * before


def test_the_generator_alone_decides_what_is_drawn():
    books = []
    for _ in range(2):
        quantizer = vector(warmup=0)
        quantizer(latents(), seeded(5))
        books.append(quantizer.codebook)
    assert torch.equal(*books)
    assert not torch.equal(books[0], vector(warmup=0).codebook)


def test_kmeans_finds_separate_clusters():
    centres = 10 * torch.randn(6, 4, generator=seeded(), dtype=torch.float64)
    z = centres.repeat(50, 1) + 0.01 * torch.randn(300, 4, generator=seeded(1), dtype=torch.float64)
    found = min(
        (torch.cdist(centres, kmeans(z, 6, seeded(seed))).amin(1).max() for seed in range(10)),
    )
    assert found < 0.05


def test_a_net_of_the_meta_device_holds_all_its_values_in_its_state():
    with torch.device("meta"):
        quantizer = VectorQuantizer(12, 5)
    state = vector().float().state_dict()
    quantizer.load_state_dict(state, assign=True)
    assert not any(value.is_meta for value in quantizer.state_dict().values())
    z = latents().float()
    assert torch.equal(quantizer.eval().tokens(z), vector().float().eval().tokens(z))


def test_entropies_of_certain_and_of_even_rows():
    certain = 1000.0 * torch.eye(4, dtype=torch.float64)
    sample, batch = entropies(certain, eps=0.0)
    assert sample == pytest.approx(0)
    assert batch == pytest.approx(math.log(4))
    sample, batch = entropies(torch.zeros(5, 4, dtype=torch.float64), "clamp")
    assert sample == pytest.approx(math.log(4))
    assert batch == pytest.approx(math.log(4))


def test_perplexity_and_orthogonality_of_known_cases():
    assert perplexity(torch.tensor([3.0, 3, 3, 0])) == pytest.approx(3)
    assert perplexity(torch.zeros(4)) == pytest.approx(1)
    assert orthogonality(torch.eye(5)) == pytest.approx(0)
    assert orthogonality(torch.ones(5, 3)) == pytest.approx(1 - 1 / 5)


def test_residual_layers_code_what_is_left():
    layers = [vector(16), vector(8)]
    quantizer = ResidualQuantizer(layers).eval()
    z = latents()
    found = quantizer(z)
    first = layers[0](z)
    second = layers[1](z - first.codes)
    assert torch.equal(found.tokens, torch.stack([first.tokens, second.tokens], dim=-1))
    torch.testing.assert_close(found.codes, first.codes + second.codes)
    assert torch.equal(quantizer.tokens(z), found.tokens)
    torch.testing.assert_close(quantizer.lookup(found.tokens), found.codes)
    torch.testing.assert_close(quantizer.lookup(found.tokens[..., :1]), first.codes)


def test_residual_dropout_stops_early_and_marks_it():
    quantizer = ResidualQuantizer([vector(8) for _ in range(4)], dropout=True)
    depths = set()
    for seed in range(20):
        tokens = quantizer(latents(), seeded(seed)).tokens
        depth = int((tokens[0, 0, 0] >= 0).sum())
        assert (tokens[..., depth:] == -1).all()
        assert (tokens[..., :depth] >= 0).all()
        depths.add(depth)
    assert depths == {1, 2, 3, 4}


@pytest.mark.parametrize("shape", [(2, 4, 3, 3), (5,)])
def test_latents_of_another_size_are_refused(shape):
    with pytest.raises(ValueError, match=r"\(B, 5, \*space\)"):
        vector()(torch.zeros(shape, dtype=torch.float64))


def test_unknown_ways_of_learning_are_refused():
    with pytest.raises(ValueError, match="'ema', 'gradient' or is 'frozen'"):
        VectorQuantizer(4, 2, learn="ewma")
    with pytest.raises(ValueError, match="'straight-through' and 'rotation'"):
        VectorQuantizer(4, 2, gradient="none")
