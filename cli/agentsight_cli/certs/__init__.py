"""`agentsight certs`: certificates, credentials and keys for a cluster.

Must not reach a network: it only writes files.
"""
