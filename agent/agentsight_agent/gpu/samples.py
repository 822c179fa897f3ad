"""What GPUs did, as it was at one moment, and as events of the processes of sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from agentsight_core.pb import events_pb2 as pb

from agentsight_agent.process_events import process_event


@dataclass(frozen=True, slots=True)
class Share:
    """What one process has of a GPU; None: the driver does not tell."""

    memory_bytes: int | None
    # Of the time since the sample before.
    utilisation_percent: int | None


@dataclass(frozen=True, slots=True)
class DeviceSample:
    """One GPU; `shares` are by process id, as the host numbers them."""

    uuid: str
    name: str
    utilisation_percent: int | None
    memory_bytes: int
    total_bytes: int
    shares: Mapping[int, Share] = field(default_factory=dict)


class SampleEvents:
    """Makes events of samples; knows when each process was in one."""

    def __init__(self) -> None:
        self._last_ns: dict[int, int] = {}

    def of(
        self,
        devices: Sequence[DeviceSample],
        session_of: Callable[[int], int],
        boot_ns: int,
        wall_offset_ns: int,
    ) -> Iterator[pb.Event]:
        """Yield an event for each process that is in a session and on a GPU."""
        pids = sorted({pid for device in devices for pid in device.shares})
        before, self._last_ns = self._last_ns, {}
        for pid in pids:
            session = session_of(pid)
            if not session:
                continue
            self._last_ns[pid] = boot_ns
            sampled = pb.GpuSampled(
                shares=[_share(device, pid) for device in devices if pid in device.shares],
                interval_ns=boot_ns - before.get(pid, boot_ns),
            )
            event = process_event(boot_ns, wall_offset_ns, session, pid)
            event.gpu_sampled.CopyFrom(sampled)
            yield event


def _share(device: DeviceSample, pid: int) -> pb.GpuShare:
    share = device.shares[pid]
    return pb.GpuShare(
        device_uuid=device.uuid,
        device_name=device.name,
        memory_bytes=share.memory_bytes,
        utilisation_percent=share.utilisation_percent,
        device_memory_bytes=device.memory_bytes,
        device_utilisation_percent=device.utilisation_percent,
    )
