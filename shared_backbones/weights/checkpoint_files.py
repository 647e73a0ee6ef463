"""The files of a published checkpoint: `hf:OWNER/REPO[@REVISION]` from the cache or network, or a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vitapps.errors import MissingError, VitappsError
from vitapps.require import require

_HINT = "it has to be in the Hugging Face cache (HF_HOME) or reachable over the network"


class CheckpointFiles:
    """The files of a repository or of a folder."""

    def __init__(self, spec: str, cache_dir: Path | None) -> None:
        self._spec, self._cache = spec, cache_dir
        self._folder = None if spec.startswith("hf:") else Path(spec)
        if self._folder is not None and not self._folder.is_dir():
            raise MissingError(f"{spec}: no such folder", hint="a folder with config.json and model.safetensors")

    def json(self, name: str, *, optional: bool = False) -> dict[str, Any]:
        """The object in a JSON file; an empty one where it is `optional` and not there."""
        try:
            found = json.loads(self.path(name).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError, MissingError) as error:
            if optional:
                return {}
            raise MissingError(f"{self._spec}: no readable {name}: {error}", hint=_HINT) from None
        return dict(found)

    def first(self, names: tuple[str, ...]) -> Path:
        """The first of `names` that is there."""
        problem: VitappsError | None = None
        for name in names:
            try:
                return self.path(name)
            except MissingError as error:
                problem = error
        raise MissingError(f"{self._spec}: none of {', '.join(names)}", hint=_HINT) from problem

    def path(self, name: str) -> Path:
        """A file on this machine; raises MissingError."""
        if self._folder is not None:
            path = self._folder / name
            if not path.is_file():
                raise MissingError(f"{path}: no such file", hint="give the folder of a checkpoint")
            return path
        hub = require("huggingface_hub", extra="hub")
        repository, _, revision = self._spec.removeprefix("hf:").partition("@")
        try:
            return Path(hub.hf_hub_download(repository, name, revision=revision or None, cache_dir=self._cache))
        except Exception as error:  # the hub client's errors have no common base class
            reason = f"{type(error).__name__}: {error}".splitlines()[0][:160]
            raise MissingError(f"{self._spec}: {name}: {reason}", hint=_HINT) from error
