"""What the values of a step may be: of a name that conf/ has, of the kind it has there, and a number within its range.

Every step is checked before it begins, so that a mistake is one line and costs no work. What only data can tell is
checked where it is known.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from difflib import SequenceMatcher, get_close_matches
from fnmatch import fnmatch
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from pipeline.images.layout import Layout
from pipeline.running.choices import choices, content, files, groups, of_step
from pipeline.running.config import CONF
from pipeline.running.errors import UserError
from pipeline.running.ranges import range_of

NULL, BOOL, NUMBER, TEXT, LIST, GROUP = "null", "true or false", "a number", "a text", "a list in brackets", "a group"

MAY_BE_TAKEN_OUT = "emotions.*"  # units of an expression
MAY_BE_SEVERAL = {"initial_weights", "teacher"}  # null in conf/, and a text or a list of them
# Names that a config may have and conf/ does not: arguments of `build`, whose function refuses wrong ones itself;
# units of an expression; names of files and folders.
MAY_BE_ADDED = ("*.build.*", "emotions.*.*", "models.*", "endings.*", "parameters.*", "data.layout.*.*")
OF_THE_IMAGES = ("model.build.size", "model.build.channels")
# Listed here, since a file with a mistake in it can't be its own example: a value that was emptied is null there, and a
# text may stand where a list has to be.
MAY_BE_NULL = {"optimizer.schedule", "balance.per_class", "initial_weights", "teacher", "output", "run"}
EXAMPLES = {"data.allow": [[]], "data.deny": [[]], "data.layout.splits": [{}], "data.layout.folders": [{}]}


def check(step: str, cfg: DictConfig) -> None:
    """UserError, naming the first, for a value of the step's config that cannot be."""
    values, examples = OmegaConf.to_container(cfg, resolve=False), of_step(step)
    values.pop("hydra", None)
    known = _names(examples)
    for name, value in _named(values):
        if name in OF_THE_IMAGES:
            raise UserError(f"{name}: a model is built for the size and the channels of its images; leave it out")
        if name not in known and not any(fnmatch(name, pattern) for pattern in MAY_BE_ADDED):
            raise UserError(unknown(step, name))
        if name not in known and name.startswith("optimizer.build."):
            _value(name, value, [0, True])  # over a text Keras would stumble in the middle of a training
    if not _of_the_project(OmegaConf.select(cfg, "model.build._target_")):
        values["model"]["build"] = {"_target_": values["model"]["build"]["_target_"]}  # the rest is its function's
    _group("", values, examples)
    _together(cfg, examples)
    _experiment()
    chosen = HydraConfig.get().runtime.choices
    for group in groups(step):
        if group not in chosen:  # Hydra would merge the files of a list
            raise UserError(one_choice(group))
    for group, choice in chosen.items():
        if group in choices():
            _named_as_its_file(group, choice)


def one_choice(group: str) -> str:
    """What is said of a list of files of a group."""
    return (
        f"{group}: one is expected, {group}=<name>, and not a list; a sweep over several is: -m {group}=<one>,<other>"
    )


def _together(cfg: DictConfig, examples: Mapping[str, list]) -> None:
    """Refuse values that are well each by itself."""
    if OmegaConf.select(cfg, "balance.class_weight") and OmegaConf.select(cfg, "balance.even_sampling"):
        raise UserError(
            "balance.class_weight=true: with balance.even_sampling=true rare emotions would count twice, by their "
            "number and by their weight; make one of the two false"
        )
    if "brightness" in cfg and cfg.brightness.dark_below > cfg.brightness.light_from:
        raise UserError(
            f"brightness.dark_below={cfg.brightness.dark_below}: over brightness.light_from="
            f"{cfg.brightness.light_from}, so that an image would be both dark and light; lower it"
        )
    if "data" in cfg:
        _layout(OmegaConf.to_container(cfg.data.layout))
    if "optimizer" in cfg:
        _rate(OmegaConf.to_container(cfg.optimizer, resolve=True))
    if "teacher" in cfg and not cfg.teacher:
        for name in ("teacher_share", "teacher_augmented"):
            if cfg[name] != (usual := examples[name][0]):
                raise UserError(
                    f"{name}={_shown(cfg[name])}: without a teacher it changes nothing but the run's hash; name one in "
                    f"teacher, or leave it at {_shown(usual)}"
                )


def _layout(layout: Mapping[str, Any]) -> None:
    """Refuse what `layout` of a file of conf/data/ has too much or too little, and a folder of nothing known."""
    known = [field.name for field in fields(Layout)]
    for key in [*layout, *known]:
        if key not in known:
            raise UserError(f"data.layout.{key}: there is no such value; layout has {', '.join(known)}")
        if key not in layout:
            raise UserError(f"data.layout.{key}: missing, and it is needed")
    for key in ("splits", "folders"):
        for name, meant in layout[key].items():
            _value(f"data.layout.{key}.{name}", meant, [TEXT])


def _rate(optimizer: Mapping[str, Any]) -> None:
    """Refuse a learning rate, or a schedule of it, that fit.build_optimizer could not make."""
    rate, own = optimizer["build"].get("learning_rate"), "a function of your own, which optimizer.build._target_ names"
    if rate is None:
        raise UserError("optimizer.build.learning_rate: missing, and it is needed")
    if not isinstance(rate, int | float):
        raise UserError(f"optimizer.build.learning_rate={rate}: expected a number; {own}, may make a schedule of it")
    if optimizer["schedule"] and (keys := set(optimizer["schedule"])) != {"warmup_epochs"}:
        raise UserError(
            f"optimizer.schedule: has {', '.join(sorted(keys))}; expected null or warmup_epochs alone, after which the "
            f"rate falls as a cosine; {own}, may have any other"
        )


def _of_the_project(target: str | None) -> bool:
    """Whether a function that builds something is the project's, so that what it takes is known here; None is."""
    return target is None or target.partition(".")[0] == __package__.partition(".")[0]


def _experiment() -> None:
    """Refuse to change a group's file under an experiment that sets values for the one it chose itself.

    Another optimizer would get the learning rate that is right for the experiment's own, say. Values that are given on
    the command line are what is wanted.
    """
    hydra = HydraConfig.get()
    chosen, overrides = hydra.runtime.choices, OmegaConf.to_container(hydra.overrides.task, resolve=False)
    given = {override.lstrip("+~").partition("=")[0] for override in overrides}
    name = chosen.get("experiment")
    experiment = content(f"experiment/{name}") if (CONF / f"experiment/{name}.yaml").is_file() else {}
    for entry in experiment.get("defaults", []):
        group, choice = next(iter(entry.items())) if isinstance(entry, Mapping) else (entry, None)
        group = group.removeprefix("override /")
        set_by_it = {each: value for each, value in _named(experiment) if each.startswith(f"{group}.")}
        kept = [each for each, value in set_by_it.items() if _kind(value) != GROUP and each not in given]
        if kept and chosen.get(group) != choice:
            values = " ".join(f"{each}={_shown(set_by_it[each])}" for each in kept)
            raise UserError(
                f"{group}={chosen.get(group)}: {values} would stay, which experiment={name} means for {choice}; give "
                f"what fits {chosen.get(group)}, such as {kept[0]}=..., or take it out, ~{kept[-1]}"
            )


def unknown(step: str, name: str) -> str:
    """What is said of a name that the step's config does not have, with those that are meant most likely."""
    names = sorted(_names(of_step(step)))
    if name.startswith(("data.layout.splits", "data.layout.folders")):
        return f"{name}: folders are added one by one, such as +data.layout.folders.joy=happiness"
    if name in names:
        group = name.partition(".")[0]
        having = [file.stem for file in files(group) if name in _names({group: [content(f"{group}/{file.stem}")]})]
        return (
            f"{name}: the file that was chosen from conf/{group}/ has no such value, {' and '.join(having)} of it "
            f"{'have' if len(having) > 1 else 'has'}; leave it out, or add it with ++{name}=..."
        )
    near = get_close_matches(_last(name), sorted(set(map(_last, names))), 1)
    meant = [each for each in names if _last(each) in near]
    meant.sort(key=lambda each: -SequenceMatcher(None, name, each).ratio())
    known = f"did you mean {' or '.join(meant[:3])}?" if meant else f"python -m pipeline.{step} --help shows all"
    return f"{name}: there is no such value; {known}"


def _names(examples: Mapping[str, list]) -> set[str]:
    return {name for key, several in examples.items() for value in several for name, _ in _named({key: value})}


def _named(values: Mapping, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each value by its path in the config, and each group before those in it."""
    for key, value in values.items():
        yield f"{prefix}{key}", value
        if isinstance(value, Mapping):
            yield from _named(value, f"{prefix}{key}.")


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _named_as_its_file(group: str, choice: str) -> None:
    """UserError for a file that was copied and kept its name: runs and folders are named after it."""
    if not (CONF / group / f"{choice}.yaml").is_file():  # Hydra takes a name with its ending too
        raise UserError(f"{group}={choice}: leave out .yaml, {group}={choice.removesuffix('.yaml')}")
    name = content(f"{group}/{choice}").get("name", choice)
    if name != choice:
        raise UserError(f"conf/{group}/{choice}.yaml: has name: {name}; expected name: {choice}, as its file is called")


def _group(prefix: str, values: Mapping, examples: Mapping[str, list]) -> None:
    """Refuse one of `values`, or that one of `examples` is missing."""
    for key, known in examples.items():
        if key in values:
            _value(f"{prefix}{key}", values[key], EXAMPLES.get(f"{prefix}{key}", known))
        elif not fnmatch(f"{prefix}{key}", MAY_BE_TAKEN_OUT):
            raise UserError(f"{prefix}{key}: missing, and it is needed")


def _value(name: str, value: Any, examples: list) -> None:
    """Refuse `value` when it is of no kind that one of `examples` has, or out of its range."""
    if isinstance(value, str) and (value == "???" or value.startswith("${")):
        return  # missing, which is said when it is needed, or the same as another value
    kinds = dict.fromkeys(map(_kind, examples))
    if name not in MAY_BE_NULL:
        kinds.pop(NULL, None)
    elif kinds == {NULL: None}:
        kinds |= {TEXT: None, LIST: None} if name in MAY_BE_SEVERAL else {TEXT: None}
    kind, bounds = _kind(value), range_of(name)
    if kind == GROUP and GROUP in kinds:
        groups = [example for example in examples if _kind(example) == GROUP]
        others = [group for group in groups if group.keys() != value.keys()] if name in choices() else groups
        needed = set.intersection(*map(set, others or groups))  # what somebody's own file must have too
        if name in choices() and others and len(groups) - len(others) == 1:  # no other file has the same keys
            _no_more(name, value, set.union(*map(set, others)))
        every = {key: [group[key] for group in groups if key in group] for group in groups for key in group}
        _group(f"{name}.", value, {key: known for key, known in every.items() if key in value or key in needed})
    elif kind == LIST and LIST in kinds:
        entries = [entry for example in examples if _kind(example) == LIST for entry in example]
        for entry in value:
            _value(name, entry, entries or [TEXT])
    elif bounds and not (kind == NULL and NULL in kinds) and not {GROUP, LIST} & {kind, *kinds}:
        _one_of(name, value, bounds) if isinstance(bounds, set) else _number(name, value, *bounds)
    elif kind not in kinds or (value == "" and "" not in examples):
        raise UserError(f"{name}={_shown(value)}: {_expected(name, value, kinds, examples)}")


def _no_more(group: str, value: Mapping, known: set[str]) -> None:
    """UserError for a key that no other file of the group has: nothing would read it."""
    for key in value:
        if key not in known:
            near = get_close_matches(key, sorted(known), 1)
            then = f"did you mean {group}.{near[0]}?" if near else "leave it out"
            raise UserError(f"{group}.{key}: no other file of conf/{group}/ has it, and nothing reads it; {then}")


def _kind(value: Any) -> str:
    if value is None:
        return NULL
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, int | float):
        return NUMBER
    return TEXT if isinstance(value, str) else LIST if isinstance(value, list) else GROUP


def _expected(name: str, value: Any, kinds: Iterable[str], examples: list) -> str:
    if GROUP in kinds and NULL not in kinds:
        first = next((key for example in examples if _kind(example) == GROUP for key in example), None)
        such_as = f"{name}.{first}=..." if first else f"+{name}.<folder>=..."
        return f"{name} is a group; give its values one by one, such as {such_as}"
    said = f"expected {' or '.join(kinds) or 'a value'}"
    if TEXT in kinds and _kind(value) in (NUMBER, BOOL):
        return f"{said}; in quotes, {name}='\"{_shown(value)}\"', it is one"
    return f"{said}, such as {name}=[one,another]" if LIST in kinds else said


def _number(name: str, value: Any, least: float, most: float | None = None, instead: str | None = None) -> None:
    """UserError for what is no number from `least` to `most`, whole where `least` is; `instead` may stand for one."""
    if instead is not None and value == instead:
        return
    whole = isinstance(least, int)
    fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not fits or not math.isfinite(value) or not least <= value <= (math.inf if most is None else most):
        bounds = f"at least {least:g}" if most is None else f"from {least:.16g} to {most:.16g}"
        what = "a whole number" if whole else "a number"
        raise UserError(f"{name}={_shown(value)}: expected {f'{instead} or ' if instead else ''}{what}, {bounds}")


def _one_of(name: str, value: Any, allowed: set) -> None:
    if not any(type(value) is type(each) and value == each for each in allowed):  # true and 1.0 are 1, and no count
        raise UserError(f"{name}={_shown(value)}: expected {' or '.join(map(str, sorted(allowed)))}")


def _shown(value: Any) -> Any:
    """A value as one writes it in an override."""
    return json.dumps(value) if value is None or isinstance(value, bool) else value
