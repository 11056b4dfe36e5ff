"""The loop over epochs: steps, validation, early stopping and checkpoints.

It runs on one device or several. The random draws of a step (dropout, augmentation) depend on seed,
epoch, step and process alone, so that a resumed run gives exactly the result of an uninterrupted
one. The loop waits for a GPU only every `LOSSES_AT_ONCE` steps and after each epoch.
"""

from __future__ import annotations

import time
import warnings
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mlops_assets.errors import TrainerError
from mlops_assets.training.run import TrainingRun
from mlops_assets.training.trainers.torch_loop.best import Best
from mlops_assets.training.trainers.torch_loop.feed import Feed, Share
from mlops_assets.training.trainers.torch_loop.losses import Loss
from mlops_assets.training.trainers.torch_loop.parameters import LoopParams
from mlops_assets.training.trainers.torch_loop.precision import Precision

if TYPE_CHECKING:
    from mlops_assets.training.trainers.torch_loop.validation import Validation

# steps whose losses are checked together
LOSSES_AT_ONCE = 50
# of the time, if `checkpoint_every` is not set
CHECKPOINT_SHARE = 0.02


class Loop:
    """One network being trained."""

    def __init__(
        self,
        network: nn.Module,
        params: LoopParams,
        run: TrainingRun,
        loss: Loss,
        feed: Feed,
        precision: Precision,
    ) -> None:
        """Prepare the training.

        Args:
            network: on the run's device.
            params: parameters of the training.
            run: the run that it belongs to.
            loss: of the outputs and labels of a batch.
            feed: batches of the training split.
            precision: arithmetic and memory layout of the device.
        """
        self._network = network
        self._params = params
        self._run = run
        self._loss = loss
        self._feed = feed
        self._precision = precision
        self._replica: nn.Module = network
        if run.world_size > 1:
            self._replica = DistributedDataParallel(
                network, None if run.device == "cpu" else [run.device]
            )
        self._optimizer = torch.optim.AdamW(
            network.parameters(), params.learning_rate, weight_decay=params.weight_decay, fused=True
        )
        self._schedule = _schedule(self._optimizer, params, params.epochs * len(feed))
        self._scaler = precision.scaler()
        # torch.manual_seed seeds all devices, which is slow
        self._generators = [torch.default_generator]
        if run.device != "cpu":
            self._generators.append(
                torch.cuda.default_generators[torch.device(run.device).index or 0]
            )
        self._best = Best()
        self._rate = params.learning_rate
        self._next_checkpoint = 0.0

    def fit(self, validation: Validation | None) -> None:
        """Train, or continue an earlier attempt.

        The network then has its best or its last weights.

        Args:
            validation: measures the network after each epoch, if the data has that split.

        Raises:
            TrainerError: a loss or a weight is not finite.
        """
        with warnings.catch_warnings():
            # it leaves out steps while it searches for a scale, which the schedule may ignore
            if self._scaler.is_enabled():
                warnings.filterwarnings("ignore", "Detected call of", UserWarning)
            self._fit(validation)

    def _fit(self, validation: Validation | None) -> None:
        checkpoint = self._run.restore()
        epoch = 0 if checkpoint is None else self._restore(checkpoint.state)
        while epoch < self._params.epochs and not self._best.waited(epoch, self._params.patience):
            metrics = {"train_loss": self._train(epoch)}
            if validation is not None:
                metrics |= validation.measure(self._network, epoch)
                if self._params.restore_best or self._params.patience:
                    self._best.offer(metrics, epoch, self._network)
            metrics["learning_rate"] = self._rate
            self._require_finite_weights(epoch)
            self._run.log(metrics, step=epoch)
            epoch += 1
            self._save_if_due(epoch)
        if self._params.restore_best and self._best.weights is not None:
            self._network.load_state_dict(self._best.weights)
            self._run.summarize(self._best.metrics)

    def _train(self, epoch: int) -> float:
        """Train for one epoch and return its mean loss."""
        self._replica.train()
        losses: list[Tensor] = []
        done: list[Tensor] = []
        for share in self._feed.epoch(epoch):
            losses.append(self._step(share))
            if len(losses) == LOSSES_AT_ONCE:
                done.append(self._checked(losses, epoch, len(done) * LOSSES_AT_ONCE))
                losses = []
        if losses:
            done.append(self._checked(losses, epoch, len(done) * LOSSES_AT_ONCE))
        return float(torch.cat(done).mean())

    def _step(self, share: Share) -> Tensor:
        """Do one step; return this process's part of the batch's loss, which is on the device."""
        for generator in self._generators:
            generator.manual_seed(share.seed + self._run.rank)
        weight = self._loss.weight(share.labels)
        if self._run.world_size > 1:
            torch.distributed.all_reduce(weight)
        # a batch without any label
        weight = weight.clamp(min=torch.finfo(torch.float32).tiny)
        parts = min(self._params.accumulate, len(share.samples))
        samples = share.samples.tensor_split(parts)
        labels = share.labels.tensor_split(parts)
        lost = torch.zeros((), device=weight.device)
        for number in range(parts):
            with self._together(last=number == parts - 1):
                with self._precision.autocast():
                    outputs = self._replica(self._precision.laid_out(samples[number]))
                loss = self._loss.total(outputs, labels[number]) / weight
                # processes' gradients are averaged
                self._scaler.scale(loss * self._run.world_size).backward()
            lost += loss.detach()
        if self._params.gradient_clipping is not None:
            self._scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self._network.parameters(), self._params.gradient_clipping)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad()
        # of this step
        self._rate = float(self._schedule.get_last_lr()[0])
        self._schedule.step()
        return lost

    def _together(self, last: bool) -> AbstractContextManager[None]:
        """Let processes exchange gradients only with the last part of a batch."""
        if last or not isinstance(self._replica, DistributedDataParallel):
            return nullcontext()
        return self._replica.no_sync()

    def _checked(self, losses: list[Tensor], epoch: int, first: int) -> Tensor:
        """Return the losses of whole batches, on the CPU.

        Raises:
            TrainerError: a loss is not finite; the message names its step.
        """
        found = torch.stack(losses)
        if self._run.world_size > 1:
            torch.distributed.all_reduce(found)
        found = found.cpu()
        not_finite = (~found.isfinite()).nonzero().flatten().tolist()
        if not_finite:
            step = first + not_finite[0]
            raise TrainerError(
                f"train_loss is {float(found[not_finite[0]])} at step"
                f" {epoch * len(self._feed) + step} (epoch {epoch}, its step {step} of"
                f" {len(self._feed)}); lower"
                " params.learning_rate, set params.gradient_clipping, or check the data for"
                " extreme values"
            )
        return found

    def _require_finite_weights(self, epoch: int) -> None:
        """Refuse weights that the last step made infinite: its loss was measured before it.

        Raises:
            TrainerError: a weight is not finite.
        """
        if not bool(nn.utils.get_total_norm(self._network.parameters()).isfinite()):
            raise TrainerError(
                f"weights are not finite after epoch {epoch}; lower params.learning_rate or set "
                "params.gradient_clipping"
            )

    def _save_if_due(self, epoch: int) -> None:
        """Save a checkpoint after so many epochs, if it is time for one."""
        every = self._params.checkpoint_every
        started = time.monotonic()
        if started < self._next_checkpoint if every is None else epoch % every:
            return
        self._run.checkpoint(self._state(epoch), step=epoch - 1)
        ended = time.monotonic()
        self._next_checkpoint = ended + (ended - started) / CHECKPOINT_SHARE

    def _state(self, epoch: int) -> dict[str, object]:
        return {
            "epoch": epoch,
            "model": self._network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "scaler": self._scaler.state_dict(),
            "best": self._best.state(),
        }

    def _restore(self, state: dict[str, Any]) -> int:
        """Continue from a state; return the next epoch."""
        self._network.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self._scaler.load_state_dict(state["scaler"])
        self._best.restore(state["best"])
        return int(state["epoch"])


def _schedule(
    optimizer: torch.optim.Optimizer, params: LoopParams, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    schedules = torch.optim.lr_scheduler
    if params.schedule == "one_cycle":
        return schedules.OneCycleLR(optimizer, params.learning_rate, total_steps=steps)
    if params.schedule == "cosine":
        return schedules.CosineAnnealingLR(optimizer, T_max=steps)
    return schedules.ConstantLR(optimizer, factor=1.0)
