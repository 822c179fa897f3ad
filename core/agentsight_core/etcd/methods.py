"""The remote procedures of etcd that we call, with their messages.

Must not call them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

from agentsight_core.etcd.pb import election_pb2 as election
from agentsight_core.etcd.pb import rpc_pb2 as rpc

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


@dataclass(frozen=True, slots=True)
class Method(Generic[Request, Response]):
    """A remote procedure: its path on the wire and its two types of messages."""

    path: str
    request: type[Request]
    response: type[Response]

    @property
    def name(self) -> str:
        """What messages call it: "KV/Range"."""
        return self.path.partition(".")[2]


RANGE = Method("/etcdserverpb.KV/Range", rpc.RangeRequest, rpc.RangeResponse)
PUT = Method("/etcdserverpb.KV/Put", rpc.PutRequest, rpc.PutResponse)
DELETE_RANGE = Method(
    "/etcdserverpb.KV/DeleteRange", rpc.DeleteRangeRequest, rpc.DeleteRangeResponse
)
TXN = Method("/etcdserverpb.KV/Txn", rpc.TxnRequest, rpc.TxnResponse)

# Streams of requests and of answers.
WATCH = Method("/etcdserverpb.Watch/Watch", rpc.WatchRequest, rpc.WatchResponse)
KEEP_ALIVE = Method(
    "/etcdserverpb.Lease/LeaseKeepAlive", rpc.LeaseKeepAliveRequest, rpc.LeaseKeepAliveResponse
)

GRANT = Method("/etcdserverpb.Lease/LeaseGrant", rpc.LeaseGrantRequest, rpc.LeaseGrantResponse)
REVOKE = Method("/etcdserverpb.Lease/LeaseRevoke", rpc.LeaseRevokeRequest, rpc.LeaseRevokeResponse)

CAMPAIGN = Method(
    "/v3electionpb.Election/Campaign", election.CampaignRequest, election.CampaignResponse
)
PROCLAIM = Method(
    "/v3electionpb.Election/Proclaim", election.ProclaimRequest, election.ProclaimResponse
)
LEADER = Method("/v3electionpb.Election/Leader", election.LeaderRequest, election.LeaderResponse)
RESIGN = Method("/v3electionpb.Election/Resign", election.ResignRequest, election.ResignResponse)
# A stream of answers.
OBSERVE = Method("/v3electionpb.Election/Observe", election.LeaderRequest, election.LeaderResponse)
