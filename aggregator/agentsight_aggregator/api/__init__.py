"""The gRPC API: one module for each service of `proto/agentsight_core/pb/api.proto`.

Any aggregator answers for the whole cluster: nothing is taken from this process' own state but its
note. Must not write anything but what a call asks for.
"""
