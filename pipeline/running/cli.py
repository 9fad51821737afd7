"""How a step is started from a shell: `python -m pipeline.<step> key=value ...`, configured by conf/<step>.yaml.

Hydra does the composing, the overrides and the sweeps (`-m`). What is added here: a help page for newcomers, and user
errors as one line with exit status 2.
"""

import ast
import importlib
import logging
import os
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import hydra
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, MissingMandatoryValue
from omegaconf.errors import OmegaConfBaseException

from pipeline.running import start, sweep
from pipeline.running.check import check, one_choice, unknown
from pipeline.running.choices import choices, files, groups, own_files
from pipeline.running.config import CONF
from pipeline.running.errors import UserError

# steps that keep what they have finished when they are cut off
GOES_ON = ("clean", "audit", "measure", "resize", "train", "import_histories")


def run(step: str) -> None:
    """Run `main(cfg)` of the module `pipeline.<step>` with the config that conf/<step>.yaml and the shell compose."""
    if start.asked_for_help():
        print(help_page(step))
        return
    start.restore_ctrl_c()
    _compose(step, importlib.import_module(f"pipeline.{step}").main)


def refuse_mistakes(step: str) -> None:
    """Exit as `run` would if the command has a mistake, importing nothing that the step does.

    A sweep, whose jobs are checked before the first begins, and the options of Hydra are left to `run`.
    """
    if not any(argument.startswith(("-", "hydra")) for argument in sys.argv[1:]):
        _compose(step, lambda cfg: None)


def _compose(step: str, main: Callable[[DictConfig], str | None]) -> None:
    """`main` with the config, once that is checked; exits with one line for a mistake of the user's."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra raise, so that the message is printed below and only there
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    sys.argv[1:] = map(quoted, sys.argv[1:])
    mistakes: list[Exception] = []

    def job(cfg: DictConfig) -> str | None:
        try:
            check(step, cfg)
            return main(cfg)
        except (UserError, OmegaConfBaseException) as error:
            if HydraConfig.get().mode is RunMode.MULTIRUN:
                raise  # the sweep counts it and goes on
            mistakes.append(error)  # kept from Hydra, which would print more than its line
            return None

    try:
        hydra.main(version_base="1.3", config_path=str(CONF), config_name=step)(job)()
    except KeyboardInterrupt:
        then = "the same command goes on from what was finished" if step in GOES_ON else "no output is half written"
        print(f"pipeline.{step}: interrupted; {then}", file=sys.stderr)
        sys.exit(130)
    except sweep.Refused as refusal:
        mistakes.append(refusal.__cause__)
    except Exception as error:
        if jobs := sweep.read_log():
            _end_sweep(step, jobs, error)
        mistakes.append(error)
    finally:
        sweep.forget_log()
    if mistakes:
        _fail(step, mistake_text(step, mistakes[0]))


def quoted(argument: str) -> str:
    """`key=value` as Hydra can read it: the value in quotes where it is a path with é, (1) or = in it, say.

    What it could read as several values or a list, as a,b and [a], is quoted where there is a path of that name.
    """
    key, equals, value = argument.partition("=")
    if not equals or value[:1] in ("'", '"'):
        return argument
    listed = value[:1] in ("[", "{")
    if (listed or _parses(argument)) and not ((listed or "," in value) and os.path.exists(value)):
        return argument
    # Hydra takes a backslash before a quote, or at the end, for an escape: it is doubled.
    escaped = re.sub(r"(\\*)('|$)", lambda end: 2 * end[1] + ("\\'" if end[2] else ""), value)
    return again if _parses(again := f"{key}='{escaped}'") else argument


def _parses(argument: str) -> bool:
    try:
        OverridesParser.create().parse_override(argument)
    except HydraException:
        return False
    return True


def mistake_text(step: str, error: Exception) -> str:
    """What the user is told of `error`; raises it when it is no mistake of the user's."""
    see = f" (see python -m pipeline.{step} --help)"
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key or error.msg}: no value given{see}"
    if isinstance(error, OverrideParseException) and "=" not in error.override:
        return f"{error.override}: expected key=value{_as_source(step, error.override) or see}"
    if isinstance(error, OverrideParseException):
        quotes = "; put each text of a list in quotes, \"key=['a','b']\"" if "=[" in error.override else ""
        return f"{error.override}: not a valid override, {error.message.splitlines()[0]}{quotes}{see}"
    if found := re.search(r"Could not override '([^'@]+).*To append to your", str(error), re.DOTALL):
        return unknown(step, found[1])  # not with Hydra's advice: what is added to the config is read by nobody
    if isinstance(error, HydraException | OmegaConfBaseException):
        cause = error.__cause__
        text = f"{error}: {cause}" if isinstance(cause, OmegaConfBaseException) else str(error)
        return text.partition("Config search path")[0].strip() + see
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark
        return f"{mark.name}, line {mark.line + 1}: not valid YAML, {error.problem}"
    if isinstance(error, yaml.reader.ReaderError):
        return f"{error.name}: not valid YAML, {error.reason}"
    if isinstance(error, UnicodeDecodeError) and (file := _not_utf8()):
        return f"{file}: not UTF-8, as YAML has to be; save it so"
    if isinstance(error, ValueError) and str(error).startswith("Config group override must be"):
        numbered = (override for override, _, value in _choices_given() if not _may_name_a_file(value))
        return f"{' '.join(numbered)}: expected a name, that of a file of the group{see}"
    if isinstance(error, ValueError) and "Only one of --run, --multirun" in str(error):
        return f"--cfg shows the config of one run: leave out -m, and give one choice of each{see}"
    if isinstance(error, TypeError):
        for _, group, value in _choices_given():
            if value.startswith("["):
                return one_choice(group)
    raise error


def _as_source(step: str, path: str) -> str:
    """The guess that a word is meant as the step's source, "" where it has none or was given one."""
    has_one = any(re.search("^source:", (CONF / f"{name}.yaml").read_text(), re.MULTILINE) for name in own_files(step))
    given = any(argument.startswith("source=") for argument in sys.argv)
    return f"; did you mean {shlex.quote(f'source={path}')}?" if has_one and not given else ""


def _choices_given() -> list[tuple[str, str, str]]:
    """Each override of the command that chooses the file of a group, with the group and what is chosen."""
    named = ((override, *override.lstrip("+").split("=", 1)) for override in sys.argv[1:] if "=" in override)
    return [each for each in named if each[1] in {"hydra", *choices()}]


def _may_name_a_file(value: str) -> bool:
    return value[:1].isalpha() and value not in ("null", "true", "false")


def _not_utf8() -> Path | None:
    """The first file of conf/ that is no UTF-8."""
    for file in sorted(CONF.rglob("[!.]*.yaml")):
        try:
            file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return file
    return None


def _end_sweep(step: str, jobs: list[dict], error: Exception) -> None:
    """List every failure of a sweep and exit with status 1; `error` is what ended it, the first failure or a death."""
    print(f"pipeline.{step}: {sweep.overview(jobs)}; the same command runs what is not finished", file=sys.stderr)
    for line in sweep.failures(jobs, error):
        print(f"  failed: {line}", file=sys.stderr)
    sys.exit(1)


def help_page(step: str) -> str:
    """What the step does, every choice of every group it reads with the first line of its file, and its values."""
    lines = [_docstring(step), "", f"Usage: python -m pipeline.{step} [group=choice ...] [key=value ...]", ""]
    for folder in sorted(p for p in CONF.iterdir() if p.is_dir()):
        experiment = step == "train" and folder.name == "experiment"  # added to the config, not chosen in it
        if not experiment and folder.name not in groups(step):
            continue
        lines += [f"+{folder.name}=" if experiment else f"{folder.name}="]
        for file in files(folder.name):
            said = file.read_text(encoding="utf-8", errors="replace").splitlines()
            about = next((line for line in said if "@package" not in line), "").lstrip("# ")
            lines.append(f"  {file.stem:34} {about}".rstrip())
        lines.append("")
    for name, within in own_files(step).items():
        given = f", given as {within}.<name>=..." if within else ""
        lines += [f"Values and what they are without an override (conf/{name}.yaml){given}:", ""]
        lines += [
            f"  {line}".rstrip() for line in (CONF / f"{name}.yaml").read_text(encoding="utf-8").strip().splitlines()
        ]
        lines.append("")
    lines += [
        f"python -m pipeline.{step} ... --cfg job   shows the resolved config and does nothing",
        f"python -m pipeline.{step} -m key=a,b ...  runs every combination",
    ]
    return "\n".join(lines)


def _docstring(step: str) -> str:
    """The module's docstring, read without importing it (running.start)."""
    return ast.get_docstring(ast.parse((Path(__file__).parents[1] / f"{step}.py").read_text(encoding="utf-8"))) or ""


def _fail(step: str, message: str) -> None:
    one_line = " ".join(message.split())
    print(f"pipeline.{step}: {one_line}", file=sys.stderr)
    sys.exit(2)
