"""What a client is told through its environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Mapping, NamedTuple, Optional

from optiprov.wire import BrokerAddress

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_FLUSH_TIMEOUT_S = 5.0
DEFAULT_SPOOL_MAX_MB = 2048
DEFAULT_SPOOL_MAX_DAYS = 90.0
_DAY_S = 86_400.0


class Settings(NamedTuple):
    """Where a client spools and sends, and which trial it belongs to.

    Attributes:
        spool: directory that holds a spool for each client.
        broker: the MQTT broker, or None to spool only.
        topic: the part of the topic that PROVLIGHT_SERVER_TOPIC names.
        trial: id of the trial, from OPTIPROV_TRIAL_ID.
        study: name of the study, from OPTIPROV_STUDY.
        campaign: name of the campaign, from OPTIPROV_CAMPAIGN.
        run_id: the run to join, from OPTIPROV_RUN_ID.
        telemetry: what is sampled at the begin and end of tasks, from OPTIPROV_TELEMETRY; empty for nothing.
        environment: whether the environment of the process is recorded; OPTIPROV_ENVIRONMENT=0 turns it off.
        flush_timeout_s: how long `Workflow.end`, exit and SIGTERM wait for acknowledgement at most.
        spool_max_bytes: how much the spools of all clients may take, from OPTIPROV_SPOOL_MAX_MB.
        spool_max_age_s: how long what ended clients left may lie there, from OPTIPROV_SPOOL_MAX_DAYS.
    """

    spool: Path
    broker: Optional[BrokerAddress] = None
    topic: str = ""
    trial: Optional[str] = None
    study: Optional[str] = None
    campaign: Optional[str] = None
    run_id: Optional[str] = None
    flush_timeout_s: float = DEFAULT_FLUSH_TIMEOUT_S
    telemetry: str = ""
    environment: bool = True
    spool_max_bytes: int = DEFAULT_SPOOL_MAX_MB << 20
    spool_max_age_s: float = DEFAULT_SPOOL_MAX_DAYS * _DAY_S

    @classmethod
    def from_environment(cls, env: Mapping[str, str] = os.environ) -> Settings:
        """Read the settings; OPTIPROV_BROKER goes before PROVLIGHT_SERVER_URL.

        Raises:
            UrlError: the broker's address cannot be understood.
        """
        from pathlib import Path  # not above: it takes 4 ms, and the import of capture has 30

        url = env.get("OPTIPROV_BROKER") or env.get("PROVLIGHT_SERVER_URL")
        return cls(
            spool=Path(env.get("OPTIPROV_SPOOL") or default_spool(env)),
            broker=BrokerAddress.parse(url, env) if url else None,
            topic=env.get("PROVLIGHT_SERVER_TOPIC", ""),
            trial=env.get("OPTIPROV_TRIAL_ID") or None,
            study=env.get("OPTIPROV_STUDY") or None,
            campaign=env.get("OPTIPROV_CAMPAIGN") or None,
            run_id=env.get("OPTIPROV_RUN_ID") or None,
            flush_timeout_s=_number(env.get("OPTIPROV_FLUSH_TIMEOUT_S"), DEFAULT_FLUSH_TIMEOUT_S),
            telemetry=env.get("OPTIPROV_TELEMETRY", ""),
            environment=env.get("OPTIPROV_ENVIRONMENT", "").strip().lower()
            not in ("0", "false", "no", "off"),
            spool_max_bytes=int(_number(env.get("OPTIPROV_SPOOL_MAX_MB"), DEFAULT_SPOOL_MAX_MB) * (1 << 20)),
            spool_max_age_s=_number(env.get("OPTIPROV_SPOOL_MAX_DAYS"), DEFAULT_SPOOL_MAX_DAYS) * _DAY_S,
        )


def default_spool(env: Mapping[str, str] = os.environ) -> Path:
    """Return $XDG_STATE_HOME/optiprov/spool, by default ~/.local/state/optiprov/spool."""
    from pathlib import Path

    state = env.get("XDG_STATE_HOME") or str(Path(env.get("HOME") or Path.home()) / ".local" / "state")
    return Path(state) / "optiprov" / "spool"


def _number(text: Optional[str], default: float) -> float:
    """Read a number from 0 on; the default where there is none, or none that can be used."""
    try:
        number = float(text) if text else default
    except ValueError:
        return default
    return number if 0 <= number < float("inf") else default
