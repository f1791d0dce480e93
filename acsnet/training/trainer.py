"""The training loop: one code path for a CPU, a GPU, and several processes under torchrun."""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, set_seed
from timm.utils import ModelEmaV3
from torch import nn
from torch.nn import functional

from acsnet._utils.files import WriteError
from acsnet._utils.seeds import derived_seed
from acsnet.config import Config
from acsnet.data import Sample
from acsnet.data.images import to_network_input
from acsnet.losses import LossValues
from acsnet.models import MultiTaskOutput
from acsnet.training.accelerator import build_accelerator
from acsnet.training.compilation import compile_for_training
from acsnet.training.data import build_loaders, log_split
from acsnet.training.environment import describe_environment
from acsnet.training.freezing import Freezing
from acsnet.training.loss_watch import LossWatch, NotFiniteError, divergence
from acsnet.training.memory import peak_memory_mb
from acsnet.training.normalization import with_normalization
from acsnet.training.optimization import Schedule, build_optimizer, full_rate
from acsnet.training.panel import draw_cases
from acsnet.training.precision import resolve_precision
from acsnet.training.preparation import PreparedTraining, log_initial_weights, prepare_training
from acsnet.training.progress import Reporter
from acsnet.training.resuming import data_hashes, load_checked_state
from acsnet.training.run_folder import RunFolder
from acsnet.training.saving import Saver
from acsnet.training.trial import trial, trial_batch
from acsnet.training.validation import case_values, summarize_cases

logger = logging.getLogger(__name__)


class Trainer:
    """Training loop of a prepared training; it writes the run folder.

    Nothing is written before :meth:`fit`. Each epoch depends on the seed, its number and the state after the previous
    epoch only, so on the CPU a run that was killed and resumed ends with the same weights, bit for bit.

    Args:
        prepared: the checked parts, see :func:`~acsnet.training.prepare_training`.
        folder: the run folder.
        resume: resume the run in the folder.
        progress: show progress bars.
        accelerator: built from the configuration by default.

    Raises:
        RunError: if the folder holds a run and ``resume`` is false, or the run in it cannot be resumed.
        ConfigError: if this machine cannot train as configured.

    Example:
        ::

            trainer = Trainer.from_config(load_config(Path("configs/acsnet_busi.yaml")), Path("runs/acsnet_busi"))
            best = trainer.fit()
    """

    def __init__(
        self,
        prepared: PreparedTraining,
        folder: RunFolder,
        resume: bool = False,
        progress: bool = True,
        accelerator: Accelerator | None = None,
    ) -> None:
        folder.check(prepared.config, resume)
        self.config = prepared.config
        self.mean, self.std = prepared.normalization
        self.folder = folder
        self._resume = resume
        # A run that was killed while its folder was written has a configuration only.
        self._has_to_start = not folder.environment.is_file()
        self.accelerator = accelerator or build_accelerator(self.config.training)
        self._progress = progress and self.accelerator.is_main_process
        self.selection, self.data = prepared.selection, prepared.data
        self.initial, self.teacher, self.pretrained = prepared.initial, prepared.teacher, prepared.pretrained
        self.loss = prepared.loss.to(self.accelerator.device)
        self.loaders = build_loaders(self.data, self.config.data, self.config.training)
        self._prepare(prepared.network)
        self.epoch = self.steps = 0
        self.best_score: float | None = None
        self.epochs_without_better = 0
        self.history: list[dict[str, Any]] = []
        self._saver = self._build_saver()
        if resume:
            self._restore()

    @classmethod
    def from_config(
        cls,
        config: Config,
        work_dir: Path,
        resume: bool = False,
        progress: bool = True,
        device: str | None = None,
    ) -> "Trainer":
        """Check the run folder and the machine, prepare the training, and build its trainer.

        Args:
            config: the configuration.
            work_dir: the run folder.
            resume: resume the run in the folder.
            progress: show progress bars.
            device: "cpu", "mps", "cuda" or "cuda:1"; by default a GPU if there is one.

        Raises:
            AcsnetError: for every problem that keeps the training from starting.
        """
        folder = RunFolder(work_dir)
        # Checked here too, because preparing may take minutes.
        folder.check(config, resume)
        if resume:
            started = folder.started_config().data
            config = with_normalization(config, started.mean, started.std)
            # Checked here too, because decoding the images may take minutes.
            load_checked_state(folder, config)
        accelerator = build_accelerator(config.training, device)
        if accelerator.is_main_process:
            # A folder that cannot be written to, or in which another process trains, is found before the images are
            # decoded.
            with folder.claimed():
                pass
        # The main process decodes the images; the others read its cache.
        with accelerator.main_process_first():
            is_shown = progress and accelerator.is_main_process
            prepared = prepare_training(config, is_shown, resuming=resume and folder.last.exists())
        return cls(prepared, folder, resume, progress, accelerator)

    def _prepare(self, network: nn.Module) -> None:
        settings = self.config.training
        if settings.channels_last:
            network = network.to(memory_format=torch.channels_last)
        network = network.to(self.accelerator.device)
        if self.teacher is not None:
            self.teacher.network.to(self.accelerator.device)
        self.freezing = Freezing(network, settings.freeze, keeps_gradients=self.accelerator.num_processes > 1)
        self.ema = ModelEmaV3(network, decay=settings.ema_decay, use_warmup=True) if settings.ema_decay else None
        if settings.compile:
            compile_for_training(network, self.accelerator.device)
        optimizer = build_optimizer(network, self.loss, self.config.optimizer)
        self.schedule = Schedule(optimizer, self.config.schedule, settings.epochs)
        self.model, self.optimizer, self.train_batches, self.val_batches = self.accelerator.prepare(
            network, optimizer, self.loaders.train, self.loaders.val
        )

    def _build_saver(self) -> Saver:
        components = {"network": self.network, "ema": None if self.ema is None else self.ema.module, "loss": self.loss}
        components |= {"optimizer": self.optimizer, "schedule": self.schedule, "scaler": self.accelerator.scaler}
        return Saver(
            self.folder,
            self.config,
            self.data,
            (self.mean, self.std),
            [weights.record for weights in self.pretrained],
            None if self.teacher is None else self.teacher.protocol,
            components,
            judged="network" if self.ema is None else "ema",
        )

    @property
    def encoder_weights(self) -> list[dict[str, Any]]:
        """Origin of the pretrained weights of each encoder, of a resumed run when it was started."""
        return [*self._saver.encoder_weights]

    @property
    def network(self) -> nn.Module:
        """The network without the wrappers of accelerate."""
        return self.accelerator.unwrap_model(self.model)

    @property
    def judged_network(self) -> nn.Module:
        """The network that is validated and saved: the moving average if there is one."""
        return self.network if self.ema is None else self.ema.module

    def fit(self, on_epoch: Callable[[Mapping[str, Any]], None] | None = None) -> Path:
        """Train until the last epoch, or until patience runs out, and return the path of the best checkpoint.

        Args:
            on_epoch: called with the row of each epoch, as in ``history.csv``, in every process before the epoch is
                saved. An exception that it raises ends the training in the state after the previous epoch.

        Raises:
            RunError: if the loss is no longer finite, or another process has trained in the folder meanwhile.
            WriteError: if a file cannot be written, for example because the disk is full; the message says what is
                kept.
        """
        epochs = self.config.training.epochs
        if self._has_to_start:
            self._try_step()
        try:
            with self.folder.claimed() if self.accelerator.is_main_process else nullcontext():
                if self._has_to_start:
                    self._start_folder()
                elif self._resume and self.accelerator.is_main_process:
                    self._saver.repair(self.history)
                self._run_epochs(on_epoch)
        except WriteError as error:
            raise type(error)(f"{error}; {self._saver.describe_kept()}") from error
        except KeyboardInterrupt:
            logger.info("stopped in epoch %d of %d: %s", self.epoch + 1, epochs, self._saver.describe_kept())
            raise
        return self.folder.best

    def _run_epochs(self, on_epoch: Callable[[Mapping[str, Any]], None] | None) -> None:
        last = self.config.training.epochs
        reporter = Reporter(self.folder, self.epoch, self.config, self.accelerator.is_main_process, self._progress)
        try:
            while self.epoch < last and not self._has_stalled():
                self._run_epoch(reporter, on_epoch)
        finally:
            reporter.close()
        self.accelerator.wait_for_everyone()

    def _try_step(self) -> None:
        """Compute a step without changing the network, before anything is written."""
        self.model.train()
        self.freezing.start_epoch(0)
        batch = trial_batch(self.config, self.accelerator.num_processes, self.accelerator.device)
        with trial(self.network, self.config):
            self.accelerator.backward(self._losses(batch).total)
        self.optimizer.zero_grad(set_to_none=True)

    def _start_folder(self) -> None:
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            # Checked again, now that no other process can start a run here.
            self.folder.check(self.config, self._resume)
            precision = resolve_precision(self.config.training.precision, self.accelerator.device)
            environment = describe_environment(self.accelerator.device, precision, self.accelerator.num_processes)
            environment |= data_hashes(self.data)
            origins = {"initial_weights": self.initial, "teacher": self.teacher}
            environment |= {key: origin.record for key, origin in origins.items() if origin is not None}
            if self.pretrained:
                environment["encoder_weights"] = [weights.record for weights in self.pretrained]
            self.folder.start(self.config, self.data.split, environment)
            log_split(self.data.split, self.config.data)
            for weights in self.pretrained:
                logger.info("%s", weights.summary)
            if self.initial is not None:
                log_initial_weights(self.initial, self.data)
        self._has_to_start = False

    def _has_stalled(self) -> bool:
        patience = self.config.training.patience
        stalled = patience is not None and self.epochs_without_better >= patience
        if stalled and self.accelerator.is_main_process:
            logger.info(
                "stopped after epoch %d: no better epoch in the last %d", self.epoch, self.epochs_without_better
            )
        return stalled

    def _run_epoch(self, reporter: Reporter, on_epoch: Callable[[Mapping[str, Any]], None] | None) -> None:
        started = time.monotonic()
        row: dict[str, Any] = {"epoch": self.epoch + 1, "learning_rate": full_rate(self.optimizer)}
        row |= self._train(reporter)
        validated = self._validate()
        row |= {f"val_{name}": value for name, value in validated.items()}
        row["score"] = self.selection({"epoch": float(self.epoch + 1), **validated})
        row |= {"seconds": time.monotonic() - started, "peak_memory_mb": peak_memory_mb(self.accelerator.device)}
        if on_epoch is not None:
            on_epoch(row)
        self.epoch += 1
        self.schedule.step(self.epoch, row["score"])
        improved = self.best_score is None or row["score"] > self.best_score
        self.best_score = row["score"] if improved else self.best_score
        self.epochs_without_better = 0 if improved else self.epochs_without_better + 1
        self.history.append(row)
        if self.accelerator.is_main_process:
            self._saver.save(self._counters(), improved)
            reporter.epoch(row, improved)
            if self.epoch % self.config.training.panel_every == 0 or self.epoch == self.config.training.epochs:
                reporter.panel(self._draw_panel(), self.epoch)
        self.accelerator.wait_for_everyone()

    def _train(self, reporter: Reporter) -> dict[str, float]:
        # The epoch's own seed, for dropout and the like: resuming needs no state of any random generator.
        set_seed(derived_seed(self.config.training.seed, self.epoch, 100_003), device_specific=True)
        self.loaders.sampler.epoch = self.epoch
        self.model.train()
        self.freezing.start_epoch(self.epoch)
        watch = LossWatch(self.accelerator.device, values=4)
        bar = reporter.bar(self.train_batches, self.epoch, len(self.train_batches))
        try:
            for batch in bar:
                self._step(batch, watch)
                shown = {} if watch.mean is None else {"loss": f"{watch.mean:.4f}"}
                bar.set_postfix(shown | self._last_metrics())
            watch.finish()
        except NotFiniteError as error:
            loss = f"the loss became {error.value} in epoch {self.epoch + 1}, step {error.step}"
            raise divergence(loss, self.epoch, self.folder.path) from None
        total, segmentation, classification, distillation, count = self.accelerator.reduce(
            functional.pad(watch.sums, (0, 1), value=len(self.train_batches)).float(), "sum"
        ).tolist()
        means = {"loss": total / count}
        if "segmentation" in self.config.model.tasks:
            means["segmentation_loss"] = segmentation / count
        if "classification" in self.config.model.tasks:
            means["classification_loss"] = classification / count
        if self.teacher is not None:
            means["distillation_loss"] = distillation / count
        return means

    def _last_metrics(self) -> dict[str, str]:
        names = ("val_dice", "val_accuracy")
        return {name: f"{self.history[-1][name]:.3f}" for name in names if self.history and name in self.history[-1]}

    def _step(self, batch: Sample, watch: LossWatch) -> None:
        """One optimizer step, without waiting for the device."""
        losses = self._losses(batch)
        watch.add(*losses)
        self.accelerator.backward(losses.total)
        self.freezing.drop_gradients()
        for parameter in self.loss.parameters():
            # The loss is not wrapped for several processes: its few weights are averaged here.
            parameter.grad = self.accelerator.reduce(parameter.grad, "mean")
        if self.config.training.gradient_clip is not None:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.training.gradient_clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.steps += 1
        if self.ema is not None:
            self.ema.update(self.network, step=self.steps)

    def _losses(self, batch: Sample) -> LossValues:
        taught = self._teach(batch)
        return self.loss(self._forward(self.model, batch), batch["mask"].float(), batch["label"], taught)

    def _forward(self, network: nn.Module, batch: Sample) -> MultiTaskOutput:
        return network(to_network_input(batch["image"], self.mean, self.std))

    @torch.no_grad()
    def _teach(self, batch: Sample) -> MultiTaskOutput | None:
        """Return the predictions of the teacher for a batch, or None without a teacher."""
        if self.teacher is None:
            return None
        with self.accelerator.autocast():
            return self._forward(self.teacher.network, batch)

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        network = self.judged_network.eval()
        if self.accelerator.num_processes > 1:
            # Running statistics differ between processes until the next training step synchronizes them.
            for buffer in network.buffers():
                buffer.copy_(broadcast(buffer))
        gathered = []
        for batch in self.val_batches:
            with self.accelerator.autocast():
                output = self._forward(network, batch)
            # The validation loss has no deep supervision: it is the loss of the mask alone.
            mask, label = (None if logits is None else logits.float() for logits in (output.mask, output.label))
            output = MultiTaskOutput(mask, label)
            loss = self.loss(output, batch["mask"].float(), batch["label"]).total
            gathered.append(self.accelerator.gather_for_metrics(case_values(output, batch, loss)))
        cases = {key: torch.cat([part[key] for part in gathered]).cpu().numpy() for key in gathered[0]}
        if not cases["is_finite"].all():
            outputs = f"the outputs of the network are not finite after epoch {self.epoch + 1}"
            raise divergence(outputs, self.epoch, self.folder.path)
        return summarize_cases(cases, self.config.data.classes)

    def _restore(self) -> None:
        state = self._saver.restore()
        if state is None:
            return
        self.epoch, self.steps = state["epoch"], state["steps"]
        self.best_score, self.epochs_without_better = state["best_score"], state["epochs_without_better"]
        self.history = state["history"]

    def _counters(self) -> dict[str, Any]:
        names = ("epoch", "steps", "best_score", "epochs_without_better", "history")
        return {name: getattr(self, name) for name in names}

    def _draw_panel(self) -> list[npt.NDArray[np.uint8]]:
        network = self.judged_network.eval()

        def predict(batch: Sample) -> MultiTaskOutput:
            with self.accelerator.autocast():
                return self._forward(network, batch)

        return draw_cases(self.loaders.val_dataset, predict, self.config.data.classes, self.accelerator.device)
