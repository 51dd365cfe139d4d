"""Wheels for machines that have no way out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from netlab.machines import wheels
from rustun.ops.deploy.records import Release
from rustun.ops.deploy.wheelhouse import Platform


def test_what_a_tree_takes_is_fetched_and_what_is_missing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first deployment of a rehearsal would find no wheels, since the machines' network leads nowhere."""
    asked: list[tuple[Platform, bool]] = []

    class House:
        """Stands for a wheelhouse that can have nothing."""

        def __init__(self, _checkout: Path) -> None:
            pass

        def release(self, platform: Platform, *, web: bool = False) -> Release:
            """Remember what was asked for."""
            asked.append((platform, web))
            return Release("0", missing="no wheels for toasters")

    chroot = tmp_path / "chroot"
    chroot.write_text(f'#!/bin/sh\n[ "$1" = {tmp_path} ] && echo x86_64 glibc 2.36 3.11.2\n')
    chroot.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(wheels, "Wheelhouse", House)
    wheels.fetch(tmp_path, web=False)
    platform = Platform("x86_64", "glibc", "2.36", "/usr/bin/python3", "3.11.2")
    assert asked == [(platform, False)]
    wheels.fetch(tmp_path, web=True)
    assert asked[1:] == [(platform, False), (platform, True)], "members go without"
    assert "no wheels for toasters" in capsys.readouterr().err
