"""Load Style: a style's LoRA, prompts and weights, joined with the person's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from ..facechain.errors import RecordError
from . import _host, _styles
from ._types import CATEGORY, Person

if TYPE_CHECKING:
    from ..facechain.blending import Blend
    from ..facechain.person import Person as _Person
    from ..facechain.styles import Style

AS_STYLE = -1.0  # of a weight: what the style says


class LoadStyle(io.ComfyNode):
    """Apply a style and a person LoRA to the model, each exactly once, and write the prompts."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FaceChain_LoadStyle",
            display_name="Load Style",
            category=CATEGORY,
            description="Applies the style LoRA and the person LoRA at the style's weights and composes both prompts.",
            inputs=[
                io.Model.Input(
                    "model", tooltip="The model from Train Person LoRA or Load Person, or a plain base model."
                ),
                io.Clip.Input("clip", tooltip="The text encoder that belongs to it."),
                io.Combo.Input(
                    "style",
                    options=_styles.style_names(),
                    tooltip="The look of the portrait, listed by the family of its base model. A style whose LoRA file is absent works by its prompt alone and says so.",
                ),
                io.Float.Input(
                    "style_weight",
                    default=-1.0,
                    min=-1.0,
                    max=2.0,
                    step=0.05,
                    tooltip="Strength of the style LoRA; -1: as the style says.",
                ),
                io.Float.Input(
                    "person_weight",
                    default=-1.0,
                    min=-1.0,
                    max=2.0,
                    step=0.05,
                    tooltip="Strength of the person LoRA; -1: as the style says (mostly 0.95).",
                ),
                io.Combo.Input(
                    "frame",
                    options=["close-up", "upper body", "full body", "none"],
                    default="upper body",
                    tooltip="How much of the person is in the picture.",
                ),
                io.String.Input(
                    "extra_prompt",
                    default="",
                    multiline=True,
                    tooltip="Added at the end of the prompt; weights as in (words:1.2) do what they do elsewhere in ComfyUI.",
                ),
                io.String.Input(
                    "extra_negative", default="", multiline=True, tooltip="Added at the end of the negative prompt."
                ),
                Person.Input("person", optional=True, tooltip="Who is portrayed; without one, the style alone."),
                io.String.Input(
                    "blend",
                    default="",
                    optional=True,
                    tooltip="Further styles to mix in, each with its weight: armor 0.4, kimono 0.3. Its words and its LoRA count that much.",
                ),
                io.String.Input(
                    "leave_out",
                    default="",
                    optional=True,
                    tooltip="Pieces of either prompt to leave out, as the texts show them, with commas between: solo, red dress = blue dress. After = stands what comes in place of one.",
                ),
            ],
            outputs=[
                io.Model.Output(
                    "styled_model",
                    display_name="styled_model",
                    tooltip="The model with style LoRA and person LoRA at their weights.",
                ),
                io.Clip.Output("styled_clip", display_name="styled_clip", tooltip="The text encoder with the same."),
                io.Conditioning.Output("positive", display_name="positive", tooltip="The encoded prompt."),
                io.Conditioning.Output("negative", display_name="negative", tooltip="The encoded negative prompt."),
                io.String.Output("positive_text", display_name="positive_text", tooltip="The prompt as text."),
                io.String.Output("negative_text", display_name="negative_text", tooltip="The negative prompt as text."),
                io.String.Output(
                    "notes", display_name="notes", tooltip="What was applied at which weight, and what is missing."
                ),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, style: str | None = None, blend: str | None = None, **_: object) -> str:
        """Changes with the styles' files, and when a LoRA of theirs comes, goes or is replaced."""
        from ..facechain.blending import parse_blend

        try:
            further = [name for name, _ in parse_blend(blend or "")]
        except RecordError as error:  # execute tells the user
            return str(error)
        return "\n".join(_styles.stamp(name) for name in (style or "", *further))

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        style: str,
        style_weight: float,
        person_weight: float,
        frame: str,
        extra_prompt: str,
        extra_negative: str,
        person: _Person | None = None,
        blend: str = "",
        leave_out: str = "",
    ) -> io.NodeOutput:
        from ..facechain.blending import parse_blend
        from ..facechain.prompts import compose

        chosen = _styles.load_named(style)
        others = [(_styles.load_named(name), weight) for name, weight in parse_blend(blend)]
        strength = chosen.style_weight if style_weight == AS_STYLE else style_weight
        model, clip, drawn, style_note = _with_style(model, clip, chosen, strength)
        model, clip, blends, blend_notes = _with_blends(model, clip, others)
        strength = chosen.person_weight if person_weight == AS_STYLE else person_weight
        model, clip, person_note = _with_person(model, clip, person, strength)
        words = compose(chosen, person, frame, extra_prompt, extra_negative, drawn, blends, leave_out)
        words, lengths = _styles.fitted(clip, words)
        notes = "\n".join([_styles.about(chosen), style_note, *blend_notes, person_note, *words.notes, *lengths])
        return io.NodeOutput(
            *(model, clip, _host.encode(clip, words.positive), _host.encode(clip, words.negative)),
            *(words.positive, words.negative, notes),
            ui={"text": [notes, words.positive, words.negative]},
        )


def _with_style(model: Any, clip: Any, style: Style, strength: float) -> tuple[Any, Any, bool, str]:
    """Model and clip with the style's LoRA, whether it is in there, and a note about it."""
    name = _host.find_lora(style.lora) if style.lora else None
    if name is None:
        return model, clip, False, _styles.lora_note(style)
    family = _host.model_family(model)
    if style.family not in (family, "other"):
        return model, clip, False, f"Style LoRA: prompt only, {name} is for {style.family} and this model is {family}"
    if strength == 0:
        return model, clip, False, f"Style LoRA: prompt only, the weight of {name} is 0"
    new_model, new_clip, fits = _host.apply_lora(model, clip, name, strength)
    if not fits:
        return model, clip, False, f"Style LoRA: prompt only, {name} fits no layer of this model"
    return new_model, new_clip, True, f"Style LoRA: {name} at {strength:g}"


def _with_blends(model: Any, clip: Any, others: list[tuple[Style, float]]) -> tuple[Any, Any, list[Blend], list[str]]:
    """Model and clip with the LoRA of each further style at its weight times the style's own, and notes."""
    from ..facechain.blending import Blend

    blends, notes = [], []
    for style, weight in others:
        model, clip, drawn, note = _with_style(model, clip, style, weight * style.style_weight)
        blends.append(Blend(style, weight, drawn))
        notes.append(f"Blended: {style.name} at {weight:g}. {note}")
    return model, clip, blends, notes


def _with_person(model: Any, clip: Any, person: _Person | None, strength: float) -> tuple[Any, Any, str]:
    """Model and clip with the person's LoRA at this strength in all, and a note about it."""
    if person is None:
        there = [name for name, weight in _host.applied_person_loras(model).items() if weight]
        hint = f"; {', '.join(there)} stays as it came, connect the PERSON to weigh it" if there else ""
        return model, clip, f"Person: none connected, nobody in particular{hint}"
    if not person.lora:
        return model, clip, f"Person LoRA: {person.name} has none, connect trained_person of Train Person LoRA"
    model, clip = _host.apply_person_lora(model, clip, person.lora, strength)
    return model, clip, f"Person LoRA: {person.lora} at {strength:g}"
