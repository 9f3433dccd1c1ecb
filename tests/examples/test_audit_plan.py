"""What an audit will do: the same for the same files, whatever the order on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.audit import plan
from tests.examples.support import write


def test_folders_with_python_files_are_found_large_ones_first(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "", "b/x.py": "", "b/y.py": "", "c/d/z.py": "", "e/readme.txt": ""})
    assert plan.folders(tmp_path).paths == ("b", ".", "c/d")


def test_caches_hidden_folders_and_environments_are_left_out(tmp_path: Path) -> None:
    names = ("a.py", ".git/b.py", "__pycache__/c.py", "node_modules/d.py", "env/lib/e.py")
    write(tmp_path, dict.fromkeys(names, ""))
    write(tmp_path, {"env/pyvenv.cfg": ""})
    assert plan.folders(tmp_path).paths == (".",)


def test_a_link_to_a_folder_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path, {"a/x.py": ""})
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    assert plan.folders(tmp_path).paths == ("a",)


def test_files_of_a_folder_are_sorted_and_real(tmp_path: Path) -> None:
    write(tmp_path, {"f/b.py": "", "f/a.py": "", "f/c.txt": "", "f/g/d.py": ""})
    (tmp_path / "f" / "folder.py").mkdir()
    (tmp_path / "f" / "gone.py").symlink_to("nowhere")
    assert plan.files_of(tmp_path, "f").paths == ("f/a.py", "f/b.py")
    assert plan.files_of(tmp_path, ".").paths == ()


@pytest.mark.parametrize("name", [b"\xff.py", b"a\n.py"])
def test_a_name_that_is_no_text_is_refused_and_shown(tmp_path: Path, name: bytes) -> None:
    Path(bytes(tmp_path).decode(), name.decode("utf-8", "surrogateescape")).touch()
    listing = plan.files_of(tmp_path, ".")
    assert listing.paths == ()
    assert listing.refused[0].isprintable()


def test_a_folder_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / b"d\xff".decode("utf-8", "surrogateescape")
    folder.mkdir()
    (folder / "a.py").touch()
    assert plan.folders(tmp_path) == plan.Listing((), ("d\\udcff",))


def test_each_file_is_a_batch_until_there_are_too_many() -> None:
    paths = tuple(f"{n}.py" for n in range(plan.MAX_BATCHES))
    assert plan.batches(paths) == [[path] for path in paths]
    assert plan.batches(()) == []
    many = tuple(f"{n}.py" for n in range(plan.MAX_BATCHES * 3 + 1))
    batches = plan.batches(many)
    assert len(batches) <= plan.MAX_BATCHES
    assert [path for batch in batches for path in batch] == list(many)


def test_the_expected_instances_count_every_agent(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "", "b/x.py": "", "b/y.py": ""})
    assert plan.expected(tmp_path) == {"b": 4, ".": 3}
