"""Danger: PostgreSQL refuses to run as the user that starts the stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.devstack import EmbeddedServers, EmbeddedUnavailable, identity
from orchestrator.devstack.identity import Identity
from orchestrator.devstack.postgres import find_postgres
from tests.support.waiting import answers

_POSTGRES = find_postgres() / "postgres"


def _possible() -> list[Identity]:
    """What the present user can become on this machine; containers often forbid namespaces."""
    return [one for one in identity.candidates() if identity.works(one, _POSTGRES, Path("/"))]


def _assert_runs_or_says_why_not(folder: Path) -> None:
    servers = EmbeddedServers(folder, durable=False, redis=False)
    if identity.choose(_POSTGRES, folder) is None:
        with pytest.raises(EmbeddedUnavailable, match="may not enter"):
            servers.start()
        return
    with servers:
        assert answers(servers.database_url)


@pytest.mark.parametrize("chosen", _possible())
def test_it_runs_under_each_identity_this_user_can_take(
    folder: Path, chosen: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "candidates", lambda: (chosen,))
    with EmbeddedServers(folder, durable=False, redis=False) as servers:
        assert answers(servers.database_url)
        data = (folder / "postgres" / "data").stat()
        assert (data.st_uid, data.st_gid) == chosen.owner


def test_a_folder_that_is_opened_or_closed_to_others_stays_usable(folder: Path) -> None:
    changing = folder / "changing"
    for mode in (0o700, 0o711, 0o700):
        changing.mkdir(exist_ok=True)
        changing.chmod(mode)
        _assert_runs_or_says_why_not(changing)


def test_without_any_way_the_error_names_the_setting(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "candidates", lambda: ())
    with pytest.raises(EmbeddedUnavailable, match="ORCHESTRATOR_DATABASE_URL") as refused:
        EmbeddedServers(folder, durable=False).start()
    assert refused.value.variable == "ORCHESTRATOR_DATABASE_URL"
