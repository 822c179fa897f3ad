"""The pods of this node, as the API server of Kubernetes tells them.

Must not watch processes or know sessions.
"""
