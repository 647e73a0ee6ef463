"""A schedule for someone else's scheduler: systemd units, a crontab line, a Kubernetes CronJob, an Airflow DAG.

All of them call `vitapps batch run`, whose lock, journal and exit codes do the rest.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vitapps import __version__
from vitapps.pipelines.batch.cron import DAYS, Cron
from vitapps.pipelines.batch.job import Job

Kind = Literal["systemd", "cron", "k8s", "airflow"]
_GRACE = 15  # seconds beyond limits.drain before anyone may kill


@dataclass(frozen=True, slots=True)
class _Values:
    """What the four formats have in common."""

    job: Path
    name: str
    words: tuple[str, ...]
    grace: int
    cron: Cron


def emit(kind: Kind, job: Job, cron: Cron) -> str:
    """The text to install, with a comment that says where."""
    program = shutil.which("vitapps") or f"{Path(sys.executable).parent}/vitapps"
    words = (program, "batch", "run", str(job.path.absolute()), "--quiet")
    values = _Values(job.path.absolute(), job.name, words, int(job.limits.drain) + _GRACE, cron)
    return {"systemd": _systemd, "cron": _crontab, "k8s": _kubernetes, "airflow": _airflow}[kind](values)


def calendars(cron: Cron) -> list[str]:
    """systemd's OnCalendar for a cron line: two where the line names a day of the month and of the week."""
    clock = f"{_list(cron.hours, 24)}:{_list(cron.minutes, 60)}:00 {cron.zone.key}"
    months = _list(cron.months, 12)
    weekdays = "" if len(cron.weekdays) == 7 else ",".join(DAYS[day] for day in cron.weekdays) + " "
    days = _list(cron.days, 31)
    if cron.either_day:
        return [f"*-{months}-{days} {clock}", f"{weekdays}*-{months}-* {clock}"]
    return [f"{weekdays}*-{months}-{days} {clock}"]


def _list(values: tuple[int, ...], count: int) -> str:
    return "*" if len(values) == count else ",".join(f"{value:02d}" for value in values)


def _systemd(values: _Values) -> str:
    command = " ".join('"' + word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"' if " " in word
                       else word.replace("%", "%%") for word in values.words)  # fmt: skip
    timers = "\n".join(f"OnCalendar={line}" for line in calendars(values.cron))
    return f"""\
# ~/.config/systemd/user/vitapps-{values.name}.service
[Unit]
Description=vitapps batch {values.name}

[Service]
Type=oneshot
ExecStart={command}
# the driver finishes what is in flight; then systemd may kill
KillMode=mixed
TimeoutStopSec={values.grace}

# ~/.config/systemd/user/vitapps-{values.name}.timer
# then: systemctl --user daemon-reload && systemctl --user enable --now vitapps-{values.name}.timer
[Unit]
Description=vitapps batch {values.name}

[Timer]
{timers}
Persistent=true

[Install]
WantedBy=timers.target
"""


def _crontab(values: _Values) -> str:
    command = shlex.join(values.words).replace("%", "\\%")
    return f"# crontab -e\nCRON_TZ={values.cron.zone.key}\n{values.cron.text} {command}\n"


def _kubernetes(values: _Values) -> str:
    arguments = json.dumps(["batch", "run", str(values.job), "--quiet"])
    return f"""\
# kubectl apply -f FILE; give the image and the volume claim that hold vitapps and the data
apiVersion: batch/v1
kind: CronJob
metadata:
  name: {_dns(values.name)}
spec:
  schedule: "{values.cron.text}"
  timeZone: "{values.cron.zone.key}"
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: 3600
  jobTemplate:
    spec:
      backoffLimit: 2
      podFailurePolicy:
        rules:
          - action: FailJob  # some inputs failed: to start again would not help
            onExitCodes: {{operator: In, values: [2, 6]}}
      template:
        spec:
          restartPolicy: Never
          terminationGracePeriodSeconds: {values.grace}
          containers:
            - name: vitapps
              image: vitapps:{__version__}
              command: ["vitapps"]
              args: {arguments}
              volumeMounts:
                - {{name: data, mountPath: {json.dumps(str(values.job.parent))}}}
          volumes:
            - name: data
              persistentVolumeClaim: {{claimName: vitapps-data}}
"""


def _airflow(values: _Values) -> str:
    command = shlex.join(values.words)
    return f"""\
# dags/vitapps_{_dns(values.name).replace("-", "_")}.py
import pendulum
from airflow import DAG
from airflow.operators.bash import BashOperator

with DAG(
    dag_id={f"vitapps_{values.name}"!r},
    schedule={values.cron.text!r},
    start_date=pendulum.datetime(2026, 1, 1, tz={values.cron.zone.key!r}),
    catchup=False,  # a run does all that is not done yet
    max_active_runs=1,
) as dag:
    # exit code 6: some inputs failed, the others are done; the next run goes on
    BashOperator(task_id="run", bash_command={command!r})
"""


def _dns(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower()).strip("-") or "vitapps"
