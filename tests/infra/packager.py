"""Chalice's packager without the project's dependencies, which it would download."""

from __future__ import annotations

import io

from chalice.deploy.packager import DependencyBuilder, LambdaDeploymentPackager
from chalice.utils import UI, OSUtils


class NoDependencies(DependencyBuilder):
    """Chalice's builder of dependencies, which builds none."""

    def __init__(self) -> None: ...

    def build_site_packages(
        self, abi: str, requirements_filepath: str, target_directory: str
    ) -> None: ...


def new_packager() -> LambdaDeploymentPackager:
    """Return the packager, which says nothing."""
    return LambdaDeploymentPackager(OSUtils(), NoDependencies(), UI(io.StringIO(), io.StringIO()))
