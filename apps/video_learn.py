"""`vitapps video segment | action | embed | probe | detect | predict`: commands that learn from pixels over time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vitapps.apps.console import Run, WeightsOption, command, listed, numbers
from vitapps.apps.terminal import columns
from vitapps.datasets.formats.video_choices import Decoder

if TYPE_CHECKING:
    from vitapps.pipelines.video.starts import Prompt

_PART = "Which part of the clip"
ClipArgument = Annotated[
    str,
    typer.Argument(metavar="CLIP", show_default=False, help="A video file, a folder or pattern of pictures, a URL."),
]
StartOption = Annotated[
    float | None, typer.Option("--start", min=0, show_default=False, rich_help_panel=_PART, help="Seconds.")
]
EndOption = Annotated[
    float | None, typer.Option("--end", min=0, show_default=False, rich_help_panel=_PART, help="Seconds.")
]
StrideOption = Annotated[int, typer.Option("--stride", min=1, rich_help_panel=_PART, help="Every n-th frame.")]
DecoderOption = Annotated[Decoder, typer.Option("--decoder", rich_help_panel=_PART, help="What reads the clip.")]
HopOption = Annotated[
    int | None, typer.Option("--hop", min=1, show_default=False, help="Frames between windows; else half a window.")
]
CropsOption = Annotated[int, typer.Option("--crops", help="Squares along the longer side of each window: 1, 3, 5.")]
ListOption = Annotated[
    Path,
    typer.Option(
        "--data", show_default=False,
        help="List of clips: PATH LABEL lines, Kinetics .csv, SSv2 .json, HMDB51 folder, manifest .tsv.",
    ),
]  # fmt: skip
RootOption = Annotated[
    Path | None, typer.Option("--root", show_default=False, help="Folder of the clips, else that of the list.")
]
StepsOption = Annotated[int, typer.Option("--steps", min=1, help="Optimiser steps.")]
FoldsOption = Annotated[int, typer.Option("--folds", min=0, help="Folds by source for the score; 0: none.")]
WordsOption = Annotated[
    str, typer.Option("--words", show_default=False, help="OWL-ViT: what is sought, as in 'a person, a dog'.")
]
PreviewOption = Annotated[bool, typer.Option("--preview", help="Draw a contact sheet: OUT.preview.png.")]


def prompts(option: str, texts: list[str] | None, form: str) -> tuple[Prompt, ...]:
    """What the words `X,Y,W,H` or `X,Y@S` point at; UsageError for others."""
    from vitapps.pipelines.video.starts import Prompt

    found = []
    for text in texts or ():
        where, mark, second = text.partition("@")
        values = numbers(option, where, count=form.count(",") + 1, example=f"{form} in pixels, or {form}@SECOND")
        at = numbers(option, second, count=1, example=f"{form}@SECOND")[0] if mark else None
        found.append(Prompt(where=tuple(values), at=at))
    return tuple(found)


own, own_train, own_eval = typer.Typer(), typer.Typer(), typer.Typer()


@command(own, "segment")
def segment(
    run: Run,
    clip: ClipArgument,
    mask: Annotated[
        Path | None,
        typer.Option("--mask", show_default=False, help="PNG of the first frame: objects white, or numbered."),
    ] = None,
    box: Annotated[
        list[str] | None,
        typer.Option(
            "--box",
            metavar="X,Y,W,H[@S]",
            show_default=False,
            help="Instead of a mask: grown in this box, at second S.",
        ),
    ] = None,
    point: Annotated[
        list[str] | None,
        typer.Option(
            "--point", metavar="X,Y[@S]", show_default=False, help="Instead of a mask: grown around this pixel."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", show_default=False, help="Folder of PNGs, .json (RLE) or .mp4; else CLIP_masks."),
    ] = None,
    weights: WeightsOption = None,
    preview: PreviewOption = False,
    start: StartOption = None,
    end: EndOption = None,
    stride: StrideOption = 1,
    decoder: DecoderOption = "auto",
) -> None:
    """Follow the objects of a first mask, box or point through a clip and write the mask of every frame."""
    from vitapps.pipelines.video import segment as pipeline

    settings = pipeline.SegmentSettings(
        boxes=prompts("--box", box, "X,Y,W,H"), points=prompts("--point", point, "X,Y"), start=start, end=end,
        stride=stride, decoder=decoder, preview=preview,
    )  # fmt: skip
    result = pipeline.segment(
        clip, mask, out or pipeline.default_output(clip), settings=settings, weights=weights, options=run.options,
        progress=run.progress, command=run.command_line,
    )  # fmt: skip
    lost = [f"object {number} is lost from {time:g} s on" for number, time in result.lost_s.items()]
    objects = f"{len(result.objects)} object{'s' * (len(result.objects) != 1)}"
    run.emit(
        result.to_json(),
        [f"wrote {result.out}: {result.frames} frames, {objects} ({result.ms_per_frame:g} ms a frame)", *lost],
    )


@command(own_eval, "segment")
def eval_segment(
    run: Run,
    data: Annotated[Path, typer.Option("--data", show_default=False, help="Root of a DAVIS tree.")],
    sequence: Annotated[
        list[str] | None, typer.Option("--sequence", show_default=False, help="Only these sequences.")
    ] = None,
    weights: WeightsOption = None,
    no_baseline: Annotated[bool, typer.Option("--no-baseline", help="Leave flow + GrabCut out.")] = False,
    from_boxes: Annotated[
        bool, typer.Option("--from-boxes", help="Begin from the boxes of the first masks, as `--box` does.")
    ] = False,
) -> None:
    """J, F and J&F of `video segment` by the DAVIS protocol, beside optical flow + GrabCut in the same run."""
    from vitapps.pipelines.video.evaluate_segment import evaluate

    rows = evaluate(
        data, sequence or (), baseline=not no_baseline, from_boxes=from_boxes, weights=weights, options=run.options,
        progress=run.progress,
    )  # fmt: skip
    header = ("method", "sequence", "J&F", "J mean", "J recall", "J decay", "F mean", "F recall", "F decay", "ms CPU")
    table = [
        (row.method, row.score.name, f"{row.score.mean:.3f}",
         *(f"{value:.3f}" for part in (row.score.region, row.score.boundary)
           for value in (part.mean, part.recall, part.decay)),
         f"{row.cpu_ms:.0f}")
        for row in rows
    ]  # fmt: skip
    run.emit({"rows": [row.to_json() for row in rows]}, columns(header, table))


@command(own_train, "segment")
def train_segment(
    run: Run,
    data: Annotated[
        list[Path], typer.Option("--data", show_default=False, help="Folders of photographs and clips; repeatable.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", show_default=False, help="Folder for card, weights and graph.")],
    image: Annotated[
        str, typer.Option("--image", help="Image network to start from: timm:NAME, hf:REPO, a card.")
    ] = "",
    steps: StepsOption = 3000,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Triples of frames a step.")] = 8,
    size: Annotated[int, typer.Option("--size", min=32, help="Pixels a side that frames are brought to.")] = 128,
    dim: Annotated[int, typer.Option("--dim", min=32, help="Width of the network; 32 a head.")] = 128,
    depth: Annotated[int, typer.Option("--depth", min=1, help="Blocks of the network.")] = 6,
    prototypes: Annotated[int, typer.Option("--prototypes", min=0, help="Tokens for a known frame; 0: all.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
) -> None:
    """Train a SimVOS network on composited frames, for `video segment --weights`."""
    from vitapps.require import require

    require("torch", extra="train")
    from vitapps.pipelines.runtime.devices import cuda_devices
    from vitapps.pipelines.video.train_segment import SegmentFit, train

    device = run.options.device if run.options.device != "auto" else "cuda" if cuda_devices() else "cpu"
    config = SegmentFit(
        steps=steps, batch=batch, image=image, size=size, dim=dim, depth=depth, prototypes=prototypes,
        seed=run.options.seed, threads=run.options.threads or 1,
    )  # fmt: skip
    card = train(data, out, config=config, device=device, resume=resume, progress=run.progress)
    run.emit({"card": str(card)}, [f"wrote {card}"])


@command(own, "action", reduces=True)
def action(
    run: Run,
    clip: ClipArgument,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", show_default=False, help="File: .json, .csv or .srt (subtitles).")
    ] = None,
    weights: WeightsOption = None,
    top: Annotated[int, typer.Option("--top", min=1, help="Classes to tell.")] = 5,
    hop: HopOption = None,
    crops: CropsOption = 1,
    preview: PreviewOption = False,
    start: StartOption = None,
    end: EndOption = None,
    decoder: DecoderOption = "auto",
) -> None:
    """Say what happens in a clip, over time and as a whole (a demonstrator; VideoMAE by -w hf:OWNER/REPO)."""
    from vitapps.pipelines.video import action as pipeline
    from vitapps.pipelines.video.action_model import DEFAULT_WEIGHTS

    settings = pipeline.ActionSettings(
        start=start, end=end, hop=hop, crops=crops, top=top, decoder=decoder, preview=preview
    )
    result = pipeline.action(
        clip, out, weights=weights or DEFAULT_WEIGHTS, settings=settings, options=run.options,
        progress=run.progress, command=run.command_line,
    )  # fmt: skip
    lines = [f"{item.score:6.1%}  {item.label}" for item in result.clip]
    lines += [f"{item.start_s:8.2f} - {item.end_s:.2f} s  {item.label} {item.score:.0%}" for item in result.segments]
    run.emit(result.to_json(), [*lines, *([f"wrote {result.out}"] if result.out else [])])


@command(own, "embed", reduces=True)
def embed(
    run: Run,
    clips: Annotated[list[str], typer.Argument(metavar="CLIP...", show_default=False, help="Files, folders, URLs.")],
    out: Annotated[Path, typer.Option("--out", "-o", show_default=False, help="File: .npz or .csv.")],
    weights: WeightsOption = None,
    hop: HopOption = None,
    crops: CropsOption = 1,
    start: StartOption = None,
    end: EndOption = None,
    decoder: DecoderOption = "auto",
) -> None:
    """Write the vectors of every window of clips, for search, clustering and probes."""
    from vitapps.pipelines.video.action import ActionSettings
    from vitapps.pipelines.video.action_model import DEFAULT_WEIGHTS
    from vitapps.pipelines.video.embed import embed as pipeline

    settings = ActionSettings(start=start, end=end, hop=hop, crops=crops, decoder=decoder)
    result = pipeline(
        clips, out, weights=weights or DEFAULT_WEIGHTS, settings=settings, options=run.options,
        progress=run.progress, command=run.command_line,
    )  # fmt: skip
    run.emit(result.to_json(), [f"wrote {result.out}: {result.windows} vectors of {result.width} numbers"])


@command(own, "probe")
def probe(
    run: Run,
    train: Annotated[Path, typer.Option("--train", show_default=False, help="List of clips to fit on.")],
    test: Annotated[Path, typer.Option("--test", show_default=False, help="List of clips to score on.")],
    protocol: Annotated[
        Literal["linear", "knn", "attentive"],
        typer.Option("--protocol", help="attentive: a query over tokens."),
    ] = "linear",
    question: Annotated[
        Literal["labels", "direction"], typer.Option("--ask", help="direction: does the clip run forwards?")
    ] = "labels",
    root: RootOption = None,
    weights: WeightsOption = None,
) -> None:
    """Fit a small classifier on frozen clip features and score it."""
    from vitapps.pipelines.video.action_model import DEFAULT_WEIGHTS
    from vitapps.pipelines.video.probe import ProbeSettings
    from vitapps.pipelines.video.probe import probe as pipeline

    result = pipeline(
        train, test, root=root, weights=weights or DEFAULT_WEIGHTS,
        settings=ProbeSettings(protocol=protocol, question=question), options=run.options, progress=run.progress,
    )  # fmt: skip
    score, classes = result.score, len(result.classes)
    run.emit(
        result.to_json(),
        [f"top-1 {score.accuracy:.3f}, mean of {classes} classes {score.mean_class:.3f}, {score.clips} clips"],
    )


@command(own_train, "action")
def train_action(
    run: Run,
    data: ListOption,
    out: Annotated[Path, typer.Option("--out", "-o", show_default=False, help="Folder for card, weights and graph.")],
    root: RootOption = None,
    image: Annotated[
        str | None,
        typer.Option("--image", show_default=False, help="Beside a frozen image network: timm:NAME, hf:REPO, a card."),
    ] = None,
    steps: StepsOption = 150,
    batch: Annotated[int, typer.Option("--batch", min=2, help="Windows a step.")] = 32,
    folds: FoldsOption = 5,
) -> None:
    """Train a classifier on labelled clips, of motion alone or beside an image network; scored on unseen sources."""
    from vitapps.require import require

    require("torch", extra="train")
    common = {
        "steps": steps, "batch": batch, "folds": folds, "seed": run.options.seed, "threads": run.options.threads or 1
    }  # fmt: skip
    if image is None:
        from vitapps.pipelines.video.train_action import ActionFit, train

        card, score = train(data, out, root=root, config=ActionFit(**common), progress=run.progress)
    else:
        from vitapps.pipelines.video.train_dist import DistFit
        from vitapps.pipelines.video.train_dist import train as train_beside

        card, score = train_beside(data, out, root=root, config=DistFit(image=image, **common), progress=run.progress)
    said = f": {score.accuracy:.3f} accuracy on unseen sources" if score else ""
    run.emit({"card": str(card), "score": score}, [f"wrote {card}{said}"])


@command(own_eval, "action", reduces=True)
def eval_action(
    run: Run, data: ListOption, root: RootOption = None, steps: StepsOption = 150, folds: FoldsOption = 5
) -> None:
    """Accuracy of the recipe of `train action` on unseen sources, beside HOG + flow features."""
    from vitapps.require import require

    require("torch", extra="train")
    from vitapps.pipelines.video.evaluate_action import evaluate
    from vitapps.pipelines.video.train_action import ActionFit

    config = ActionFit(
        steps=steps, folds=max(2, folds), seed=run.options.seed, threads=run.options.threads or 1
    )  # fmt: skip
    rows = evaluate(data, root=root, config=config, progress=run.progress)
    table = [
        (row.method, row.score.clips, f"{row.score.accuracy:.3f}", f"{row.score.mean_class:.3f}",
         "-" if row.score.auc is None else f"{row.score.auc:.3f}", f"{row.score.ece:.3f}")
        for row in rows
    ]  # fmt: skip
    run.emit(
        {"rows": [row.to_json() for row in rows]},
        columns(("method", "clips", "accuracy", "mean class", "AUC", "ECE"), table),
    )


@command(own, "detect", reduces=True)
def detect(
    run: Run,
    clip: ClipArgument,
    out: Annotated[
        Path, typer.Option("--out", "-o", show_default=False, help="File: .csv, .txt (MOT), .json or .jsonl.")
    ],
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            "-w",
            show_default=False,
            help="A detector's card, or an OWL-ViT: hf:google/owlvit-base-patch32 or its folder; else people-finder.",
        ),
    ] = None,
    words: WordsOption = "",
    carry: Annotated[
        float,
        typer.Option("--carry", help="OWL-ViT: 0 to 1, how far objects are carried on; they are numbered then."),
    ] = 0.0,
    min_score: Annotated[
        float | None, typer.Option("--min-score", show_default=False, help="0 to 1; else the card's.")
    ] = None,
    scales: Annotated[
        str | None,
        typer.Option(
            "--scales",
            metavar="ROUGH,CLOSE",
            show_default=False,
            help="Sizes of the passes, as shares of the frame's; else the card's, or 0.25,1.",
        ),
    ] = None,
    smallest: Annotated[
        float | None, typer.Option("--smallest", show_default=False, help="Pixels of the smallest object, sets both.")
    ] = None,
    refresh: Annotated[int, typer.Option("--refresh", min=0, help="Look everywhere every n frames; 0: once.")] = 30,
    tiles: Annotated[bool, typer.Option("--tiles", help="Search every window of every frame.")] = False,
    preview: PreviewOption = False,
    start: StartOption = None,
    end: EndOption = None,
    stride: StrideOption = 1,
    decoder: DecoderOption = "auto",
) -> None:
    """Find objects in a clip: in 4K and 8K frames by a rough look everywhere and a close one where it matters, or by
    words (--weights hf:google/owlvit-base-patch32 --words "a person, a dog")."""
    from vitapps.pipelines.video import detect as pipeline
    from vitapps.pipelines.video.people import DEFAULT_WEIGHTS

    rough, close = numbers("--scales", scales, count=2, example="ROUGH,CLOSE: 0.25,1") if scales else (None, None)
    settings = pipeline.DetectSettings(
        min_score=min_score, rough=rough, scale=close, smallest=smallest, refresh=refresh, tiles=tiles,
        words=listed(words), carry=carry, start=start, end=end, stride=stride, decoder=decoder, preview=preview,
    )  # fmt: skip
    result = pipeline.detect(
        clip, out, weights=weights or DEFAULT_WEIGHTS, settings=settings, options=run.options,
        progress=run.progress, command=run.command_line,
    )  # fmt: skip
    said = f"wrote {result.out}: {result.boxes} boxes in {result.frames} frames, {result.work:.0%} of tiling's windows"
    run.emit(result.to_json(), [f"{said} ({result.ms_per_frame:g} ms a frame)"])
