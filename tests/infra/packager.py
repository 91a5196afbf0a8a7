"""Chalice's packager without the packages that a project requires: they would be downloaded."""

from __future__ import annotations

import io

from chalice.deploy.packager import LambdaDeploymentPackager
from chalice.utils import UI, OSUtils


class NoDependencies:
    """Chalice's builder of dependencies, which builds none."""

    def build_site_packages(
        self, abi: str, requirements_filepath: str, target_directory: str
    ) -> None: ...


def new_packager() -> LambdaDeploymentPackager:
    """Return the packager, which says nothing."""
    return LambdaDeploymentPackager(OSUtils(), NoDependencies(), UI(io.StringIO(), io.StringIO()))
