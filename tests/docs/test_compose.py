"""Danger: the Compose example has rotted, and nothing here can start it.

Read as text: these rules need no YAML. Each service is the block below its name.
"""

from __future__ import annotations

import re

import pytest
import typer

from orchestrator.cli.main import app
from orchestrator.config.settings import Settings
from orchestrator.devstack import postgres
from tests.docs.pages import ROOT

COMPOSE = (ROOT / "compose" / "compose.yaml").read_text()
DOCKERFILE = (ROOT / "compose" / "Dockerfile").read_text()


def blocks_below(name: str) -> dict[str, str]:
    """The blocks one level below a top-level key, by name."""
    text = re.split(rf"^{name}:.*$", COMPOSE, flags=re.MULTILINE)[1]
    text = re.split(r"^\S", text, flags=re.MULTILINE)[0]
    _, *parts = re.split(r"^  (\w+):", text, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


SERVICES = blocks_below("services")


def test_it_has_the_parts_of_a_deployment() -> None:
    assert list(SERVICES) == [
        "redis",
        "postgres",
        "migrate",
        "worker",
        "beat",
        "flower",
        "metrics",
        "prometheus",
        "grafana",
    ]


def test_every_image_is_pinned() -> None:
    images = re.findall(r"image: (\S+)", COMPOSE) + re.findall(r"^FROM (\S+)", DOCKERFILE, re.M)
    assert len(images) == 7
    assert [image for image in images if not re.search(r":v?\d+\.\d+\.?\d*", image)] == []


def test_ports_are_bound_to_loopback() -> None:
    ports = re.findall(r'ports: \["([^"]+)"\]', COMPOSE)
    assert len(ports) == COMPOSE.count("ports:") == 5
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_says_how_its_health_is_seen(name: str) -> None:
    assert "healthcheck:" in SERVICES[name] or "<<: *orchestrator" in SERVICES[name]


def test_services_and_volumes_that_are_named_exist() -> None:
    waited_for = re.findall(r"^ +(\w+): \{condition: service_\w+\}", COMPOSE, re.MULTILINE)
    assert waited_for
    assert set(waited_for) <= set(SERVICES)
    volumes = re.findall(r'volumes: \["(\w+):|^      - (\w+):/', COMPOSE, re.MULTILINE)
    volumes = ["".join(one) for one in volumes]
    assert set(volumes) == set(blocks_below("volumes"))
    hosts = re.findall(r"@(\w+):\d+/", COMPOSE)
    assert set(hosts) == {"redis", "postgres"} <= set(SERVICES)


def test_anchors_that_are_used_exist() -> None:
    assert set(re.findall(r"\*(\w+)$", COMPOSE, re.M)) <= set(re.findall(r"&(\w+)", COMPOSE))


def test_commands_exist() -> None:
    commands = {name for name in SERVICES if f"command: [{name}]" in SERVICES[name]}
    assert commands == {"migrate", "worker", "beat"}
    assert "command: [metrics, --host=0.0.0.0]" in SERVICES["metrics"]
    commands.add("metrics")
    group = typer.main.get_command(app)
    assert commands <= set(getattr(group, "commands", {}))


def test_settings_exist() -> None:
    known = {f"ORCHESTRATOR_{name.upper()}" for name in Settings.model_fields}
    used = set(re.findall(r"(ORCHESTRATOR_\w+):", COMPOSE))
    assert used - known == {"ORCHESTRATOR_READY_FILE"}


def test_secrets_come_from_the_environment_file() -> None:
    asked = set(re.findall(r"\$\{(\w+):\?", COMPOSE))
    offered = re.findall(r"^(\w+)=(.*)$", (ROOT / "compose" / "example.env").read_text(), re.M)
    assert asked == {name for name, _ in offered}
    assert {value for _, value in offered} == {""}
    assert "/.env" in (ROOT / "compose" / ".gitignore").read_text()


def test_redis_keeps_what_it_is_told() -> None:
    assert "--appendonly yes" in SERVICES["redis"]
    assert "--maxmemory-policy noeviction" in SERVICES["redis"]


def test_the_database_is_made_like_the_embedded_one() -> None:
    found = re.search(r"POSTGRES_INITDB_ARGS: (.*)", COMPOSE)
    assert found
    # The image itself gives the user, and asks for no instructions.
    ours = " ".join(postgres._INITDB).replace(f"-U {postgres.USER} ", "")
    assert found[1] == ours.replace(" --no-instructions", "")


def test_what_the_image_copies_is_sent_to_the_builder() -> None:
    ignored = (ROOT / "compose" / "Dockerfile.dockerignore").read_text()
    copied = re.findall(r"^COPY (.*) \S+$", DOCKERFILE, re.MULTILINE)
    names = [name for line in copied for name in line.split()]
    assert names
    assert [name for name in names if f"!{name}\n" not in ignored] == []
    assert [name for name in names if not (ROOT / name).exists()] == []
