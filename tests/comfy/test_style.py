"""Load Style on the real server: weights by the formula, prompts, absent and broken styles, the cache."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import comfy_host
import pytest
import standin
import torch
from comfy_client import ComfyClient, JobError, Prompt, Result

from facechain.person import Attributes, Person, save_person

BLOCK = "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1"
TEXT = "lora_te_text_model_encoder_layers_0_self_attn_v_proj"
PERSON_LORA = "facechain/style_test.safetensors"
RANK, ALPHA = 4, 2.0
STYLE = {
    "name": "Test look",
    "prompt": "a girl on a beach",
    "outfit": {"woman": "red dress", "child": "red raincoat"},
    "lora": "test_look.safetensors",
    "style_weight": 0.4,
    "person_weight": 0.9,
}

OTHER = {
    "name": "Other test look",
    "name_zh": "另一种测试风格",
    "prompt": "a harbour",
    "lora": "other_look.safetensors",
}
OTHER |= {"style_weight": 0.8, "person_weight": 0.5}


@pytest.fixture(scope="module")
def deltas(server: comfy_host.Server) -> Iterator[dict[str, dict[str, torch.Tensor]]]:
    """Style and person, and what their LoRAs add to each weight at strength 1; {"style": {"to_q": ...}}."""
    assert server.base
    loras, own = server.base / "models" / "loras", server.base / "models" / "facechain"
    files = {"style": loras / "looks" / "test_look.safetensors", "person": loras / PERSON_LORA}
    found = {
        "style": _write_lora(files["style"], 1, ["to_q", "to_k"], text=True),
        "person": _write_lora(files["person"], 2, ["to_v", "to_k"]),
    }
    save_person(_person("style_test", PERSON_LORA), own / "people" / "style_test.safetensors")
    save_person(_person("style_untrained", ""), own / "people" / "style_untrained.safetensors")
    found["other"] = _write_lora(loras / "other_look.safetensors", 5, ["to_q", "to_v"])
    _write_style(server.base, "test_look", STYLE)
    _write_style(server.base, "test_other", OTHER)
    yield found


def _write_lora(path: Path, seed: int, layers: list[str], text: bool = False) -> dict[str, torch.Tensor]:
    from safetensors.torch import save_file

    random = torch.Generator().manual_seed(seed)
    tensors, deltas = {}, {}
    for name in [*(f"{BLOCK}.{layer}" for layer in layers), *([TEXT] if text else [])]:
        width = 768 if name == TEXT else 320
        up, down = (torch.randn(shape, generator=random) * 0.3 for shape in ((width, RANK), (RANK, width)))
        tensors |= {
            f"{name}.lora_up.weight": up,
            f"{name}.lora_down.weight": down,
            f"{name}.alpha": torch.tensor(ALPHA),
        }
        deltas[name.rsplit(".", 1)[-1]] = ALPHA / RANK * up @ down
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)
    return deltas


def _write_style(base: Path, name: str, content: Any) -> Path:
    path = base / "models" / "facechain" / "styles" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def _person(name: str, lora: str) -> Person:
    return Person(
        name=name,
        images=torch.full((1, 64, 64, 3), 0.6),
        masks=torch.ones(1, 64, 64),
        embeddings=torch.eye(1, 8),
        embedder="test",
        quality=torch.ones(1),
        poses=torch.zeros(1, 3),
        attributes=Attributes("woman", 30.0, "a beautiful woman"),
        caption="<fcsks>, a beautiful woman",
        lora=lora,
    )


def prompt(style: str = "test_look", person: str = "", person_at: float | None = 1.0, **inputs: Any) -> Prompt:
    """Load Style with its notes shown. person_at: at which weight Load Person puts the LoRA on the model; None: not."""
    values = {
        **{"model": ["base", 0], "clip": ["base", 1], "style": style, "style_weight": -1.0, "person_weight": -1.0},
        **{"frame": "upper body", "extra_prompt": "", "extra_negative": "", **inputs},
    }
    nodes = {
        "base": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": standin.CHECKPOINT_NAME}},
        "style": {"class_type": "FaceChain_LoadStyle", "inputs": values},
        "show": {"class_type": "PreviewAny", "inputs": {"source": ["style", 6]}},
    }
    if person:
        load = {"name": person, "weight": 1.0 if person_at is None else person_at}
        load |= {} if person_at is None else {"model": ["base", 0], "clip": ["base", 1]}
        nodes["person"] = {"class_type": "FaceChain_LoadPerson", "inputs": load}
        values |= {"person": ["person", 2]}
        values |= {} if person_at is None else {"model": ["person", 0], "clip": ["person", 1]}
    return nodes


def saved(nodes: Prompt, name: str, node: str = "style") -> Prompt:
    return {**nodes, "save": {"class_type": "ModelSave", "inputs": {"model": [node, 0], "filename_prefix": name}}}


def weights(base: Path, name: str) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    (path,) = (base / "output").glob(f"{name}_*.safetensors")
    tensors = load_file(path)
    return {layer: tensors[f"model.{BLOCK}.{layer}.weight"].float() for layer in ("to_q", "to_k", "to_v")}


def notes(result: Result) -> list[str]:
    return result.texts("style")[0].splitlines()


def refusal(client: ComfyClient, nodes: Prompt) -> str:
    with pytest.raises(JobError) as raised:
        client.run(nodes)
    assert client.get("/system_stats")["system"]  # the server lives on
    return str(raised.value)


@pytest.mark.comfy
def test_both_loras_are_added_at_the_styles_weights_once(
    client: ComfyClient, server: comfy_host.Server, deltas: dict[str, dict[str, torch.Tensor]]
) -> None:
    assert server.base
    plain: Prompt = {"base": prompt()["base"]}
    client.run(saved(plain, "w_plain", "base"))
    result = client.run(saved(prompt(person="style_test"), "w_once"))
    assert "Style LoRA: looks/test_look.safetensors at 0.4" in notes(result)
    assert f"Person LoRA: {PERSON_LORA} at 0.9" in notes(result)

    chain = prompt(person="style_test", person_weight=0.5)
    again = {**chain["style"], "inputs": {**chain["style"]["inputs"], "person_weight": 0.7, "style_weight": 0.0}}
    again["inputs"] |= {"model": ["style", 0], "clip": ["style", 1]}
    client.run(saved({**chain, "again": again}, "w_chain", "again"))
    client.run(saved(prompt(person="style_test", person_at=None, style_weight=0.25), "w_late"))

    before = weights(server.base, "w_plain")
    style, person = deltas["style"], deltas["person"]
    for name, style_at, person_at in (("w_once", 0.4, 0.9), ("w_chain", 0.4, 0.7), ("w_late", 0.25, 0.9)):
        after = weights(server.base, name)
        expected = {
            "to_q": style_at * style["to_q"],
            "to_v": person_at * person["to_v"],
            "to_k": style_at * style["to_k"] + person_at * person["to_k"],
        }
        for layer, delta in expected.items():
            assert delta.abs().max() > 0.1  # far above the rounding of half precision
            assert torch.allclose(after[layer] - before[layer], delta, atol=4e-3), f"{name} {layer}"


@pytest.mark.comfy
def test_blended_loras_are_added_at_their_part_of_their_own_weight(
    client: ComfyClient, server: comfy_host.Server, deltas: dict[str, dict[str, torch.Tensor]]
) -> None:
    """base + s * style + b * own weight * other + p * person; the blended style's person weight does not count."""
    assert server.base
    client.run(saved({"base": prompt()["base"]}, "w_unblended", "base"))
    result = client.run(saved(prompt(person="style_test", blend="test_other 0.5, armor 0.3"), "w_blend"))
    assert "Blended: Other test look at 0.5. Style LoRA: other_look.safetensors at 0.4" in notes(result)
    assert "Blended: Armor at 0.3. Style LoRA: this style needs none" in notes(result)
    before, after = weights(server.base, "w_unblended"), weights(server.base, "w_blend")
    style, other, person = deltas["style"], deltas["other"], deltas["person"]
    expected = {
        "to_q": 0.4 * style["to_q"] + 0.5 * 0.8 * other["to_q"],
        "to_k": 0.4 * style["to_k"] + 0.9 * person["to_k"],
        "to_v": 0.5 * 0.8 * other["to_v"] + 0.9 * person["to_v"],
    }
    for layer, delta in expected.items():
        assert torch.allclose(after[layer] - before[layer], delta, atol=4e-3), layer


@pytest.mark.comfy
def test_styles_are_listed_by_family_and_found_by_either_name(client: ComfyClient, deltas: dict[str, Any]) -> None:
    listed = client.get("/object_info/FaceChain_LoadStyle")["FaceChain_LoadStyle"]["input"]["required"]["style"]
    names = listed[1]["options"] if isinstance(listed[0], str) else listed[0]
    told = client.get("/facechain/styles")
    assert [style["id"] for style in told] == names
    families = [style["family"] for style in told if style["family"]]
    assert families == sorted(families, key=lambda family: (family != "SD 1.5", family)) and "SDXL" in families
    assert families[0] == "SD 1.5" and names[0] == "armor"
    (hanfu,) = [style for style in told if style["id"] == "chinese_winter_hanfu"]
    assert (hanfu["name_zh"], hanfu["lora"], hanfu["lora_found"]) == ("冬季汉服", "Winter_Hanfu.safetensors", False)
    for name in ("另一种测试风格", "other test look"):
        assert "a harbour" in client.run(prompt(name)).texts("style")[1]


@pytest.mark.comfy
def test_both_prompts_are_known_before_anything_runs(client: ComfyClient, deltas: dict[str, Any]) -> None:
    """What the page is told is what the node then writes, with the tokens of ComfyUI's own tokenizer."""
    asked = {"style": "test_look", "frame": "close-up", "extra_prompt": "fog", "extra_negative": "rain"}
    asked |= {"blend": "test_other 0.5", "leave_out": "solo, beard"}
    told = client.post("/facechain/prompts", {**asked, "person": {"name": "style_untrained"}})
    ran = client.run(prompt(person="style_untrained", person_at=None, **asked))
    assert [told["positive"], told["negative"]] == ran.texts("style")[1:]
    lengths = [line for line in told["notes"] if " tokens in " in line]
    assert len(lengths) == 2 and set(lengths) <= set(notes(ran))
    man = client.post("/facechain/prompts", {**asked, "person": {"name": "new", "gender": "man", "age": 50}})
    assert man["positive"].startswith("<fcsks>, a mature man, a man on a beach")
    unknown = client.post("/facechain/prompts", {**asked, "person": {"name": "new", "gender": "auto", "age": 0}})
    assert "Person: new has not been seen yet, gender and age assumed" in unknown["notes"]
    absent = client.post("/facechain/prompts", {"style": "chinese_winter_hanfu", "person": None})
    assert any("prompt only, put Winter_Hanfu.safetensors" in line for line in absent["notes"])
    for wrong, said in (({"style": "armour"}, "Did you mean 'armor'"), ([], "no request"), ({}, "no request")):
        with pytest.raises(JobError) as raised:
            client.post("/facechain/prompts", wrong)
        assert said in raised.value.details["error"]


@pytest.mark.comfy
def test_long_prompts_keep_their_pieces_whole(client: ComfyClient, deltas: dict[str, Any]) -> None:
    """The text is what core's CLIP Text Encode makes the very same conditioning of."""
    words = ", ".join(f"garden number {n} of many" for n in range(24))
    nodes = prompt(extra_prompt=words, style_weight=0.0)
    nodes["again"] = {"class_type": "CLIPTextEncode", "inputs": {"clip": ["base", 1], "text": ["style", 4]}}
    nodes["show"] = {"class_type": "PreviewAny", "inputs": {"source": ["style", 2]}}
    nodes["show_again"] = {"class_type": "PreviewAny", "inputs": {"source": ["again", 0]}}
    result = client.run(nodes)
    (length,) = [line for line in notes(result) if line.startswith("Prompt: ")]
    counts = [int(count) for count in length.split("(")[1].rstrip(")").split(" + ")]
    assert len(counts) > 1 and max(counts) <= 75
    assert ":1)" in result.texts("style")[1]
    assert result.texts("show") == result.texts("show_again")


@pytest.mark.comfy
def test_the_style_lora_reaches_the_text_encoder(client: ComfyClient, deltas: dict[str, Any]) -> None:
    def encoded(weight: float) -> tuple[str, str]:
        nodes = prompt(style_weight=weight)
        nodes["show"] = {"class_type": "PreviewAny", "inputs": {"source": ["style", 2]}}
        result = client.run(nodes)
        return result.texts("show")[0], result.texts("style")[1]

    with_lora, text = encoded(0.8)
    without, same_text = encoded(0.0)
    assert text == same_text
    assert "tensor" in with_lora
    assert with_lora != without


@pytest.mark.comfy
def test_prompts_are_composed_for_the_person_and_shown(client: ComfyClient, deltas: dict[str, Any]) -> None:
    result = client.run(
        prompt(person="style_untrained", person_at=None, extra_prompt="(sunset:1.2)", extra_negative="rain")
    )
    told, positive, negative = result.texts("style")
    assert positive.startswith("<fcsks>, a beautiful woman, red dress, a woman on a beach, upper body")
    assert positive.endswith("(sunset:1.2)") and negative.endswith("rain")
    assert "style_untrained has none, connect trained_person" in told
    assert any(line.startswith("Prompt: ") and line.endswith(" tokens in 1 window of 75") for line in told.splitlines())
    nobody = client.run(prompt())
    assert nobody.texts("style")[1].startswith("a woman, red dress")
    assert "Person: none connected, nobody in particular" in notes(nobody)


@pytest.mark.comfy
def test_an_absent_lora_leaves_the_prompt_and_names_the_folder(
    client: ComfyClient, server: comfy_host.Server, deltas: dict[str, Any]
) -> None:
    assert server.base
    result = client.run(saved(prompt("chinese_winter_hanfu"), "w_absent"))
    folder = server.base / "models" / "loras"
    assert f"Style LoRA: prompt only, put Winter_Hanfu.safetensors into {folder} for the full look" in notes(result)
    assert "red hanfu cloak" in result.texts("style")[1]
    assert "winter hanfu" not in result.texts("style")[1]  # the LoRA's own word
    client.run(saved({"base": prompt()["base"]}, "w_bare", "base"))
    bare = weights(server.base, "w_bare")
    assert all(torch.equal(value, bare[layer]) for layer, value in weights(server.base, "w_absent").items())


@pytest.mark.comfy
def test_a_style_for_another_family_is_not_forced_on(
    client: ComfyClient, server: comfy_host.Server, deltas: dict[str, Any]
) -> None:
    assert server.base
    _write_style(server.base, "test_sdxl", {**STYLE, "base": {"family": "SDXL"}})
    assert any("is for SDXL and this model is SD 1.5" in line for line in notes(client.run(prompt("test_sdxl"))))
    _write_lora(server.base / "models" / "loras" / "elsewhere.safetensors", 3, ["to_nowhere"])
    _write_style(server.base, "test_elsewhere", {**STYLE, "lora": "elsewhere.safetensors"})
    assert any("fits no layer" in line for line in notes(client.run(prompt("test_elsewhere"))))


@pytest.mark.comfy
def test_a_broken_style_harms_nobody_else(
    client: ComfyClient, server: comfy_host.Server, deltas: dict[str, Any]
) -> None:
    assert server.base
    _write_style(server.base, "test_typo", {**STYLE, "style_wieght": 1})
    _write_style(server.base, "test_torn", '{"prompt": "be')
    listed = client.get("/object_info/FaceChain_LoadStyle")["FaceChain_LoadStyle"]["input"]["required"]["style"]
    names = listed[1]["options"] if isinstance(listed[0], str) else listed[0]
    assert {"test_typo", "test_torn", "test_look", "armor"} <= set(names)
    assert "schema" not in names
    said = refusal(client, prompt("test_typo"))
    assert "test_typo.json: unknown key 'style_wieght'. Did you mean 'style_weight'" in said
    assert "test_torn.json is not valid JSON" in refusal(client, prompt("test_torn"))
    client.run(prompt())


@pytest.mark.comfy
@pytest.mark.parametrize("name", ["armour", "../../etc/passwd", ""])
def test_an_unknown_style_is_refused_by_name(name: str, client: ComfyClient, deltas: dict[str, Any]) -> None:
    said = refusal(client, prompt(name))
    assert f"there is no style {name!r}" in said
    assert ("Did you mean 'armor'" in said) == (name == "armour")


@pytest.mark.comfy
def test_an_unknown_frame_and_a_damaged_lora_are_refused(
    client: ComfyClient, server: comfy_host.Server, deltas: dict[str, Any]
) -> None:
    assert server.base
    assert "there is no frame 'bust'" in refusal(client, prompt(frame="bust"))
    (server.base / "models" / "loras" / "torn.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    _write_style(server.base, "test_torn_lora", {**STYLE, "lora": "torn.safetensors"})
    assert "the LoRA torn.safetensors cannot be read" in refusal(client, prompt("test_torn_lora"))


@pytest.mark.comfy
def test_only_a_change_runs_the_node_again(
    client: ComfyClient, server: comfy_host.Server, deltas: dict[str, Any]
) -> None:
    assert server.base
    path = _write_style(server.base, "test_cache", {**STYLE, "lora": "later.safetensors"})
    assert "style" in client.run(prompt("test_cache")).seconds
    assert "style" not in client.run(prompt("test_cache")).seconds
    path.write_text(json.dumps({**STYLE, "lora": "later.safetensors", "prompt": "a harbour"}))
    changed = client.run(prompt("test_cache"))
    assert "a harbour" in changed.texts("style")[1]
    assert any("prompt only" in line for line in notes(changed))
    _write_lora(server.base / "models" / "loras" / "later.safetensors", 4, ["to_q"])
    assert "Style LoRA: later.safetensors at 0.4" in notes(client.run(prompt("test_cache")))
    assert "style" not in client.run(prompt("test_cache")).seconds
