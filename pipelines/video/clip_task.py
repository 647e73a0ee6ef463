"""What the tasks of `vitapps batch` share whose network looks at windows of a clip: the network, and their words."""

from __future__ import annotations

from vitapps.pipelines.batch.task import Item, Task, TaskSpec, option_words
from vitapps.pipelines.video.action_model import DEFAULT_WEIGHTS, load_action_model


class ClipTask(Task):
    """A task over clips by a network of task `video.action`, which is loaded once a worker."""

    patterns = ("**/*.mp4",)
    default_weights = DEFAULT_WEIGHTS

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self._model = load_action_model(spec.weights or DEFAULT_WEIGHTS, spec.options)

    @classmethod
    def clip_words(cls, command: str, spec: TaskSpec, item: Item) -> list[str]:
        """The words of `vitapps video COMMAND` for the options that these tasks share."""
        own, default = spec.settings, cls.Settings()
        words = ["video", command, str(item.input), "-o", str(item.out), *option_words(spec.options)]
        words += ["--weights", spec.weights] if spec.weights else []
        words += [f"--hop={own.hop}"] if own.hop is not None else []
        return words + ([f"--decoder={own.decoder}"] if own.decoder != default.decoder else [])
