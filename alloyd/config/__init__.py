"""The configuration: what can be set, how it is read, and what is in force."""

from __future__ import annotations

from alloyd.config.faults import ConfigFaults, Fault
from alloyd.config.load import load_config
from alloyd.config.model import (
    AuthConfig,
    BudgetsConfig,
    Config,
    DataConfig,
    EgressConfig,
    EmbeddedConfig,
    EngineConfig,
    EventsConfig,
    GrpcConfig,
    HttpConfig,
    InvitationsConfig,
    LimitsConfig,
    LogConfig,
    MetricsConfig,
    RetentionConfig,
    StorageConfig,
    TriggersConfig,
)
from alloyd.config.providers import ModelConfig, PriceConfig, ProviderConfig
from alloyd.config.reload import LiveConfig, diff_reload, merge_live, reloadable
from alloyd.config.secret import Secret
from alloyd.config.show import effective, masked

__all__ = [
    "AuthConfig",
    "BudgetsConfig",
    "Config",
    "ConfigFaults",
    "DataConfig",
    "EgressConfig",
    "EmbeddedConfig",
    "EngineConfig",
    "EventsConfig",
    "Fault",
    "GrpcConfig",
    "HttpConfig",
    "InvitationsConfig",
    "LimitsConfig",
    "LiveConfig",
    "LogConfig",
    "MetricsConfig",
    "ModelConfig",
    "PriceConfig",
    "ProviderConfig",
    "RetentionConfig",
    "Secret",
    "StorageConfig",
    "TriggersConfig",
    "diff_reload",
    "effective",
    "load_config",
    "masked",
    "merge_live",
    "reloadable",
]
