"""Typed configuration: YAML files in, validated frozen objects out."""

from acsnet.config.bounds import Real, Whole
from acsnet.config.catalog import config_table, copy_configs, find_config, list_configs
from acsnet.config.data_section import VALIDATED_ON_TEST, DataConfig, FoldsConfig, Subset
from acsnet.config.evaluation_section import (
    CHOSEN_ON_VALIDATION,
    EvaluationConfig,
    PostprocessingConfig,
    TestTimeAugmentationConfig,
)
from acsnet.config.loading import build_config, changed_keys, load_config, load_configs, read_config
from acsnet.config.paths import without_paths
from acsnet.config.reference import KeyEntry, describe_keys, list_keys
from acsnet.config.schema import Config, ModelConfig, ProtocolConfig
from acsnet.config.section import PositiveInt, Section
from acsnet.config.training_sections import (
    FreezeConfig,
    LossConfig,
    OptimizerConfig,
    ScheduleConfig,
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
    "FreezeConfig",
    "KeyEntry",
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
    "config_table",
    "copy_configs",
    "describe_keys",
    "find_config",
    "list_configs",
    "list_keys",
    "load_config",
    "load_configs",
    "read_config",
    "without_paths",
]
