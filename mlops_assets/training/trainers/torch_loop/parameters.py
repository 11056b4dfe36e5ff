"""Parameters that every ready-made PyTorch trainer has; PyTorch is not imported here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mlops_assets.strict import Strict

# YAML reads on and off as true and false, so a choice is never called so
Choice = Literal["auto", "always", "never"]
ClassWeights = (
    Literal["none", "balanced"] | dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]]
)
Augmentation = Literal["none", "flips", "flips_and_rotations"]


class LoopParams(Strict):
    """The parameters of training any network."""

    epochs: int = Field(default=50, ge=1, description="Passes over the training split.")
    batch_size: int = Field(
        default=64, ge=1, description="Samples a step, over all parts and processes."
    )
    accumulate: int = Field(
        default=1,
        ge=1,
        description="Parts a batch is run in, one after the other: less memory for the same step.",
    )
    learning_rate: float = Field(
        default=1e-3, gt=0, lt=10, description="The largest of the schedule."
    )
    weight_decay: float = Field(default=1e-2, ge=0, lt=10, description="Of AdamW.")
    schedule: Literal["one_cycle", "cosine", "constant"] = Field(
        default="one_cycle",
        description=(
            "Learning rate over the steps: one_cycle rises to it in the first 30 % and falls to"
            " nearly 0, cosine only falls, constant stays."
        ),
    )
    patience: int = Field(
        default=0,
        ge=0,
        description=(
            "Stop after so many epochs without a lower validation_loss; 0 never stops early."
        ),
    )
    restore_best: bool = Field(
        default=True, description="Keep the weights of the lowest validation_loss."
    )
    class_weights: ClassWeights = Field(
        default="none",
        description=(
            "Weight of each class in the loss: none, balanced (one over its share of the training"
            " labels), or {class name: weight}, where others weigh 1."
        ),
    )
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="Share of a label spread over all classes."
    )
    gradient_clipping: float | None = Field(
        default=1.0, gt=0, description="Largest norm of a gradient; null for any."
    )
    mixed_precision: Choice = Field(
        default="auto",
        description=(
            "16-bit arithmetic where it is safe: auto does so on GPUs; always also on CPUs"
            " (bfloat16)."
        ),
    )
    workers: int = Field(
        default=0,
        ge=0,
        description="Processes that read ahead, if the split is too large to be held in memory.",
    )
    shuffle: Literal["samples", "runs"] = Field(
        default="samples",
        description=(
            "Order of the training split: samples in any order, or runs of neighbours, which are"
            " read together where data is streamed (MLOPS_READING=stream)."
        ),
    )
    checkpoint_every: int | None = Field(
        default=None,
        ge=1,
        description="Epochs between checkpoints; as often as takes 2 % of the time if not given.",
    )
    dropout: float = Field(
        default=0.2, ge=0, lt=1, description="Share of features left out in training."
    )


class ImageParams(LoopParams):
    """The parameters of training a network on images."""

    augmentation: Augmentation = Field(
        default="flips_and_rotations",
        description=(
            "Each sample is flipped, or flipped and rotated by quarter turns (half turns if not"
            " square), labels with it."
        ),
    )
    channels_last: Choice = Field(
        default="auto", description="Memory layout that GPUs are faster with; auto: on GPUs."
    )
