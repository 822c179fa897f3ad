"""A thin client of etcd's gRPC API v3: keys, transactions, watches, leases, elections.

Several endpoints with fail-over, TLS with client certificates, a deadline on every call. Every
operation raises Retryable or Permanent, never an error of gRPC. Must not know what the keys mean.
"""
