"""What the scripts that break the protocol on purpose share: a scratch copy of this tree with one patch of mutants/.

Not a command of its own. Only Python's standard library.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATCHES = ROOT / "mutants"
SCRATCH = ROOT / "target" / "mutants"
# What is built runs for seconds: what counts is how soon it is built.
PROFILE = {
    "CARGO_PROFILE_RELEASE_DEBUG": "0",
    "CARGO_PROFILE_RELEASE_OPT_LEVEL": "1",
    "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16",
    "CARGO_PROFILE_RELEASE_INCREMENTAL": "true",
}


class Failed(Exception):
    """The script cannot go on with this patch."""


def patches(prefixes=None):
    """All patches, or those whose name begins with one of `prefixes`, each of which must name one."""
    everything = sorted(PATCHES.glob("*.patch"))
    for prefix in prefixes or ():
        if not any(patch.stem.startswith(prefix) for patch in everything):
            raise Failed(f"there is no mutant {prefix}")
    return [patch for patch in everything if not prefixes or patch.stem.startswith(tuple(prefixes))]


def broken_rule(patch):
    top = patch.read_text().split("\n--- ", 1)[0]
    rule = re.search(r"^Breaks: (.*)$", top, re.M)
    if not rule:
        raise Failed(f"{patch.name} does not say what it breaks")
    return rule.group(1).rstrip(".")


def copy_tree(tree):
    """Makes `tree` a copy of what is in git's care here. Files that have not changed keep their times, so that cargo
    builds again only what a patch has touched."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    wanted = {name for name in listed.split("\0") if name and (ROOT / name).is_file()}
    if tree.exists():
        for found in [path for path in tree.rglob("*") if path.is_file()]:
            if str(found.relative_to(tree)) not in wanted:
                found.unlink()
    for name in wanted:
        source, target = ROOT / name, tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or target.read_bytes() != source.read_bytes():
            shutil.copy(source, target)


def apply(patch, tree):
    # A tree of its own: git must not take it for a folder of this repository.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(tree.parent)}
    done = subprocess.run(["git", "apply", str(patch)], cwd=tree, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{patch.name} does not apply any more: {done.stderr.strip()}")


def build(patch, scratch, *what, how=("build",)):
    """Builds `what` (arguments of `cargo build`, or of the command `how`) from this tree with `patch`, or without one; the folder it is in."""
    copy_tree(scratch / "tree")
    if patch:
        apply(patch, scratch / "tree")
    target = scratch / "target"
    command = ["cargo", *how, "--quiet", "--release", *what, "--target-dir", str(target)]
    done = subprocess.run(command, cwd=scratch / "tree", env={**os.environ, **PROFILE}, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"it does not build:\n{done.stderr}")
    return target / "release"
