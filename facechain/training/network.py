"""Low-rank adapters on a diffusion model that the host goes on using: same memory, no change to it.

A host such as ComfyUI keeps its weights as inference tensors, which autograd refuses. So the
network's modules are copied, but not its weights: the copies hold normal tensors on the same memory.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint

from ..errors import TrainingError
from ..installing import install_command
from .config import Layers, TrainConfig
from .gated import Gated
from .lean import LowRank, is_lean, make_lean
from .recall import Recall

# Linear layers of anything called attention: SD's attn1.to_q and attn2.to_out.0, SD3's attn.qkv, Flux's img_attn.proj,
# CLIP's self_attn.q_proj; and Flux's single blocks, whose two layers do attention and feed-forward at once.
ATTENTION = (r".*(attn|attention)\w*\.[\w.]+", r"single_blocks\.\d+\.linear[12]")
FEED_FORWARD = (*ATTENTION, r".*\.ff\.net\.(0\.proj|2)", r".*\.proj_(in|out)", r".*mlp\.\w+")
# but SDXL's embedding of sizes and of the whole prompt: kohya's trainer leaves it alone, and diffusers cannot load it
ALL = (r"(?!label_emb\.).*",)
LAYERS: dict[Layers, tuple[str, ...]] = {"attention": ATTENTION, "feed-forward too": FEED_FORWARD, "all": ALL}

# Blocks whose activations are computed again in the backward pass.
BLOCKS = {"ResBlock", "BasicTransformerBlock", "CLIPLayer", "JointBlock", "DoubleStreamBlock", "SingleStreamBlock"}
# Blocks that write into tensors that the backward pass needs (x += ...).
WRITERS = {"DoubleStreamBlock", "SingleStreamBlock"}

QUANTISED_REMEDY = "Load the model in 16 or 32 bits: a checkpoint that is not GGUF, int8 or NF4"


@dataclass(frozen=True)
class Adapter:
    """One layer's adapter. down: [rank, inputs, ...], up: [outputs, rank, ...]; both float32 parameters."""

    path: str
    down: nn.Parameter
    up: nn.Parameter


def trainable_view(base: nn.Module, dtype: torch.dtype) -> Any:
    """A model whose diffusion_model can be trained, on the memory of base's weights; base stays as it is.

    base: a model as ComfyUI wraps it (attributes diffusion_model and model_sampling, methods apply_model,
        extra_conds, process_latent_in). dtype: what the network computes in.
    Raises TrainingError for quantised weights.
    """
    view: Any = copy.copy(base)
    view.__dict__ = dict(base.__dict__)
    view._modules = {
        **base._modules,
        "diffusion_model": aliased(getattr(base, "diffusion_model"), dtype),  # noqa: B009 - pyright
        "model_sampling": _alias_module(getattr(base, "model_sampling")),  # noqa: B009
    }
    view.manual_cast_dtype = dtype  # apply_model casts its input to it
    return view


def _alias_module(module: nn.Module) -> nn.Module:
    """A deep copy of a module whose parameters and buffers lie on the original's memory."""
    memo: dict[int, Any] = {}
    for name, parameter in module.named_parameters():
        memo[id(parameter)] = nn.Parameter(_alias(name, parameter), requires_grad=False)
    for name, buffer in module.named_buffers():
        memo[id(buffer)] = _alias(name, buffer)
    return copy.deepcopy(module, memo)


def _uncompiled(network: nn.Module) -> nn.Module:
    """The network, changed in place, without torch.compile's wrappers: what they compiled knows nothing of adapters."""
    while (inner := network._modules.get("_orig_mod")) is not None:
        network = inner
    for name, child in network._modules.items():
        if child is not None:
            network._modules[name] = _uncompiled(child)
    return network


def _alias(name: str, tensor: torch.Tensor) -> torch.Tensor:
    if type(tensor) not in (torch.Tensor, nn.Parameter) or tensor.layout != torch.strided:
        raise TrainingError(f"the model is quantised ({name} is a {type(tensor).__name__})", QUANTISED_REMEDY)
    if isinstance(tensor, nn.Parameter) and not tensor.is_floating_point():
        raise TrainingError(f"the model is quantised ({name} holds {tensor.dtype})", QUANTISED_REMEDY)
    empty = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
    return empty.set_(tensor.untyped_storage(), tensor.storage_offset(), tensor.size(), tensor.stride())


def aliased(network: nn.Module, dtype: torch.dtype) -> Any:
    """New modules on the memory of network's weights, which can be trained; each layer computes in its input's dtype.

    Raises TrainingError for quantised weights.
    """
    new = _uncompiled(_alias_module(network))
    layers: list[Any] = [m for m in new.modules() if hasattr(m, "comfy_cast_weights")]
    for layer in layers:
        weight = getattr(layer, "weight", None)
        if weight is not None and weight.dtype != dtype:
            layer.comfy_cast_weights = True
    make_lean(new)
    for block in new.modules():
        if type(block).__name__ in WRITERS:
            block.forward = _OutOfPlace(block.forward)  # type: ignore[method-assign]
        if type(block).__name__ == "CLIPLayer":
            block.forward = _ClipLayer(block)  # type: ignore[method-assign]
        if type(block).__name__ == "GEGLU":
            block.forward = Gated(block)  # type: ignore[method-assign]
    return new


def import_ahead() -> None:
    """Begin to import peft, which takes seconds, on a thread. add_adapters waits for it, and raises its error anew."""
    ThreadPoolExecutor(1, "facechain-import").submit(_import_peft)


def _import_peft() -> None:
    """Raises TrainingError where it is not there."""
    try:
        import peft.tuners.lora  # noqa: F401
    except ImportError as error:
        raise TrainingError(f"the package peft cannot be imported ({error})", f"Run: {install_command()}") from error


def add_adapters(
    network: nn.Module, config: TrainConfig, names: Mapping[str, str], device: torch.device | None = None
) -> list[Adapter]:
    """Put a low-rank branch beside each chosen layer of network, which is changed in place.

    names: layers that the LoRA file format can name, by path inside network. device: where the adapters lie;
        None: where their layer's weights do, which the host may have left in main memory.
    The branches begin as zero (the up half is zero), seeded by torch's global generator, in float32.
    Raises TrainingError when no layer matches, or peft is not there.
    """
    _import_peft()
    from peft import LoraConfig, inject_adapter_in_model
    from peft.tuners.lora import LoraLayer

    paths = [path for path in matching_layers(network, config.layers) if path in names]
    if not paths:
        raise TrainingError(
            f"no layer of this model ({type(network).__name__}) can be trained yet",
            "Use a Stable Diffusion 1.5, 2, XL or 3 or a Flux checkpoint",
        )
    settings = LoraConfig(
        r=config.rank,
        lora_alpha=config.scale_alpha,
        target_modules="|".join(re.escape(path) for path in paths),  # type: ignore[arg-type]
    )
    inject_adapter_in_model(settings, network)
    adapters = []
    for path in paths:
        layer = network.get_submodule(path)
        if not isinstance(layer, LoraLayer):
            raise TrainingError(f"the layer {path} of this model cannot carry an adapter", QUANTISED_REMEDY)
        down, up = (
            halves["default"].to(device=device, dtype=torch.float32).weight for halves in (layer.lora_A, layer.lora_B)
        )
        base: Any = layer.get_base_layer()
        if is_lean(base) and isinstance(base, nn.Linear):
            layer.forward = LowRank(base, down, up, layer.scaling["default"])  # type: ignore[arg-type]
        adapters.append(Adapter(path, down, up))  # type: ignore[arg-type]
    return adapters


def matching_layers(network: nn.Module, layers: Layers) -> list[str]:
    """Paths of the linear and convolution layers that the choice names."""
    return [
        path
        for path, module in network.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d)) and any(re.fullmatch(pattern, path) for pattern in LAYERS[layers])
    ]


def watch_layers(network: nn.Module, on_layer: Callable[[], None]) -> None:
    """Call on_layer, which may raise, at every linear and convolution layer of the forward and the backward pass."""

    def on_gradient(_gradient: torch.Tensor) -> None:
        on_layer()

    def on_output(_layer: nn.Module, _inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        on_layer()
        if output.requires_grad:
            output.register_hook(on_gradient)

    for path, layer in network.named_modules():
        plain = isinstance(layer, (nn.Linear, nn.Conv2d)) and ".lora_" not in path  # those are over in no time
        if plain or isinstance(layer.forward, LowRank):
            layer.register_forward_hook(on_output)


def blocks_of(network: nn.Module) -> list[nn.Module]:
    """The network's blocks, whose activations can be computed again in the backward pass."""
    return [block for block in network.modules() if type(block).__name__ in BLOCKS]


def checkpoint_blocks(blocks: Sequence[nn.Module]) -> None:
    """Keep only the inputs of the blocks and what Recall keeps, and compute the rest again in the backward pass."""
    for block in blocks:
        block.forward = _Checkpointed(block.forward)  # type: ignore[method-assign]


class _ToNew(TorchFunctionMode):
    """Tensor.add_ makes a new tensor: with `x += y`, which binds x to what it gives back, that is all that changes."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return (torch.Tensor.add if func is torch.Tensor.add_ else func)(*args, **(kwargs or {}))


@dataclass(frozen=True)
class _OutOfPlace:
    """The forward pass of one of WRITERS, all of whose in-place additions are `x += y` on local names."""

    forward: Callable[..., Any]

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        with _ToNew():
            return self.forward(*inputs, **options)


@dataclass(frozen=True)
class _ClipLayer:
    """A text encoder's layer, without writing into its input."""

    layer: Any

    def __call__(self, x: torch.Tensor, mask: Any = None, optimized_attention: Any = None) -> torch.Tensor:
        x = x + self.layer.self_attn(self.layer.layer_norm1(x), mask, optimized_attention)
        return x + self.layer.mlp(self.layer.layer_norm2(x))


@dataclass(frozen=True)
class _Checkpointed:
    """A block's forward pass that is run twice, the second time on the options of the first.

    The model changes its options as it goes: later blocks must see that, the second pass must not.
    """

    forward: Callable[..., Any]

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        if not torch.is_grad_enabled():
            return self.forward(*inputs, **options)
        at_first, recall = _snapshot(options), Recall()
        passes = iter([options])

        def run() -> Any:
            with recall.next_pass():
                return self.forward(*inputs, **next(passes, _snapshot(at_first)))

        # no random numbers: a step that is recorded may not ask for their state
        return checkpoint(run, use_reentrant=False, preserve_rng_state=False)


def _snapshot(options: dict[str, Any]) -> dict[str, Any]:
    return {key: dict(value) if isinstance(value, dict) else value for key, value in options.items()}
