"""dvc.yaml tracks what each step reads: the choices Hydra composes, and no more than that."""

import ast
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import composed
from dvc.dependency.param import ParamsDependency
from dvc.repo import Repo
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from pipeline.reporting.on_split import PLOTS
from pipeline.running.cli import quoted
from pipeline.running.config import config_hash, identity

ROOT = Path(__file__).resolve().parents[1]
TRACKED = ("conf", "docs/published_runs.csv", "pipeline", ".dvc/config", ".dvcignore", "dvc.yaml", "params.yaml")


@pytest.fixture(scope="module")
def stages():
    with Repo(ROOT) as repo:
        yield {stage.addressing: stage for stage in repo.index.stages}


def overrides(stage) -> tuple[str, list[str]]:
    """The step and the Hydra overrides of a stage's command."""
    python, flag, module, *rest = shlex.split(stage.cmd)
    assert (python, flag) == ("python", "-m")
    return module.removeprefix("pipeline."), rest


def test_every_choice_that_a_step_composes_is_tracked_by_its_stage(stages):
    for name, stage in stages.items():
        step, rest = overrides(stage)
        cfg = composed(step, *rest)
        chosen = HydraConfig.get().runtime.choices
        files = {f"conf/{group}/{choice}.yaml" for group, choice in chosen.items() if not group.startswith("hydra/")}
        tracked = {dep.def_path for dep in stage.deps if isinstance(dep, ParamsDependency)}
        for file, key in (("conf/intervals.yaml", "confidence"), ("conf/figures.yaml", "resamples")):
            assert file in tracked or key not in cfg, name
        assert tracked >= files | {f"conf/{step}.yaml"}, name


def test_a_source_with_a_space_in_its_name_is_one_value(tmp_path):
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    edit(tmp_path / "params.yaml", "source: data/sample ", "source: my faces (2).zip ")
    with Repo.init(tmp_path, no_scm=True) as repo:
        (stage,) = (stage for stage in repo.index.stages if stage.name == "clean")
    _, rest = overrides(stage)
    assert composed("clean", *map(quoted, rest)).source == "my faces (2).zip"


CHOSEN = ("model=compact", "optimizer=sgd")
FREE = Path("pipeline/running")  # how a step is started, tracked and written; everything else decides a result


def test_every_module_that_decides_a_result_is_a_dependency_of_its_stage(stages):
    for name, stage in stages.items():
        step, _ = overrides(stage)
        tracked = [Path(dep.def_path) for dep in stage.deps if str(dep.def_path).startswith("pipeline/")]
        needed = modules(step)
        missing = {file for file in needed if not any(file == path or path in file.parents for path in tracked)}
        assert not missing, name
        unneeded = {path for path in tracked if not any(file == path or path in file.parents for file in needed)}
        assert not unneeded, name
        assert not {path for path in tracked if any(other in path.parents for other in tracked)}, name  # said twice


def test_what_only_a_restored_model_needs_exports_nothing_anew(stages):
    tracked = {Path(dep.def_path) for dep in stages["export"].deps}
    alone = modules("restore") - modules("export")
    assert alone and not {file for file in alone if {file, *file.parents} & tracked}


def modules(step: str) -> set[Path]:
    """The step's module and those of the project it imports, and they import, without those in FREE."""
    found, left = set(), {Path(f"pipeline/{step}.py")}
    while left:
        file = left.pop()
        found.add(file)
        if file.name == "template.py":
            found |= {file.with_name("base.html"), file.with_name("style.css")}
        for node in ast.walk(ast.parse((ROOT / file).read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "pipeline":
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
                files = {Path(name.replace(".", "/") + ".py") for name in names}
                left |= {each for each in files if (ROOT / each).is_file() and each.parent != FREE} - found
    return found


def test_dvc_and_the_command_line_give_one_choice_the_same_config_hash(stages):
    for name, stage in stages.items():
        if not name.startswith("train@"):
            continue
        _, rest = overrides(stage)
        by_hand = [word for word in rest if not word.startswith(("output=", "rerun="))]
        assert config_hash(identity(composed("train", *rest))) == config_hash(identity(composed("train", *by_hand)))
        other = [*by_hand, "optimizer.build.learning_rate=0.5"]
        assert config_hash(identity(composed("train", *other))) != config_hash(identity(composed("train", *rest)))


def test_an_earlier_model_has_one_config_hash_however_its_path_is_spelt():
    def of(*paths: str) -> set[str]:
        named = [(f"initial_weights={path}", f"teacher={each}") for path in paths for each in (path, f"[{path}]")]
        return {config_hash(identity(composed("train", *CHOSEN, *each))) for each in named}

    assert len(of("start.keras", "./start.keras", f"{Path.cwd()}/start.keras", "a/../start.keras")) == 1
    assert len(of("start.keras", "/start.keras", "a/start.keras")) == 3
    several = [composed("train", *CHOSEN, f"teacher=[{paths}]") for paths in ("./a,b", "a,b", "b,a")]
    assert len({config_hash(identity(each)) for each in several}) == 2


def test_paths_in_dvc_yaml_are_those_of_conf(stages):
    cfg = composed("train", *CHOSEN)
    outs = {str(out.def_path) for stage in stages.values() for out in stage.outs}
    assert {cfg.paths.clean, cfg.paths.sample, cfg.paths.export, f"{cfg.paths.resized}/rgb"} <= outs
    assert any(out.startswith(f"{cfg.paths.reports}/") for out in outs)


def test_every_plot_of_an_evaluation_is_one_of_dvcs(stages):
    evaluated = next(stage for name, stage in stages.items() if name.startswith("evaluate@"))
    plots = {Path(str(out.def_path)).stem for out in evaluated.outs if str(out.def_path).endswith(".png")}
    assert plots == {"learning_curves", *(f"{split}_{plot}" for split in ("valid", "test") for plot in PLOTS)}


@pytest.fixture(scope="module")
def reproduced_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reproduced")
    for name in TRACKED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, folder / name)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    with Repo(folder) as repo:
        for stage in repo.index.stages:
            for out in stage.outs:
                path = Path(out.fs_path)
                path.parent.mkdir(parents=True, exist_ok=True)
                if path.suffix:
                    path.write_text("{}")
                else:
                    path.mkdir(exist_ok=True)
                    (path / "file").write_text("x")
        for stage in repo.index.stages:
            for file in (Path(dep.fs_path) for dep in stage.deps if not isinstance(dep, ParamsDependency)):
                if not file.exists():  # in a folder that a stage makes
                    file.write_text("{}")
    dvc(folder, "commit", "-f", "-q")
    return folder


@pytest.fixture
def reproduced(reproduced_once, tmp_path):
    """A copy of the project whose stages DVC believes to have run: their outputs are stand-ins."""
    folder = shutil.copytree(reproduced_once, tmp_path / "reproduced", symlinks=True)
    assert changed(folder) == set()
    return folder


def dvc(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def changed(folder: Path) -> set[str]:
    """Stages that would run again; without the ranking where it would only look whether MLflow has other runs now."""
    with Repo(folder) as repo:
        return {stage for stage, why in repo.status().items() if why != ["always changed"]}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_what_editors_and_systems_leave_beside_a_file_reruns_nothing(reproduced):
    places = (reproduced / "pipeline/learning", reproduced / "data/resized/rgb", reproduced / "data/clean")
    for place in places:
        for name in (".models.py.swp", "models.py~", ".DS_Store", "._models.py", "Thumbs.db"):
            (place / name).write_text("x")
        (place / ".#models.py").symlink_to("me@host.1:2")  # Emacs's, which leads nowhere
    assert changed(reproduced) == set()


def test_what_the_page_on_cleaning_says_resizes_nothing(reproduced):
    (reproduced / "data/clean/report.html").write_text("in other words")
    assert "resize" not in {name.split(":")[-1].split("@")[0] for name in changed(reproduced)}
    (reproduced / "data/clean/manifest.parquet").write_text("of other images")
    assert "resize" in {name.split(":")[-1].split("@")[0] for name in changed(reproduced)}


def test_of_a_trainings_own_values_those_are_tracked_that_the_command_does_not_give(reproduced, stages):
    file = OmegaConf.load(ROOT / "conf/train.yaml")
    stage = next(stage for name, stage in stages.items() if name.startswith("train@"))
    given = {word.partition("=")[0] for word in overrides(stage)[1]}
    (tracked,) = (dep.params for dep in stage.deps if dep.def_path == "conf/train.yaml")
    assert set(tracked) == set(file) - given - {"defaults"}
    edit(reproduced / "conf/train.yaml", "epochs: 50", "epochs: 40")
    assert changed(reproduced) == set()
    edit(reproduced / "conf/train.yaml", "teacher: null", "teacher: start.keras")
    assert {name.split(":")[-1].split("@")[0] for name in changed(reproduced)} == {"train"}


def test_how_many_bad_images_are_borne_is_cleanings_matter_alone(reproduced, stages):
    edit(reproduced / "conf/data/sample.yaml", "max_bad_share: 0.05", "max_bad_share: 0.06")
    assert {name.split(":")[-1] for name in changed(reproduced)} == {"clean"}
    of = [config_hash(identity(composed("train", *CHOSEN, f"data.max_bad_share={share}"))) for share in (0.1, 0.2)]
    assert of[0] == of[1]


def test_editing_a_value_reruns_only_what_depends_on_it_and_a_comment_nothing(reproduced):
    compact = reproduced / "conf/model/compact.yaml"
    edit(compact, "# A small residual net", "# A very small residual net")
    edit(reproduced / "params.yaml", "# Every combination", "# Each combination")
    assert changed(reproduced) == set()
    edit(compact, "dropout: 0.3", "dropout: 0.4")
    (train,) = (name.split(":")[-1] for name in changed(reproduced))
    assert train.startswith("train@compact-")
    with Repo(reproduced) as repo:
        graph = repo.index.graph
        stage = next(stage for stage in graph if stage.name == train)
        downstream = {
            other.name.split("@")[0] for other in graph if stage is not other and reaches(graph, other, stage)
        }
        models = {other.name for other in graph if reaches(graph, other, stage) and "@" in other.name}
    assert downstream >= {"evaluate", "rank"}
    assert all("compact" in name for name in models)


def reaches(graph, start, goal) -> bool:
    """Whether `start` depends on `goal`, directly or through others."""
    return start is goal or any(reaches(graph, following, goal) for following in graph.successors(start))


def test_the_ranking_is_never_taken_from_a_cache_that_knows_nothing_of_mlflows_runs(reproduced):
    with Repo(reproduced) as repo:
        ((stage, why),) = repo.status().items()
    assert stage.rpartition(":")[2] == "rank" and why == ["always changed"]


def test_a_new_evaluation_makes_the_page_anew(reproduced):
    next(reproduced.glob("runs/*/evaluate/report.json")).write_text("of another confidence")
    assert "report" in {name.split(":")[-1] for name in changed(reproduced)}


def test_a_pyc_beside_the_code_and_a_model_card_rerun_nothing(reproduced):
    cache = reproduced / "pipeline/__pycache__"
    cache.mkdir(exist_ok=True)
    (cache / "train.cpython-311.pyc").write_bytes(b"x")
    next(reproduced.glob("runs/*/")).joinpath("MODEL_CARD.md").write_text("x")
    assert changed(reproduced) == set()
