"""Builds wheel and sdist, installs the wheel where nothing else is, and audits from an unrelated folder.

Run by `make wheel`. The new environment shares torch by links, everything else is installed anew.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import venv
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = Path(sys.prefix) / "constraints.txt"
TOP_LEVELS = ("torch", "torchgen", "functorch")


def run(*command: str | Path, cwd: Path, expect: int = 0) -> str:
    """Runs a command; its output, or an exit that shows it."""
    done = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != expect:
        sys.exit(
            f"{' '.join(map(str, command))}\nexit code {done.returncode}, not {expect}\n{done.stdout}{done.stderr}"
        )
    return done.stdout


def share_torch(site: Path) -> None:
    """Links torch and its metadata into another environment's site-packages."""
    found = metadata.distribution("torch")
    folder = Path(str(found.locate_file("")))
    for name in (*TOP_LEVELS, *(p.name for p in folder.glob("torch-*.dist-info"))):
        if (folder / name).exists():
            (site / name).symlink_to(folder / name)


def main() -> None:
    """Build, install, audit."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "source"
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        for file in listed.stdout.splitlines():
            if (ROOT / file).is_file():
                (source / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / file, source / file)
        run(sys.executable, "-m", "build", "--outdir", folder / "dist", source, cwd=folder)
        (wheel,) = (folder / "dist").glob("*.whl")
        assert list((folder / "dist").glob("*.tar.gz")), "no sdist was built"
        environment = folder / "environment"
        venv.create(environment, with_pip=True)
        python = environment / "bin" / "python"
        site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])", cwd=folder).strip())
        share_torch(site)
        constraints = ["-c", str(CONSTRAINTS)] if CONSTRAINTS.exists() else []
        run(python, "-m", "pip", "install", "--quiet", *constraints, wheel, cwd=folder)
        elsewhere = folder / "elsewhere"
        elsewhere.mkdir()
        os.environ.pop("PYTHONPATH", None)
        stabkit = environment / "bin" / "stabkit"
        run(stabkit, "--help", cwd=elsewhere)
        run(stabkit, "audit", "zoo:kl_of_log_scales", "--dtype", "float32", "--report", "html", cwd=elsewhere)
        assert (elsewhere / "stability-report.html").is_file(), "no report was written"
        run(stabkit, "audit", "zoo:naive_exp_log_scale", "--dtype", "float16", cwd=elsewhere, expect=1)
        (elsewhere / "mine.py").write_text("import torch\ndef loss(x):\n    return torch.log(1 + torch.exp(x))\n")
        said = run(stabkit, "diagnose", "mine.py:loss", "--at", "x=-6", "--dtype", "float16", cwd=elsewhere)
        assert "    3 |     return torch.log" in said, f"the program's line is not named:\n{said}"
        assert "site-packages" not in said, f"the package takes itself for the program:\n{said}"
        print(f"{wheel.name} installs and audits from an unrelated folder")  # noqa: T201


if __name__ == "__main__":
    main()
