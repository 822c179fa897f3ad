"""Container and pod of a session are on the resource of all its spans, after a restart too."""

from agentsight_aggregator.fold import build_fold, findings_of
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.testing.agent_log import AgentLog, text, user

ID = "3f1d" * 16
POD = {
    "container.name": ["web"],
    "container.image.name": ["host.example:5000/acme/web"],
    "container.image.tags": ["3"],
    "container.runtime.name": ["containerd"],
    "k8s.pod.name": ["web-1"],
    "k8s.pod.uid": ["uid-1"],
    "k8s.namespace.name": ["shop"],
    "k8s.pod.label.app": ["web"],
}


def log_in(container: pb.Container) -> AgentLog:
    log = AgentLog()
    log.start(0)
    log.events[0].session_started.container.CopyFrom(container)
    log.call(1, 2, [user("Hello.")], [text("Hello.")])
    log.end(3)
    return log


def places(found: list) -> list[dict[str, list[str]]]:
    """Return the attributes of each span's resource that say where it is."""
    return [
        {
            each.key: list(each.strings_value.values) or [each.string_value]
            for each in item.span.resource
            if each.key.startswith(("container.", "k8s."))
        }
        for item in found
        if item.HasField("span")
    ]


def test_every_span_says_where_its_session_runs() -> None:
    container = pb.Container(
        id=ID,
        runtime="containerd",
        name="web",
        image="host.example:5000/acme/web:3",
        pod="web-1",
        pod_uid="uid-1",
        namespace="shop",
        labels=[pb.Label(key="app", value="web")],
    )
    events = log_in(container).events
    whole = places(findings_of(build_fold(), events))
    assert whole
    assert all(place == POD for place in whole)

    first, second = build_fold(), build_fold()
    begun = first.observe(events[0])
    second.restore(first.snapshot())
    assert places([*begun, *findings_of(second, events[1:])]) == whole


def test_an_image_by_digest_and_one_without_tag_stay_whole() -> None:
    for image in ("acme/web@sha256:" + "ab" * 32, "acme/web"):
        found = places(findings_of(build_fold(), log_in(pb.Container(image=image)).events))
        assert found[0] == {"container.image.name": [image]}


def test_files_of_a_process_in_a_container_have_the_path_of_the_host_beside_theirs(run) -> None:
    log = AgentLog()
    log.start(0)
    log.add(
        1,
        300,
        process_executed=pb.ProcessExecuted(
            argv=["worker"],
            exe="/bin/worker",
            cwd="/work/project",
            container_id="c0ffee",
            start_boot_ns=1,
        ),
    )
    places = [("/", "/docker/merged"), ("/work", "/home/me"), ("/work/ram", "")]
    mounts = [pb.MountPlace(path=path, host_path=host) for path, host in places]
    log.add(1, 300, container_mounts=pb.ContainerMounts(container_id="c0ffee", places=mounts))
    for path in ("/work", "/work/a", "/workshop", "/work/ram/x", "relative"):
        log.add(2, 300, file_opened=pb.FileOpened(path=path, result=3))
    moved = pb.FileChanged(operation="FILE_OPERATION_RENAMED", path="/work/a", new_path="/b")
    log.add(3, 300, file_changed=moved)
    log.add(4, 300, process_exited=pb.ProcessExited())
    log.end(20)
    (span,) = run(log).named("worker")
    seen = [
        (event["file.path"], event.get("agentsight.file.host_path", ""))
        for _, event in span.events[:5]
    ]
    assert seen == [
        ("/work", "/home/me"),
        ("/work/a", "/home/me/a"),
        ("/workshop", "/docker/merged/workshop"),
        ("/work/ram/x", ""),
        ("relative", ""),
    ]
    assert span.events[5][1]["agentsight.file.new_host_path"] == "/docker/merged/b"
    about = span.attributes
    assert about["agentsight.process.host_executable_path"] == "/docker/merged/bin/worker"
    assert about["agentsight.process.host_working_directory"] == "/home/me/project"
