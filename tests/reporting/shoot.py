"""Takes docs/report.png, of the published runs as docs/published_runs.csv has them: python -m tests.reporting.shoot"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from published import write_histories
from screens import take
from serving.drawn import ROOT
from serving.test_page import CHROMIUM

HEIGHT = 1900


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        write_histories(Path(temporary, "histories"))
        for step in ("import_histories", "rank", "compare", "report"):
            which = ["folder=histories"] if step == "import_histories" else ["study=published", "data=mmafedb"]
            command = [sys.executable, "-m", f"pipeline.{step}", *which]
            subprocess.run(command, check=True, cwd=temporary, env=os.environ | {"PYTHONPATH": str(ROOT)})
        take(Path(temporary, "reports/index.html"), HEIGHT, ROOT / "docs/report.png", CHROMIUM, colours=256)


if __name__ == "__main__":
    main()
