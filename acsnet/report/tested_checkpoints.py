"""The checkpoints that were tested, found for the pictures that need the network."""

from pathlib import Path

from acsnet.checkpoints import Checkpoint, open_checkpoint, read_index, released_on_disk
from acsnet.errors import RunError
from acsnet.report.tested_networks import Network
from acsnet.report.training import Training
from acsnet.statistics import RunResult


def find_checkpoints(network: Network) -> tuple[Checkpoint, ...]:
    """Return the checkpoint of each fold of a network; nothing is downloaded.

    A released checkpoint is recognized by the SHA-256 that its test recorded. Other files are in the run folder, or
    next to the folder of the test.

    Raises:
        RunError: if a checkpoint is not found, or is not the file that was tested.
        CheckpointError: if a checkpoint cannot be read.
    """
    return tuple(_find(run, training) for run, training in zip(network.runs, network.trainings, strict=True))


def _find(run: RunResult, training: Training) -> Checkpoint:
    facts, tests = run.provenance[0], run.folders[0].parent
    name, digest = str(facts.get("checkpoint") or "best.safetensors"), facts.get("checkpoint_sha256")
    released = next((own for own, entry in read_index().checkpoints.items() if entry.sha256 == digest), None)
    if released is not None:
        if released not in released_on_disk():
            raise RunError(f"the file of the released checkpoint {released} is not on this machine")
        return open_checkpoint(released)
    path = Path(training.folder or tests) / name
    if training.folder is None and not path.is_file():
        raise RunError(
            f"the results do not say where their checkpoint {name} is, which is not a released one: pass its run "
            "folder, or put the folder of the test next to it"
        )
    checkpoint = open_checkpoint(path)
    if digest and checkpoint.sha256 != digest:
        raise RunError(f"{path} is not the checkpoint that was tested: test it again")
    return checkpoint
