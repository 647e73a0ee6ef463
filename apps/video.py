"""`vitapps video`: tracking, segmentation, actions, detection and prediction in clips."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitapps.apps import video_learn, video_predict, video_pretrain
from vitapps.apps.console import OutputOption, Run, WeightsOption, command, group, listed
from vitapps.apps.terminal import columns
from vitapps.datasets.formats.tracks import TrackFormat
from vitapps.datasets.formats.video_choices import Decoder
from vitapps.pipelines.video.track_choices import TrackerKind

app = group("Video: track, segment, classify and detect in clips.")
train_app = group("Train an embedded model again, from its published recipe.")
app.add_typer(train_app, name="train")
eval_app = group("Score the embedded models beside their baselines.")
app.add_typer(eval_app, name="eval")
for target, sources in (
    (app, (video_learn.own, video_predict.own, video_pretrain.own)),
    (train_app, (video_learn.own_train, video_predict.own_train)),
    (eval_app, (video_learn.own_eval, video_predict.own_eval)),
):
    target.registered_commands += [item for source in sources for item in source.registered_commands]

_READ = "How to read the clip"
_WRITE = "What to write besides"
_HOW = "How detections become tracks"
ClipArgument = Annotated[
    str,
    typer.Argument(
        metavar="CLIP", show_default=False,
        help="A video file, a folder of pictures, a pattern (img/%05d.jpg) or a URL.",
    ),
]  # fmt: skip
FormatOption = Annotated[
    TrackFormat | None,
    typer.Option(
        "--format", show_default=False, rich_help_panel=_WRITE, help="Else by the suffix of -o; coco is .json."
    ),
]
VideoOption = Annotated[
    Path | None,
    typer.Option("--video", show_default=False, rich_help_panel=_WRITE, help="The clip with boxes drawn, H.264 .mp4."),
]
PreviewOption = Annotated[
    bool, typer.Option("--preview", rich_help_panel=_WRITE, help="Draw a contact sheet: OUT.preview.png.")
]
EndOption = Annotated[
    float | None, typer.Option("--end", show_default=False, rich_help_panel=_READ, help="Stop before this second.")
]
StrideOption = Annotated[int, typer.Option("--stride", rich_help_panel=_READ, help="Every n-th frame.")]
DecoderOption = Annotated[Decoder, typer.Option("--decoder", rich_help_panel=_READ, help="What decodes the clip.")]
RateOption = Annotated[
    float, typer.Option("--image-rate", rich_help_panel=_READ, help="Pictures a second of a folder.")
]
TrackerWeightsOption = Annotated[
    str | None,
    typer.Option(
        "--weights", "-w", show_default=False,
        help="Follow by a network: a tracker's card, ostrack:FILE or lorat:FILE,DINOV2_FILE.",
    ),
]  # fmt: skip
DataOption = Annotated[Path, typer.Option("--data", show_default=False, help="Folder of sequences with ground truth.")]


@command(app, "track", reduces=True)
def track(
    run: Run,
    clip: ClipArgument,
    out: OutputOption,
    box: Annotated[
        list[str] | None,
        typer.Option(
            "--box",
            metavar="X,Y,W,H[@S]",
            show_default=False,
            help="Pixels, from the top left; once an object, which begins at second S (else --start).",
        ),
    ] = None,
    point: Annotated[
        list[str] | None,
        typer.Option(
            "--point", metavar="X,Y[@S]", show_default=False, help="A pixel of the object instead of its box."
        ),
    ] = None,
    mask: Annotated[
        Path | None, typer.Option("--mask", show_default=False, help="A PNG whose values from 1 on are the objects.")
    ] = None,
    at: Annotated[
        float,
        typer.Option("--at", "--start", help="Second at which box, point or mask hold; tracking starts there."),
    ] = 0,
    end: EndOption = None,
    stride: StrideOption = 1,
    decoder: DecoderOption = "auto",
    image_rate: RateOption = 25.0,
    output_format: FormatOption = None,
    video: VideoOption = None,
    preview: PreviewOption = False,
    tracker: Annotated[
        TrackerKind,
        typer.Option("--tracker", help="auto: fused, or the network of --weights. filter needs no network."),
    ] = "auto",
    weights: TrackerWeightsOption = None,
) -> None:
    """Follow one or several objects through a clip, with a score and a state (tracked, uncertain, lost) each frame."""
    from vitapps.pipelines.video.track import TrackSettings
    from vitapps.pipelines.video.track import track as follow

    settings = TrackSettings(
        boxes=video_learn.prompts("--box", box, "X,Y,W,H"), points=video_learn.prompts("--point", point, "X,Y"),
        mask=mask, at=at, end=end, stride=stride, decoder=decoder, image_rate=image_rate, format=output_format,
        video=video, preview=preview, tracker=tracker,
    )  # fmt: skip
    result = follow(
        clip, out, settings, weights=weights, options=run.options, progress=run.progress, command=run.command_line
    )  # fmt: skip
    lost = ", ".join(f"object {number} lost in {share:.0%}" for number, share in result.lost.items() if share)
    line = f"wrote {result.out}: {result.objects} object(s), {result.frames} frames, {result.p50_ms:.1f} ms a frame"
    run.emit(result.to_json(), [f"{line}; {lost}" if lost else line])


@command(app, "mot")
def mot(
    run: Run,
    clip: ClipArgument,
    out: OutputOption,
    detections: Annotated[
        Path | None,
        typer.Option(
            "--detections", show_default=False, help="Boxes of all frames: MOTChallenge .txt, CSV, JSON, COCO."
        ),
    ] = None,
    detect_weights: Annotated[
        str | None,
        typer.Option(
            "--detect-weights",
            show_default=False,
            help="Instead of people-finder: a detector's card, a YOLO .onnx, an OWL-ViT; moving: what moves.",
        ),
    ] = None,
    words: video_learn.WordsOption = "",
    tune: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            show_default=False,
            rich_help_panel=_HOW,
            help="Scores strong, weak, begin; overlap, enlarge, appearance; frames confirm, keep, fill.",
        ),
    ] = None,
    smooth: Annotated[bool, typer.Option(rich_help_panel=_HOW, help="Smooth the finished tracks.")] = True,
    start: Annotated[
        float | None, typer.Option("--start", show_default=False, rich_help_panel=_READ, help="Begin at this second.")
    ] = None,
    end: EndOption = None,
    stride: StrideOption = 1,
    decoder: DecoderOption = "auto",
    image_rate: RateOption = 25.0,
    output_format: FormatOption = None,
    video: VideoOption = None,
    preview: PreviewOption = False,
) -> None:
    """Join the detections of a clip to tracks of many objects; without any, people are found by `people-finder`."""
    from vitapps.pipelines.video.mot import SMOOTHING, MotSettings, association
    from vitapps.pipelines.video.mot import mot as join

    settings = MotSettings(
        detections=detections, weights=detect_weights, words=listed(words), format=output_format, video=video,
        preview=preview, start=start, end=end, stride=stride, image_rate=image_rate, decoder=decoder,
        associate=association(tune or ()), smooth=SMOOTHING if smooth else (0.0, 0.0),
    )  # fmt: skip
    result = join(clip, out, settings, options=run.options, progress=run.progress, command=run.command_line)
    said = f"wrote {result.out}: {result.tracks} tracks, {result.rows} rows from {result.detections} detections"
    run.emit(result.to_json(), [said])


@command(eval_app, "track")
def evaluate_track(
    run: Run,
    data: Annotated[
        Path | None, typer.Option("--data", show_default=False, help="Folder of sequences with ground truth.")
    ] = None,
    generated: Annotated[
        int, typer.Option("--generated", min=0, help="So many drawn scenes, besides or without --data.")
    ] = 0,
    tracker: Annotated[
        list[str] | None,
        typer.Option(
            "--tracker",
            show_default=False,
            help="Only these: vitapps, filter, network, static, template, mosse, kcf, …",
        ),
    ] = None,
    weights: TrackerWeightsOption = None,
) -> None:
    """One pass from the first box over sequences in OTB, GOT-10k, VOT or DAVIS layout, beside simple baselines; and how
    often what has a score overlaps by more than half."""
    from vitapps.pipelines.video.evaluate_track import evaluate_track as score

    found = score(
        data, generated=generated, trackers=tracker or (), weights=weights, options=run.options, progress=run.progress
    )  # fmt: skip
    names = ("auc", "precision", "norm_precision", "ao", "sr50", "sr75")
    table = [
        (
            row.tracker,
            row.group,
            row.sequences,
            *(f"{getattr(row.scores, name):.3f}" for name in names),
            *(f"{value:.1f}" for value in (row.ms, row.p50_ms, row.p95_ms)),
        )
        for row in found.rows
    ]
    header = ("tracker", "sequences", "n", "AUC", "P@20", "normP", "AO", "SR.5", "SR.75", "CPU ms", "p50 ms", "p95 ms")
    bins = [
        (curve.tracker, f"{item.low:.1f} to {item.high:.1f}", item.count, f"{item.confidence:.2f}", f"{item.right:.2f}")
        for curve in found.curves
        for item in curve.bins
    ]
    lines = columns(header, table)
    if found.elsewhere:
        lines += ["", "not run here, measured earlier on the same six sequences, on another machine:"]
        known = [(item.tracker, f"{item.auc:.3f}", f"{item.ms:.1f}") for item in found.elsewhere]
        lines += columns(("tracker", "AUC", "CPU ms"), known)
    if bins:
        lines += ["", *columns(("tracker", "score", "frames", "mean score", "share of IoU > 0.5"), bins)]
        lines += [f"{curve.tracker}: expected calibration error {curve.error:.3f}" for curve in found.curves]
    run.emit({"rows": found.rows, "curves": found.curves, "elsewhere": found.elsewhere}, lines)


@command(eval_app, "mot")
def evaluate_mot(run: Run, data: DataOption) -> None:
    """HOTA, MOTA and IDF1 on public detections (MOTChallenge folders), beside SORT, ByteTrack and OC-SORT."""
    from vitapps.pipelines.video.evaluate_mot import evaluate_mot as score

    rows = score(data, options=run.options, progress=run.progress)
    table = [
        (row.sequence, row.tracker, *(f"{value:.3f}" for value in (row.scores.hota, row.scores.mota, row.scores.idf1)),
         row.scores.switches, row.scores.false_positives, row.scores.misses)
        for row in rows
    ]  # fmt: skip
    run.emit({"rows": rows}, columns(("sequence", "tracker", "HOTA", "MOTA", "IDF1", "switches", "FP", "FN"), table))


@command(eval_app, "people")
def evaluate_people(run: Run, data: DataOption, weights: WeightsOption = None) -> None:
    """Boxes and tracks of people from pixels alone, beside what moves (MOTChallenge folders with clips), and boxes in
    marked frames of surveillance clips (action/fight_surv) beside HOG with a linear machine."""
    from vitapps.pipelines.video.evaluate_marked import evaluate_marked
    from vitapps.pipelines.video.evaluate_people import evaluate_people as score
    from vitapps.pipelines.video.evaluate_people import has_sequences

    clips, name = (data / "action" / "fight_surv").is_dir(), weights or ""
    wanted = has_sequences(data) or not clips
    rows = score(data, weights=name, options=run.options, progress=run.progress) if wanted else []
    marked = evaluate_marked(data, weights=name, options=run.options, progress=run.progress) if clips else []
    table = [
        (row.sequence, row.way, *(f"{value:.3f}" for value in (
            row.boxes.ap50, row.boxes.recall, row.boxes.precision, row.tracks.hota, row.tracks.idf1, row.tracks.mota)),
         row.tracks.switches, f"{row.cpu_ms:.0f}")
        for row in rows
    ]  # fmt: skip
    titles = ("sequence", "way", "AP50", "recall", "precision", "HOTA", "IDF1", "MOTA", "switches", "CPU ms")
    lines = columns(titles, table) if rows else []
    if marked:
        scores = [
            (row.way, row.frames, row.people, *(f"{value:.3f}" for value in (
                row.boxes.ap50, row.boxes.f1, row.boxes.recall, row.boxes.precision)), f"{row.cpu_ms:.0f}")
            for row in marked
        ]  # fmt: skip
        lines += [
            "",
            *columns(("marked frames", "frames", "people", "AP50", "F1", "recall", "precision", "CPU ms"), scores),
        ]
    run.emit({"rows": rows, "marked": marked}, lines)


@command(train_app, "track")
def train_track(
    run: Run,
    data: Annotated[
        list[Path], typer.Option("--data", show_default=False, help="Folders of photographs and clips; repeatable.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", show_default=False, help="Folder for card, weights and graph.")],
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 3000,
    batch: Annotated[int, typer.Option(min=1, help="Pairs a step.")] = 16,
    occlusion: Annotated[float, typer.Option(min=0, help="Weight of ORTrack's covered templates; 0: none.")] = 0.0,
    teacher: Annotated[
        str, typer.Option("--teacher", show_default=False, help="A tracker's card: train half of it to mimic it.")
    ] = "",
    distill: Annotated[float, typer.Option(min=0, help="Weight of mimicking the teacher.")] = 1.0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
) -> None:
    """Train the one-stream transformer tracker from scratch on composited pairs and unlabelled clips."""
    from vitapps.require import require

    require("torch", extra="train")
    from vitapps.pipelines.runtime.devices import cuda_devices
    from vitapps.pipelines.video.train_track import TrackFit, train

    device = run.options.device if run.options.device != "auto" else "cuda" if cuda_devices() else "cpu"
    config = TrackFit(
        steps=steps, batch=batch, seed=run.options.seed, threads=run.options.threads or 1, occlusion=occlusion,
        teacher=teacher, distill=distill,
    )  # fmt: skip
    card = train(data, out, config=config, device=device, resume=resume, progress=run.progress)
    run.emit({"card": str(card)}, [f"wrote {card}"])


@command(train_app, "people")
def train_people(
    run: Run,
    data: Annotated[Path, typer.Option("--data", show_default=False, help="Folder of poses and surveillance clips.")],
    out: Annotated[Path, typer.Option("--out", "-o", show_default=False, help="Folder for card, weights and graph.")],
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 5700,
    batch: Annotated[int, typer.Option(min=1, help="Windows a step.")] = 8,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
) -> None:
    """Train the finder of people from scratch, on people marked in clips and people drawn in motion capture poses."""
    from vitapps.require import require

    require("torch", extra="train")
    from vitapps.pipelines.runtime.devices import cuda_devices
    from vitapps.pipelines.video.train_people import PeopleFit, train

    device = run.options.device if run.options.device != "auto" else "cuda" if cuda_devices() else "cpu"
    config = PeopleFit(steps=steps, batch=batch, seed=run.options.seed, threads=run.options.threads or 1)
    card = train(data, out, config=config, device=device, resume=resume, progress=run.progress)
    run.emit({"card": str(card)}, [f"wrote {card}"])
