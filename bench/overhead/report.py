"""The table of one run, and which bars hold. Ratios are taken within pairs of the same run."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from statistics import mean, median, quantiles

from bench.overhead.costs import PROBES, SESSIONS, Costs
from bench.overhead.measuring import Pair, Workload
from bench.overhead.tracers import Ours, Tracer

Pairs = Mapping[tuple[str, str], Sequence[Pair]]

_HEAD = """# What watching costs

`make bench-overhead`, {date}, Linux {release}, {machine}, {cpus} CPUs, {seconds:.0f} s, load
average of the last 15 minutes: {load:.1f} (what runs beside it makes the figures worthless). Each
figure is the median of {pairs} pairs, in brackets the quartiles. A pair is a run with a tracer
against the mean of the runs without one right before and after it; the order of tracers turns
from round to round. `none` is what the work takes without a tracer. *Added CPU* is that of the
watched program and its children, per unit: an event of a stream, a write and a read, a file, an
object file, a request. *Captured* is plaintext against what the client itself counted (of streams
it counts bodies only, without heads and framing); bodies of no LLM call, as those of the flat-out
client, are captured, framed and counted, and not given on. The flat-out client and its server share
a CPU. *Tracer CPU* is that of the tracer while the work is done; what it does afterwards is in the
bars, less what it takes when nothing is done. Our agent publishes to a bus on the same machine.
What is done for the first time after a tracer has started is not in the figures: our agent then
looks once at the file of each program, which takes it some 30 ms for those of the build.
"""
_COLUMNS = (
    "| workload | tracer | wall | added wall | added CPU/unit | captured | events | lost "
    "| tracer CPU | tracer RSS |\n|---|---|---|---|---|---|---|---|---|---|\n"
)


def report(
    workloads: Sequence[Workload],
    tracers: Sequence[Tracer],
    pairs: Pairs,
    absent: Mapping[str, str],
    costs: Costs | None,
    seconds: float,
) -> str:
    """Return the whole text, as Markdown."""
    count = len(next(iter(pairs.values())))
    text = _HEAD.format(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        release=platform.release(),
        machine=platform.machine(),
        cpus=os.cpu_count(),
        seconds=seconds,
        load=os.getloadavg()[2],
        pairs=count,
    )
    text += "\n" + _COLUMNS
    for workload in workloads:
        text += _free_row(workload, pairs[workload.name, tracers[0].name])
        text += "".join(_row(workload, one, pairs[workload.name, one.name]) for one in tracers)
    text += "".join(f"\n{name}: {why}\n" for name, why in absent.items())
    if costs is not None:
        text += _costs(costs)
    return text + _bars(workloads, tracers, pairs, costs)


def _free_row(workload: Workload, pairs: Sequence[Pair]) -> str:
    wall_ms = _spread([pair.free_wall_ns / 1e6 for pair in pairs], "{:.0f}")
    return f"| {workload.title} | none | {wall_ms} ms | | | | | | | |\n"


def _row(workload: Workload, tracer: Tracer, pairs: Sequence[Pair]) -> str:
    samples = [pair.traced for pair in pairs]
    wall = _spread([pair.traced.wall_ns / 1e6 for pair in pairs], "{:.0f}")
    added = _spread([100 * added_wall(pair) for pair in pairs], "{:+.2f}")
    lost = [sample.seen.lost for sample in samples]
    share = [100 * one.tracer_cpu_ns / one.wall_ns for one in samples]
    return (
        f"| {workload.title} | {tracer.name} | {wall} ms | {added} % | {_per_unit(pairs)} "
        f"| {_captured(pairs)} | {median(one.seen.events for one in samples):.0f} "
        f"| {'not told' if min(lost) < 0 else sum(lost)} | {median(share):.1f} % of a core "
        f"| {max(one.tracer_rss_bytes for one in samples) / 1e6:.0f} MB |\n"
    )


def added_wall(pair: Pair) -> float:
    """Return the added wall time as a share of the time without a tracer."""
    return pair.traced.wall_ns / pair.free_wall_ns - 1


def added_unit_ns(pair: Pair) -> float:
    """Return the CPU time that a unit of the workload takes more, in ns."""
    return (pair.traced.cpu_ns - pair.free_cpu_ns) / pair.traced.units


def captured(pair: Pair) -> float:
    """Return the share of the plaintext that was captured."""
    return pair.traced.seen.plaintext_bytes / pair.traced.expected_bytes


def _per_unit(pairs: Sequence[Pair]) -> str:
    if not pairs[0].traced.units:
        return ""
    return _spread([added_unit_ns(pair) / 1000 for pair in pairs], "{:+.1f}") + " µs"


def _captured(pairs: Sequence[Pair]) -> str:
    if not pairs[0].traced.expected_bytes:
        return ""
    return _spread([100 * captured(pair) for pair in pairs], "{:.0f}") + " %"


def _spread(values: Sequence[float], form: str) -> str:
    """Return the median and, in brackets, the quartiles."""
    middle = form.format(median(values))
    if len(values) < 2:
        return middle
    low, _, high = quantiles(values, n=4, method="inclusive")
    return f"{middle} [{form.format(low)} … {form.format(high)}]"


def _costs(costs: Costs) -> str:
    loaded = ", ".join(f"{size / 1e6:.1f}" for size in costs.loaded_bytes)
    settled = ", ".join(f"{size / 1e6:.1f}" for size in costs.settled_bytes)
    return (
        f"\nAttach {PROBES} probes: {costs.attach_ms:.1f} ms, detach: {costs.detach_ms:.1f} ms.\n"
        f"\nAgent RSS: {costs.rss_bytes / 1e6:.1f} MB with no session, "
        f"{costs.sessions_rss_bytes / 1e6:.1f} MB with {SESSIONS} sessions; after each of equal "
        f"loads of {SESSIONS} x 500 streamed events: {loaded} MB, and when what it had freed was "
        f"given back: {settled} MB.\n"
    )


def _bars(
    workloads: Sequence[Workload], tracers: Sequence[Tracer], pairs: Pairs, costs: Costs | None
) -> str:
    """Say which bars hold, as far as what was measured tells."""
    ours = next((one for one in tracers if isinstance(one, Ours)), None)
    if ours is None:
        return ""
    mine = {one.name: pairs[one.name, ours.name] for one in workloads}
    lines = [
        *_wall_bars(workloads, mine),
        *_flat_bars(mine, pairs),
        *_agent_bars(mine),
        *([] if costs is None else _cost_bars(costs)),
        _bar("stages of the ledger that do not close", len(ours.unexplained), 0, "{:.0f}"),
    ]
    return "\n| bar | measured | at most | holds |\n|---|---|---|---|\n" + "".join(lines)


def _bar(name: str, value: float, most: float, form: str) -> str:
    holds = "yes" if value <= most else "**no**"
    return f"| {name} | {form.format(value)} | {form.format(most)} | {holds} |\n"


def _wall_bars(workloads: Sequence[Workload], mine: Mapping[str, Sequence[Pair]]) -> list[str]:
    shaped = {
        one.name: median(added_wall(pair) for pair in mine[one.name]) * 100
        for one in workloads
        if one.paper_shaped
    }
    lines = []
    if shaped:
        lines.append(_bar("paper-shaped: mean added wall", mean(shaped.values()), 1, "{:.2f} %"))
        lines.append(_bar("paper-shaped: largest added wall", max(shaped.values()), 2, "{:.2f} %"))
    if "unrelated C build" in mine:
        value = median(added_wall(pair) for pair in mine["unrelated C build"]) * 100
        lines.append(_bar("unrelated C build: added wall", value, 0.5, "{:.2f} %"))
    return lines


def _flat_bars(mine: Mapping[str, Sequence[Pair]], pairs: Pairs) -> list[str]:
    lines = []
    for name in (name for name in mine if name.startswith("TLS flat-out")):
        missing = 100 * (1 - min(captured(pair) for pair in mine[name]))
        lines.append(_bar(f"{name}: not captured", max(missing, 0), 0, "{:.2f} %"))
        if (name, "upstream") in pairs:
            theirs = _median(added_unit_ns, pairs[name, "upstream"])
            ratio = _median(added_unit_ns, mine[name]) / theirs
            kept = 100 * _median(captured, pairs[name, "upstream"])
            what = f"{name}: added per pair / upstream's, which captured {kept:.0f} %"
            lines.append(_bar(what, ratio, 0.25, "{:.2f}"))
    return lines


def _agent_bars(mine: Mapping[str, Sequence[Pair]]) -> list[str]:
    lines = []
    # What the agent takes for itself, and for being asked what it has seen.
    idle_ns = _median(_total_ns, mine["idle machine"]) if "idle machine" in mine else 0.0
    if "TLS flat-out, 1 KiB" in mine:
        pairs = mine["TLS flat-out, 1 KiB"]
        value = (_median(_total_ns, pairs) - idle_ns) / 1000 / (2 * pairs[0].traced.units)
        lines.append(_bar("agent CPU per 1 KiB record, flat-out", value, 0.5, "{:.2f} µs"))
    paced = "TLS, 8,000 events/s of 1 KiB"
    if paced in mine:
        wall_ns = median(pair.traced.wall_ns for pair in mine[paced])
        value = 100 * (_median(_total_ns, mine[paced]) - idle_ns) / wall_ns
        lines.append(_bar("agent CPU at 8,000 events/s", value, 1.5, "{:.2f} %"))
    return lines


def _total_ns(pair: Pair) -> float:
    return pair.traced.tracer_total_cpu_ns


def _median(figure: Callable[[Pair], float], pairs: Sequence[Pair]) -> float:
    return median(map(figure, pairs))


def _cost_bars(costs: Costs) -> list[str]:
    lines = [
        _bar("attach and detach 40 probes", costs.attach_ms + costs.detach_ms, 100, "{:.0f} ms")
    ]
    if costs.loaded_bytes:
        largest = max(costs.sessions_rss_bytes, *costs.loaded_bytes)
        lines.append(_bar("agent RSS with 100 sessions", largest / 1e6, 80, "{:.1f} MB"))
        growth = 100 * (costs.settled_bytes[-1] / costs.settled_bytes[1] - 1)
        lines.append(_bar("growth from the second load to the last", growth, 1, "{:.2f} %"))
    return lines
