"""Lean layers compute what the plain ones do, and keep less; which activations are kept follows from the memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny_model import bank, loss_of, make_model, make_trainee, names_of
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from facechain.training import attention as attention_module
from facechain.training import lean, narrow, winograd
from facechain.training.attention import attention
from facechain.training.config import TrainConfig
from facechain.training.gated import Gated
from facechain.training.lean import WIDE, LowRank, _by_product, _by_winograd, is_lean, make_lean
from facechain.training.loop import training_mode
from facechain.training.loss import Batch
from facechain.training.memory import ROOM, Kept, computed_again, kept_bytes
from facechain.training.network import add_adapters, aliased, blocks_of, checkpoint_blocks, trainable_view
from facechain.training.recall import Recall, recalled


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def results(layer: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The output, and the input's gradient for a random gradient of the output."""
    x = x.clone().requires_grad_()
    out = layer(x)
    out.backward(random(*out.shape, seed=1).to(out.dtype))
    assert x.grad is not None
    return out.detach(), x.grad


def frozen(layer: Any) -> Any:
    torch.manual_seed(2)
    layer.reset_parameters()
    return layer.requires_grad_(False)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(
    ("layer", "size", "way"),
    [
        (lambda: nn.Conv2d(6, 64, 3, padding=1), 2, "product"),
        (lambda: nn.Conv2d(6, 80, 3, padding=1), 3, "product"),
        (lambda: nn.Conv2d(6, 64, 1, bias=False), 2, "product"),
        (lambda: nn.Conv2d(6, 80, 5, padding=2), 3, "product"),
        (lambda: nn.Conv2d(64, 72, 3, padding=1), 28, "winograd"),
        (lambda: nn.Conv2d(72, 64, 3, padding=1, bias=False), 30, "winograd"),
        (lambda: nn.Conv2d(64, 64, 5, padding=2), 28, "plain"),
        (lambda: nn.Conv2d(64, 6, 3, padding=1), 28, "plain"),
        (lambda: nn.Conv2d(6, 8, 3, padding=1), 8, "plain"),
        (lambda: nn.Conv2d(6, 640, 3, padding=1, stride=2), 4, "plain"),
        (lambda: nn.Conv2d(6, 640, 3), 5, "plain"),
        (lambda: nn.Conv2d(6, 640, 3, padding=2, dilation=2), 5, "plain"),
        (lambda: nn.Conv2d(6, 66, 3, padding=1, groups=3), 2, "plain"),
    ],
)
def test_a_lean_convolution_is_the_same(layer: Any, size: int, way: str, batch: int) -> None:
    conv = frozen(layer())
    x = random(batch, conv.in_channels, size, size + 1)
    plain = results(conv, x)
    make_lean(conv)
    assert is_lean(conv) and (_by_product(conv, x), _by_winograd(conv, x)) == (way == "product", way == "winograd")
    for own, other in zip(results(conv, x), plain, strict=True):
        assert own.shape == other.shape
        torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-5)


def test_winograds_way_rounds_like_a_sum() -> None:
    x, weight = random(1, 128, 28, 28), random(8, 128, 3, 3, seed=1) / 128**0.5 / 3
    exact = torch.nn.functional.conv2d(x.double(), weight.double(), padding=1)
    assert (
        float((winograd.convolve(x, weight) - exact).square().mean().sqrt() / exact.std()) < 1.6e-6
    )  # the usual points: 2.8e-6


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_weights_of_another_precision_are_cast_and_no_copy_is_kept(dtype: torch.dtype) -> None:
    layer, conv = frozen(nn.Linear(12, 8)), frozen(nn.Conv2d(3, 40, 3, padding=1))
    for part, x in ((layer, random(2, 5, 12)), (conv, random(1, 3, 3, 3))):
        part.to(dtype)
        exact = type(part)(*((12, 8) if part is layer else (3, 40, 3)), **({} if part is layer else {"padding": 1}))
        exact.load_state_dict({name: value.float() for name, value in part.state_dict().items()})
        plain = results(exact.requires_grad_(False), x)
        make_lean(part)
        kept: list[torch.Tensor] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, kept=kept: kept.append(t) or t, lambda t: t):
            own = results(part, x)
        assert not kept
        for a, b in zip(own, plain, strict=True):
            torch.testing.assert_close(a, b)


def test_layers_that_compute_otherwise_are_left_alone() -> None:
    class Scaled(nn.Linear):
        """As 8-bit layers with a scale, whose weight alone says nothing."""

    patched: Any = frozen(nn.Linear(4, 4))
    patched.weight_function = [lambda weight: weight * 2]
    strings = frozen(nn.Conv2d(3, 3, 3, padding="same"))
    network = nn.ModuleList([frozen(Scaled(4, 4)), patched, strings, frozen(nn.Linear(4, 4))])
    make_lean(network)
    assert [is_lean(layer) for layer in network] == [False, False, False, True]


@pytest.mark.parametrize("alpha", [0, 2])
def test_the_adapter_in_one_piece_is_pefts(alpha: int) -> None:
    """Against peft's own layers: the loss, and every gradient."""
    config, found = TrainConfig(rank=4, alpha=alpha), []
    for own in (True, False):
        with training_mode(0, torch.device("cpu")):
            trainee = make_trainee(make_model(), config)
            layers = [m for m in trainee.model.diffusion_model.modules() if isinstance(m.forward, LowRank)]
            assert len(layers) == 16
            for index, half in enumerate(trainee.parameters):
                half.data = random(*half.shape, seed=index) * 0.1
            for layer in [] if own else layers:
                del layer.forward
            loss = loss_of(trainee, Batch(bank().latents), torch.Generator().manual_seed(3))
            loss.backward()
            found.append([loss.detach(), *(half.grad for half in trainee.parameters)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("own", [True, False])
def test_adapters_compute_in_the_networks_precision_and_learn_in_float32(
    own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(narrow, "_has_bfloat16", lambda: own)
    with training_mode(0, torch.device("cpu")):
        model = make_model()
        view = trainable_view(model, torch.bfloat16)
        adapters = add_adapters(view.diffusion_model, TrainConfig(rank=4), names_of(model))
        layer = view.diffusion_model.blocks[0].attn1.to_q
        seen: list[torch.dtype] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: seen.append(t.dtype) or t, lambda t: t):
            out = layer(random(2, 16).bfloat16())
        out.sum().backward()
    assert out.dtype == torch.bfloat16 and set(seen) == {torch.bfloat16 if own else torch.float32}
    up = adapters[0].up
    assert up.grad is not None and up.grad.dtype == torch.float32 and up.grad.any()


def test_products_in_float32_give_what_those_in_bfloat16_give(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = nn.ModuleList([nn.Linear(16, 16), nn.Conv2d(4, 8, 3)])
    make_lean(layers)
    asked = [(layers[0], random(2, 16)), (layers[1], random(1, 4, 6, 6)), (attend, random(1, 2, 8, 16))]
    for compute, x in asked:
        monkeypatch.setattr(narrow, "_has_bfloat16", lambda: True)
        expected = results(compute, x.bfloat16())
        monkeypatch.setattr(narrow, "_has_bfloat16", lambda: False)
        for own, other in zip(results(compute, x.bfloat16()), expected, strict=True):
            assert own.dtype == torch.bfloat16
            torch.testing.assert_close(own, other, rtol=0.05, atol=0.05)


def attend(x: torch.Tensor) -> torch.Tensor:
    out = attention(x, x, x)
    assert out is not None
    return out


# --- what is kept ---


def test_activations_are_counted_once_and_without_being_kept() -> None:
    layer, block = nn.Linear(1000, 1000), nn.Sequential(nn.ReLU(), nn.Tanh())
    rows, alive = torch.randn(200, 1000, requires_grad=True), []

    def forward() -> torch.Tensor:
        out = block(layer(rows).square())
        alive.append(torch.multiprocessing.reductions.StorageWeakRef(out.untyped_storage()))
        return out.sum()

    kept, rest = kept_bytes(forward, [layer], [block])
    assert kept == [Kept(2 * 200 * 1000 * 4)], "what the two gave"
    assert rest == 2 * 200 * 1000 * 4, "the rows and what the layer gave; not its weights"
    assert alive[0].expired()
    assert "forward" not in vars(block)


def test_the_largest_blocks_are_computed_again_until_the_rest_fits() -> None:
    kept, rest = [Kept(100), Kept(460, 60), Kept(50, 60), Kept(300)], 40
    assert computed_again(kept, rest, int(950 / ROOM) + 1) == []
    assert computed_again(kept, rest, int(949 / ROOM)) == [1, 3], "with one alone it is 550, and 400 for a moment"
    assert computed_again(kept, rest, int(649 / ROOM)) == [0, 1, 3]
    assert computed_again(kept, rest, 0) == [0, 1, 3], "what saves nothing is kept"


@pytest.mark.parametrize("again", [[0], [1], [0, 1]])
def test_computing_some_blocks_again_changes_no_gradient(again: list[int]) -> None:
    gradients = []
    for chosen in ([], again):
        with training_mode(0, torch.device("cpu")):
            trainee = make_trainee(make_model(), TrainConfig())
            blocks = blocks_of(trainee.model.diffusion_model)
            checkpoint_blocks([blocks[index] for index in chosen])
            for index, parameter in enumerate(trainee.parameters):
                parameter.data = random(*parameter.shape, seed=index) * 0.1
            loss_of(trainee, Batch(bank().latents[:1]), torch.Generator().manual_seed(0)).backward()
            gradients.append([p.grad for p in trainee.parameters])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


# --- what the second pass takes from the first ---


class Convolutions(nn.Module):
    """Two of them, counted; in_place: goes on in place on what the first gave."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.first, self.second = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 3, 3, padding=1)
        self.in_place, self.runs = in_place, 0
        self.requires_grad_(False)
        make_lean(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.runs += 1
        h = self.first(x)
        h = h.mul_(2) if self.in_place else h * 2
        return self.second(h.sigmoid()).square()


@pytest.mark.parametrize("in_place", [False, True])
def test_a_second_pass_does_not_compute_convolutions_again(in_place: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[nn.Module] = []
    plain = lean._convolve
    monkeypatch.setattr(lean, "_convolve", lambda layer, x: computed.append(layer) or plain(layer, x))
    gradients = []
    for again in (False, True):
        block = Convolutions(in_place)
        if again:
            blocks: list[nn.Module] = [block]
            checkpoint_blocks(blocks)
        computed.clear()
        x = random(1, 3, 6, 6).requires_grad_()
        block(x).sum().backward()
        gradients.append(x.grad)
        assert block.runs == 1 + again
        assert computed == [block.first, block.second, *([block.first] if again and in_place else [])]
    assert torch.equal(*gradients)


def test_what_is_kept_for_the_second_pass_is_counted_and_freed() -> None:
    block, x = Convolutions(False), random(1, 3, 6, 6).requires_grad_()
    kept, _ = kept_bytes(lambda: block(x), [], [block])
    assert [one.again for one in kept] == [(5 + 3) * 36 * 4]
    checkpoint_blocks([block])
    out = block(x)
    with torch.no_grad():
        assert torch.equal(block(x), out)
    recall = Recall()
    with recall.next_pass():
        recalled(lambda: (x * 1, x[0] * 2))
    assert recall.nbytes == 2 * x.nbytes
    with recall.next_pass():
        assert [torch.equal(own, given) for own, given in zip(recalled(lambda: (x * 5,)), (x, x[0] * 2), strict=True)]
        assert torch.equal(recalled(lambda: (x * 5,))[0], x * 5), "beyond what was kept"
    assert recall.nbytes == 0


class Calls(TorchDispatchMode):
    """Counts the operators that torch calls."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.found[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def heads(*shape: int, seed: int) -> torch.Tensor:
    """As a layer gives them: [B, heads, N, D], in memory [B, N, heads, D]."""
    return random(*shape, seed=seed).transpose(1, 2).requires_grad_()


@pytest.mark.parametrize("again", [False, True])
def test_attention_is_torchs_bit_by_bit_and_computed_once(again: bool) -> None:
    results = []
    for own in (True, False):
        q, k, v = heads(2, 40, 3, 8, seed=0), heads(2, 7, 3, 8, seed=1), heads(2, 7, 3, 8, seed=2)

        def attend(own: bool = own, q: Any = q, k: Any = k, v: Any = v) -> torch.Tensor:
            out = attention(q, k, v) if own else torch.nn.functional.scaled_dot_product_attention(q, k, v)
            assert out is not None
            return out.transpose(1, 2).flatten(2).square()

        block: Any = nn.Module()
        block.forward = attend
        if again and own:
            checkpoint_blocks([block])
        with Calls() as calls:
            out = block()
            (out * random(*out.shape, seed=3)).sum().backward()
        assert calls.found[attention_module.KERNEL] == 1
        results.append([out.detach(), *torch.autograd.grad(attend().sum(), (q, k, v)), q.grad, k.grad, v.grad])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_where_torch_would_attend_otherwise_there_is_no_own_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = heads(1, 4, 2, 8, seed=0), heads(1, 5, 2, 8, seed=1), heads(1, 5, 2, 6, seed=2)
    assert attention(q, k, k) is not None
    assert attention(q, k, v) is None, "values of another size"
    with sdpa_kernel(SDPBackend.MATH):
        assert attention(q, k, k) is None
    monkeypatch.setattr(attention_module, "KERNEL", "_of_another_version")
    assert attention(q, k, k) is None


class Wide(nn.Module):
    """A frozen layer and one with an adapter, wide or one number less."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.frozen, self.taught = frozen(nn.Linear(width, width)), frozen(nn.Linear(width, 4, bias=False))
        make_lean(self)
        down, up = (nn.Parameter(random(*shape, seed=6) / 25) for shape in ((2, width), (4, 2)))
        self.taught.forward = LowRank(self.taught, down, up, 0.5)  # type: ignore[method-assign]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.taught(self.frozen(x).sigmoid()).square()


@pytest.mark.parametrize("wide", [False, True])
def test_a_second_pass_does_not_compute_wide_layers_again(wide: bool) -> None:
    width, gradients = WIDE if wide else WIDE - 1, []
    for again in (False, True):
        block = Wide(width)
        x = random(2, 3, width).requires_grad_()
        if again:
            kept, _ = kept_bytes(lambda block=block, x=x: block(x), [block], [block])
            assert [one.again for one in kept] == [6 * (width + 4 + 2) * 4 * wide]
            checkpoint_blocks([block])
        with Calls() as calls:
            block(x).sum().backward()
        first_layers = calls.found["addmm"]
        assert first_layers == (2 if again and not wide else 1)
        gradients.append([x.grad, *(half.grad for half in (block.taught.forward.down, block.taught.forward.up))])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


class GEGLU(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(6, 2 * 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values, gates = self.proj(x).chunk(2, dim=-1)
        return values * torch.nn.functional.gelu(gates)


def test_the_gate_is_the_plain_one_and_keeps_its_input_alone() -> None:
    plain, x = GEGLU(), random(2, 150, 6)  # more rows than are computed at once
    own = aliased(plain.requires_grad_(False), torch.float32)
    assert isinstance(own.forward, Gated)
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        found = results(own, x)
    assert [t.shape for t in kept] == [(2, 150, 2000)]
    for a, b in zip(found, results(plain, x), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)
