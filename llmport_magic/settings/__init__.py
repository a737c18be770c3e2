"""Layered settings: one resolver for every value, and where each value came from.

Strongest first: arguments and cell options; `configure()`; a file that is named; the environment;
files found in the project; the user's file; the system's file; the catalogue. The administrator's
`policy.toml` stands above them all. Nothing is read before it is asked for.
"""

from __future__ import annotations

from llmport_magic.settings.administration import administration
from llmport_magic.settings.environment import (
    allows_colour,
    captures_content,
    names_proxy,
    names_tracer,
    network_environment,
    notebook_file,
    user_config_file,
)
from llmport_magic.settings.layer import Rank
from llmport_magic.settings.merging import ProviderNames, base_url_at
from llmport_magic.settings.origins import lies_below, origin
from llmport_magic.settings.project import (
    Held,
    distrust,
    held_back,
    is_trusted,
    project_files,
    trust,
)
from llmport_magic.settings.reading import YAML_FAILS, Content, read_settings, yaml_problem
from llmport_magic.settings.resolution import (
    configure,
    for_another,
    for_task,
    get_config,
    reset_configuration,
    resolve,
    resolve_for,
    times_changed,
)
from llmport_magic.settings.tables import section_values
from llmport_magic.settings.unknown import unknown_names
from llmport_magic.settings.values import OF_A_PROVIDER, PROVIDER_BOUND, Settings, setting_names

__all__ = [
    "OF_A_PROVIDER",
    "PROVIDER_BOUND",
    "YAML_FAILS",
    "Content",
    "Held",
    "ProviderNames",
    "Rank",
    "Settings",
    "administration",
    "allows_colour",
    "base_url_at",
    "captures_content",
    "configure",
    "distrust",
    "for_another",
    "for_task",
    "get_config",
    "held_back",
    "is_trusted",
    "lies_below",
    "names_proxy",
    "names_tracer",
    "network_environment",
    "notebook_file",
    "origin",
    "project_files",
    "read_settings",
    "reset_configuration",
    "resolve",
    "resolve_for",
    "section_values",
    "setting_names",
    "times_changed",
    "trust",
    "unknown_names",
    "user_config_file",
    "yaml_problem",
]
