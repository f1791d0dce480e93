"""Typed configuration: YAML files in, validated frozen objects out."""

from acsnet.config.bounds import Real, Whole
from acsnet.config.loading import build_config, changed_keys, load_config, load_configs
from acsnet.config.paths import without_paths
from acsnet.config.schema import (
    CHOSEN_ON_VALIDATION,
    VALIDATED_ON_TEST,
    Config,
    DataConfig,
    EvaluationConfig,
    FoldsConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    PositiveInt,
    PostprocessingConfig,
    ProtocolConfig,
    ScheduleConfig,
    Section,
    Subset,
    TestTimeAugmentationConfig,
    TrainingConfig,
    TransformConfig,
)

__all__ = [
    "CHOSEN_ON_VALIDATION",
    "VALIDATED_ON_TEST",
    "Config",
    "DataConfig",
    "EvaluationConfig",
    "FoldsConfig",
    "LossConfig",
    "ModelConfig",
    "OptimizerConfig",
    "PositiveInt",
    "PostprocessingConfig",
    "ProtocolConfig",
    "Real",
    "ScheduleConfig",
    "Section",
    "Subset",
    "TestTimeAugmentationConfig",
    "TrainingConfig",
    "TransformConfig",
    "Whole",
    "build_config",
    "changed_keys",
    "load_config",
    "load_configs",
    "without_paths",
]
