"""The informer against a server that lists and watches as the API server of Kubernetes does."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from agentsight_agent.kubernetes.client import ApiSettings
from agentsight_agent.kubernetes.informer import PodCollector, PodInformer
from agentsight_agent.kubernetes.pods import PodTable
from agentsight_core.errors import ConfigError
from agentsight_core.testing.kubernetes_api import KubernetesApi

ID = "3f1d" * 16


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def api() -> Iterator[KubernetesApi]:
    with KubernetesApi("first") as api:
        yield api


@pytest.fixture
def informer(api: KubernetesApi, tmp_path: Path) -> Iterator[PodInformer]:
    token = tmp_path / "token"
    token.write_text("first\n")
    settings = ApiSettings("node-1", api.url, token_file=token)
    informer = PodInformer(settings, PodTable(labels=("app", "team")))
    for number in range(5):
        api.put(f"uid-{number}", f"web-{number}", "node-1", labels={"app": "web", "secret": "x"})
    api.put("uid-9", "other", "node-2")
    with informer:
        assert informer.wait_listed(20)
        yield informer


def name_of(informer: PodInformer, uid: str, container: str = "") -> str:
    pod = informer.pods.find(uid, container)
    return pod.name if pod else ""


def test_all_pages_of_this_nodes_pods_with_allowed_labels_only(api, informer) -> None:
    assert len(informer.pods) == 5
    assert informer.pods.find("uid-4", "").labels == (("app", "web"),)
    assert informer.pods.find("uid-9", "") is None
    assert {asked["fieldSelector"] for asked in api.requests} == {"spec.nodeName=node-1"}


def test_changes_come_by_the_watch(api, informer) -> None:
    api.put("uid-5", "job", "node-1", annotations={"kubernetes.io/config.hash": "ab" * 16})
    until(lambda: name_of(informer, "uid-5"))
    assert name_of(informer, "ab" * 16) == "job"
    api.put("uid-5", "job", "node-1", containers=[(ID, "main", "acme/job:1")])
    until(lambda: name_of(informer, "", ID))
    assert informer.pods.find("", ID).images == ((ID, "acme/job:1"),)
    api.delete("uid-5")
    until(lambda: not name_of(informer, "uid-5"))
    assert informer.pods.find("", ID) is None
    assert informer.lists == 1


def test_a_watch_that_ends_goes_on_where_it_was(api, informer) -> None:
    api.bookmark()
    until(lambda: api.watching == 1)
    api.drop_watches()
    until(lambda: informer.watches == 2)
    api.put("uid-6", "late", "node-1")
    until(lambda: name_of(informer, "uid-6"))
    assert (informer.lists, informer.failures) == (1, 0)
    versions = [int(a["resourceVersion"]) for a in api.requests if "watch" in a]
    assert versions == sorted(versions)


def test_after_410_gone_everything_is_listed_again(api, informer) -> None:
    until(lambda: api.watching == 1)
    api.compact()
    api.drop_watches()
    api.delete("uid-0")
    until(lambda: informer.lists == 2)
    assert not name_of(informer, "uid-0")
    assert informer.failures == 0
    api.put("uid-7", "new", "node-1")
    until(lambda: name_of(informer, "uid-7"))


def test_a_token_that_was_replaced_is_read_again(api, informer, tmp_path: Path) -> None:
    until(lambda: api.watching == 1)
    api.token = "second"
    api.drop_watches()
    until(lambda: api.refused)
    assert name_of(informer, "uid-1") == "web-1"
    (tmp_path / "token").write_text("second")
    api.put("uid-8", "new", "node-1")
    until(lambda: name_of(informer, "uid-8"))
    assert informer.failures >= 1
    values = {m.name: m.samples[0].value for m in PodCollector(informer).collect()}
    assert values["agentsight_kubernetes_pods"] == 6
    assert values["agentsight_kubernetes_lists"] == 1


def test_the_thread_ends_with_the_context(api, informer) -> None:
    until(lambda: informer.watches)
    informer.__exit__(None, None, None)
    until(lambda: "pods" not in {thread.name for thread in threading.enumerate()})


def test_outside_of_a_pod_the_server_must_be_named(monkeypatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConfigError, match=r"kubernetes\.api_url"):
        PodInformer(ApiSettings("node-1"), PodTable())
