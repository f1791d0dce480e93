"""Freezing of parameters, by name and for the first epochs."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from acsnet.config import FreezeConfig
from acsnet.errors import ConfigError
from acsnet.training.parameter_names import check_pattern, matches

_KEY = "training.freeze.names"


class Freezing:
    """Keeps parameters of a network, and the running statistics of its batch normalizations, as they are.

    What is frozen depends on the number of the epoch alone, so that a resumed run goes on as an uninterrupted one. The
    optimizer has all parameters from the start, and leaves those without a gradient unchanged: no weight decay, and no
    state before the first step.

    Args:
        network: the network.
        config: the section of the configuration, or None to freeze nothing.
        keeps_gradients: whether gradients of parameters that learn later are computed and dropped instead of being left
            out, as several processes need, which agree on the parameters with gradients once.

    Raises:
        UnknownNameError: if a pattern matches no parameter, with the nearest names.
        ConfigError: if no parameter is left to train.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 2))
        >>> freezing = Freezing(network, FreezeConfig(names=("0", "1"), epochs=2))
        >>> freezing.start_epoch(0)
        >>> [parameter.requires_grad for parameter in network.parameters()], network[1].training
        ([False, False, False, False, True, True], False)
        >>> freezing.start_epoch(2)
        >>> all(parameter.requires_grad for parameter in network.parameters()), network[1].training
        (True, True)
    """

    def __init__(self, network: nn.Module, config: FreezeConfig | None, keeps_gradients: bool = False) -> None:
        patterns = () if config is None else config.names
        for pattern in patterns:
            check_pattern(network, pattern, _KEY)
        frozen = {name: is_frozen(name, patterns) for name, _ in network.named_parameters()}
        if patterns and all(frozen.values()):
            raise ConfigError(f"{_KEY} is {list(patterns)}, which freezes every parameter: leave some to train")
        self._epochs = None if config is None else config.epochs
        self._keeps_gradients = keeps_gradients and self._epochs is not None
        self._parameters = [parameter for name, parameter in network.named_parameters() if frozen[name]]
        self._normalizations = [
            module
            for path, module in network.named_modules()
            if isinstance(module, _BatchNorm) and is_frozen(path, patterns)
        ]
        self._is_active = False
        if self._epochs is None:
            # Before the network is shared by several processes.
            self.start_epoch(0)

    @property
    def count(self) -> int:
        """Number of frozen tensors."""
        return len(self._parameters)

    def start_epoch(self, epoch: int) -> None:
        """Freeze what is frozen in an epoch, counted from 0; call it after ``network.train()``."""
        self._is_active = self._epochs is None or epoch < self._epochs
        for parameter in self._parameters:
            parameter.requires_grad_(self._keeps_gradients or not self._is_active)
        for module in self._normalizations:
            module.train(not self._is_active)

    def drop_gradients(self) -> None:
        """Remove the gradients of frozen parameters, so that the optimizer leaves them out."""
        if self._is_active:
            for parameter in self._parameters:
                parameter.grad = None


def is_frozen(name: str, patterns: tuple[str, ...]) -> bool:
    """Return whether a pattern matches a parameter or a module, or a module around it."""
    return any(matches(name, pattern) for pattern in patterns)
