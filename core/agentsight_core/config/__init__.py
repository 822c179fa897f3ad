"""What a user may set, and how it is read: models, files, environment, errors, reference.

Precedence: flag > environment (`AGENTSIGHT_…`) > file > default. Must not act on what it reads:
components get their own `XSettings`, made from these models where the process is put together.
"""

from agentsight_core.config.loading import CONFIG_VARIABLE, load_config
from agentsight_core.config.models import AgentSightConfig

__all__ = ["CONFIG_VARIABLE", "AgentSightConfig", "load_config"]
