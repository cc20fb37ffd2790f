"""`scripts/deploy`: infrastructure, package and check, in order or one alone."""

import argparse
import hashlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from . import infrastructure, probing, settingsfile, target
from .errors import DeploymentError
from .infrastructure import Outputs
from .onedeploy import ScmSite, publish
from .site import Site
from .target import Target
from .waiting import Clock, say

ROOT = Path(__file__).resolve().parents[2]
STEPS = ("infrastructure", "package", "check")
DOCTOR_SECONDS = 600.0
DESCRIPTION = """Deploy to Azure: make or change what infra/main.bicep describes, publish the package that `make
package` built, and try the app. The steps, each of which can be had alone with --only:

  infrastructure  everything in Azure; without a package the app runs nothing and asks nobody for a token, so that the
                  grants in Microsoft Graph can come before its first one
  package         Key Vault references read again; the zip published as it is (One Deploy) and followed to its end
  check           Graph's handshake, health, the settings file of the command line, and `attendance doctor`
  names           none of it: print the names of what was deployed

Names go to stdout as RG=…, APP=…, CLIENT_ID=… for a shell to evaluate, everything else to stderr. Needs the Azure CLI,
signed in. Exit codes: 0 done; 1 failed; 2 wrong usage; 3 done, and doctor found something that is not well.
"""


def main(arguments: Sequence[str] | None = None, *, clock: Clock | None = None, root: Path = ROOT) -> int:
    """Run the program and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="scripts/deploy", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=(*STEPS, "names"), help="one step; otherwise all of them")
    parser.add_argument(
        "--package", type=Path, default=root / ".local/package/app.zip", metavar="ZIP",
        help="default: .local/package/app.zip",
    )  # fmt: skip
    parser.add_argument(
        "--settings", type=Path, metavar="FILE", help="settings file to write; default: .local/APP.json"
    )
    given = target.parse(parser, arguments)
    if given.azd and given.only == "infrastructure":
        parser.error("--azd: the infrastructure is made by `azd provision`")
    return target.run("scripts/deploy", lambda: _deploy(given, clock or Clock(), root))


def _deploy(given: argparse.Namespace, clock: Clock, root: Path) -> int:
    steps = (given.only,) if given.only else STEPS[1:] if given.azd else STEPS
    if "package" in steps and not given.package.is_file():
        raise DeploymentError(f"The package {given.package} does not exist: run `make package` first.")
    found = target.find(given)
    if found.parameters and "infrastructure" in steps:
        say(f"Deploying infra/main.bicep as {found.parameters.deployment}; this takes some minutes")
        infrastructure.deploy(found.az, found.parameters)
    outputs = found.outputs()
    site = Site(found.az, found.account, outputs)
    if "package" in steps:
        _publish(found, site, given.package, clock)
    code = 0
    if "check" in steps:
        code = _check(site, outputs, given.settings or root / f".local/{site.name}.json", clock, root)
    for name, output in target.PRINTED.items():
        if value := outputs.get(output):
            print(f"{name}={shlex.quote(value)}", flush=True)
    return code


def _publish(found: Target, site: Site, package: Path, clock: Clock) -> None:
    say("Refreshing the Key Vault references")
    site.refresh_references(clock)
    scm = ScmSite(site.scm_host(), lambda: found.az.token(found.account))
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    say(f"Publishing {package} to {site.name} (SHA-256 {digest})")
    publish(scm, package, "teams-attendance-reports", clock)


def _check(site: Site, outputs: Outputs, settings: Path, clock: Clock, root: Path) -> int:
    base = outputs["NOTIFICATION_BASE_URL"]
    say(f"Checking {base}")
    if "webhook" not in (outputs.get("DELIVERY") or "webhook"):
        say("There is no webhook to try: Graph delivers in another way")
        probing.health(site, base, clock)
    elif probing.handshake(base, clock):
        say("The validation handshake was answered, from this machine")
        probing.health(site, base, clock)
    settingsfile.write(settings, site.settings())
    say(f"Settings for the command line: {settings}")
    return _doctor(settings, root)


def _doctor(settings: Path, root: Path) -> int:
    """Run `attendance doctor` if the command line is installed; return 3 for a fault."""
    program = _command_line(root)
    if not program:
        say(f"Then: make cli && .venv/bin/attendance doctor --settings {shlex.quote(str(settings))}")
        return 0
    say("attendance doctor:")
    try:
        done = subprocess.run(
            [program, "--settings", str(settings), "doctor", "--wait", "120"],  # a new app starts slowly
            stdin=subprocess.DEVNULL,
            stdout=2,  # stdout is for the names
            timeout=DOCTOR_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as failure:
        say(f"attendance doctor failed ({type(failure).__name__})")
        return 3
    if done.returncode == 0:
        return 0
    say(f"There are problems. Check again with: attendance doctor --settings {shlex.quote(str(settings))}")
    return 3


def _command_line(root: Path) -> str | None:
    folder = root / (".venv/Scripts" if os.name == "nt" else ".venv/bin")
    return shutil.which("attendance") or shutil.which("attendance", path=str(folder))
