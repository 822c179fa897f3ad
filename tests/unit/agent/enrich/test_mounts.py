"""Where the files of a container are on the host."""

from pathlib import Path

from agentsight_agent.enrich.mounts import Place, read_places

# As Docker with overlay2 has them; "a b" is written with the octal number of the blank.
HOST = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 8:2 / /home rw - ext4 /dev/sda2 rw
90 22 0:50 / /var/lib/docker/overlay2/abc/merged rw - overlay overlay rw
""".lstrip()
CONTAINER = r"""
500 400 0:50 / / rw,relatime - overlay overlay rw,lowerdir=/x
501 500 0:61 / /proc rw - proc proc rw
502 500 0:62 / /dev rw - tmpfs tmpfs rw
503 500 8:2 /me/a\040b /work rw - ext4 /dev/sda2 rw
504 500 8:1 /var/lib/docker/containers/abc/hosts /etc/hosts rw - ext4 /dev/sda1 rw
""".lstrip()


def places_of(tmp_path: Path, host: str, container: str) -> list[Place]:
    for pid, text in ((1, host), (7, container)):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "mountinfo").write_text(text)
    return read_places(7, str(tmp_path))


def test_each_mount_is_found_where_the_host_has_the_same_file_system(tmp_path: Path) -> None:
    assert places_of(tmp_path, HOST, CONTAINER) == [
        Place("/etc/hosts", "/var/lib/docker/containers/abc/hosts"),
        Place("/proc", ""),
        Place("/work", "/home/me/a b"),
        Place("/dev", ""),
        Place("/", "/var/lib/docker/overlay2/abc/merged"),
    ]


def test_the_nearest_mount_of_the_host_counts_and_the_last_one_of_the_container(tmp_path) -> None:
    host = HOST + "95 22 8:2 /me /srv/me rw - ext4 /dev/sda2 rw\n"
    container = CONTAINER + "505 503 0:70 / /work rw - tmpfs tmpfs rw\n"
    container += "506 500 8:2 /me /whole rw - ext4 /dev/sda2 rw\n"
    places = {place.path: place.host_path for place in places_of(tmp_path, host, container)}
    assert places["/work"] == ""
    assert places["/whole"] == "/srv/me"


def test_a_process_that_is_gone_has_none(tmp_path: Path) -> None:
    assert read_places(7, str(tmp_path)) == []
