"""Two plugins for AgentSight Cluster, small enough to copy."""
