"""The stages of the training, each kept in the work folder."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import comfy_host
import numpy as np
import torch
from safetensors.torch import load_file, save_file

from . import captions, checkpoint
from .autoencoder import Autoencoder, train_autoencoder
from .diffusion import Bank, Training
from .pictures import CAPTIONS
from .sheet import draw
from .unet import listen, make_unet
from .views import SIZE, Use, read_views

PLAIN_SHARE = 0.25  # of the UNet's training that heads on white get
FOCUS_SHARE = 0.62  # that the styles in focus get
WINDOWS = 2  # of 77 tokens; a shorter text is repeated, which attention does not notice


def main(description: str | None) -> None:
    arguments = _arguments(description)
    work: Path = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    if arguments.from_shipped:
        _unpack(work)
    views, uses = read_views(work, arguments.pictures, arguments.faces)
    autoencoder = _autoencoder(work, views, arguments)
    if arguments.decoder_minutes:
        _train_autoencoder(work, autoencoder, views, arguments, decoder_only=True)
    bank = _bank(work, views, uses, autoencoder, arguments.focus)
    training = _train(work, bank, arguments)
    unet = {name: value.cpu().numpy() for name, value in training.mean.items()}
    parts = {name: value.detach().cpu().numpy() for name, value in autoencoder.state_dict().items()}
    about = {"steps": str(training.step), "seconds": f"{training.seconds:.0f}", "size": str(SIZE)}
    print(f"{checkpoint.SHIPPED}: {checkpoint.ship(checkpoint.SHIPPED, unet, parts, about) / 1e6:.1f} MB")
    styles = sorted(
        {one["style"] for one in json.loads(CAPTIONS.read_text(encoding="utf-8")).values() if "style" in one}
    )
    page = draw(checkpoint.SHIPPED, work / "checkpoint.safetensors", comfy_host.prepare().comfy, styles, SIZE)
    page.save(work / "sheet.png")


def _arguments(description: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--pictures", type=Path, nargs="+", required=True, metavar="DIR", help="folders that captions.json speaks of"
    )
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="for stages, snapshots and the log")
    parser.add_argument("--minutes", type=float, default=90, help="of training the UNet, earlier runs included")
    parser.add_argument("--autoencoder-minutes", type=float, default=15)
    parser.add_argument("--faces", type=int, default=6, help="other faces that each picture is learnt with as well")
    parser.add_argument("--focus", nargs="*", default=(), metavar="STYLE", help="styles that are drawn more often")
    parser.add_argument(
        "--decoder-minutes",
        type=float,
        default=0,
        help="train the decoder alone further, which the UNet does not notice",
    )
    parser.add_argument(
        "--from-shipped",
        action="store_true",
        help="where the work folder holds nothing yet, begin with the model in models/demo",
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--batch", type=int, default=4, help="views in a step of the UNet; twice as many crops for the autoencoder"
    )
    parser.add_argument("--rate", type=float, default=3e-4)
    return parser.parse_args()


def _unpack(work: Path) -> None:
    """Put the shipped model's parts where the stages look for what an earlier run has left, unless one has."""
    parts, about = checkpoint.read_shipped(checkpoint.SHIPPED)
    print(f"beginning with the shipped model of {about['steps']} steps")
    for part, name in (("vae.", "autoencoder"), ("unet.", "unet")):
        if not (work / f"{name}.safetensors").is_file():
            tensors = {key: torch.from_numpy(value).float() for key, value in parts[part].items()}
            save_file(tensors, work / f"{name}.safetensors")


def _autoencoder(work: Path, views: np.ndarray, arguments: argparse.Namespace) -> Autoencoder:
    torch.manual_seed(0)
    model, path = Autoencoder().to(arguments.device), work / "autoencoder.safetensors"
    if path.is_file():
        model.load_state_dict(load_file(path))
        return model.eval()
    _train_autoencoder(work, model, views, arguments)
    return model.eval()


def _train_autoencoder(
    work: Path, model: Autoencoder, views: np.ndarray, arguments: argparse.Namespace, decoder_only: bool = False
) -> None:
    def report(step: int, loss: float, decibel: float) -> None:
        _log(work, {"autoencoder": step, "loss": round(loss, 4), "psnr": round(decibel, 2)})

    minutes = arguments.decoder_minutes if decoder_only else arguments.autoencoder_minutes
    train_autoencoder(model, views, 60 * minutes, report, decoder_only, batch=2 * arguments.batch)
    save_file(model.state_dict(), work / "autoencoder.safetensors")


@torch.inference_mode()
def _bank(work: Path, views: np.ndarray, uses: Sequence[Use], autoencoder: Autoencoder, focus: Sequence[str]) -> Bank:
    """Encoded views, each as it is and mirrored, and captions; kept in bank.safetensors and bank.json of the work folder."""
    path, listed = work / "bank.safetensors", work / "bank.json"
    drawn = [place for place, use in enumerate(uses) if use.drawn]
    uses = 2 * [uses[place] for place in drawn]
    if not path.is_file():
        texts: dict[str, int] = {}
        rows = [[[texts.setdefault(text, len(texts)) for text in group] for group in _captions(use)] for use in uses]
        pixels, device = torch.from_numpy(views[drawn]).permute(0, 3, 1, 2), next(autoencoder.parameters()).device
        latents = [
            autoencoder.encode(part.to(device).float() / 255).cpu()
            for whole in (pixels, pixels.flip(3))
            for part in whole.split(32)
        ]
        tensors = {"latents": torch.cat(latents).contiguous(), "texts": _encode(list(texts), work)}
        listed.write_text(json.dumps(rows), encoding="utf-8")
        save_file(tensors, path)
    tensors, rows = load_file(path), json.loads(listed.read_text(encoding="utf-8"))
    said, without = ([row[column] for row in rows] for column in (0, 1))
    return Bank(tensors["latents"], tensors["texts"], said, without, _shares(uses, focus))


def _captions(use: Use) -> tuple[list[str], list[str]]:
    words, without = captions.styled(use.style, use.phrase, use.prompt)
    return (captions.plain(use.phrase) if use.white else words), without


def _shares(uses: Sequence[Use], focus: Sequence[str]) -> torch.Tensor:
    """[N], how often each view is drawn: heads on white, the styles in focus and all others have fixed shares."""
    kinds = ["white" if use.white else "focus" if use.style in focus else "other" for use in uses]
    wanted = {"white": PLAIN_SHARE, "focus": FOCUS_SHARE if focus else 0.0}
    wanted["other"] = 1 - sum(wanted.values())
    return torch.tensor([wanted[kind] / kinds.count(kind) for kind in kinds])


def _encode(texts: list[str], work: Path) -> torch.Tensor:
    """[K, 77 * WINDOWS, 768] float16, as ComfyUI itself encodes the texts with the demo model's text encoder.

    Kept in texts.safetensors for the same texts: a bank of other views need not encode them anew.
    """
    kept, listed = work / "texts.safetensors", work / "texts.json"
    if kept.is_file() and json.loads(listed.read_text(encoding="utf-8")) == texts:
        return load_file(kept)["texts"]
    host = comfy_host.prepare()
    unet = make_unet(host.comfy)  # any weights: core wants a whole checkpoint
    import comfy.sd

    shipped, whole = work / "untrained.safetensors", work / "untrained_checkpoint.safetensors"
    checkpoint.ship(
        shipped,
        {name: value.numpy() for name, value in unet.state_dict().items()},
        {name: value.numpy() for name, value in Autoencoder().state_dict().items()},
        {},
    )
    clip: Any = comfy.sd.load_checkpoint_guess_config(str(checkpoint.assemble(shipped, whole)), output_vae=False)[1]
    encoded = []
    for text in texts:
        tokens = clip.encode_from_tokens(clip.tokenize(text)).half().cpu()
        windows = tokens.shape[1] // 77
        if WINDOWS % windows:
            raise SystemExit(f"error: {windows} windows of tokens, {WINDOWS} at most: {text}")
        encoded.append(tokens.repeat(1, WINDOWS // windows, 1))
    listed.write_text(json.dumps(texts), encoding="utf-8")
    save_file({"texts": torch.cat(encoded)}, kept)
    return torch.cat(encoded)


def _train(work: Path, bank: Bank, arguments: argparse.Namespace) -> Training:
    torch.manual_seed(2)
    unet, snapshot = make_unet(comfy_host.prepare().comfy), work / "snapshot.safetensors"
    if (work / "unet.safetensors").is_file():
        unet.load_state_dict(load_file(work / "unet.safetensors"))
    else:
        listen(unet, bank.texts)
    training = Training(unet.to(arguments.device))
    if snapshot.is_file():
        training.load(snapshot)
        print(f"going on from step {training.step}")
    saved = time.monotonic()

    def report(state: Training, loss: float) -> None:
        nonlocal saved
        _log(work, {"step": state.step, "seconds": round(state.seconds), "loss": round(loss, 5)})
        if time.monotonic() - saved > 240:
            state.save(snapshot)
            saved = time.monotonic()

    training.run(bank, 60 * arguments.minutes, arguments.batch, arguments.rate, report)
    training.save(snapshot)
    return training


def _log(work: Path, entry: dict[str, Any]) -> None:
    line = json.dumps(entry)
    print(line, flush=True)
    with (work / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
