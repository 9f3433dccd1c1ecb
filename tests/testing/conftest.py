"""The bench beside the harness."""

from tests.engine.conftest import bench, deps, registry, wide

__all__ = ["bench", "deps", "registry", "wide"]
