#!/bin/sh
# build.sh [FILE] makes one executable of the driver, so that ncfleet.lock pins
# all of its own code. It needs grpcio and grpcio-tools, from PyPI; the driver
# needs grpcio, and runs by the python3 that built it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
proto=${PROTO:-$here/../../plugins/rpc/driverv1/driver.proto}
out=${1:-ncfleet-driver-pycopy}
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here/__main__.py" "$here/ncfleet_driver.py" "$work"
"$python" -m grpc_tools.protoc -I "$(dirname "$proto")" --python_out="$work" --grpc_python_out="$work" "$proto"
"$python" -m zipapp "$work" -p "$("$python" -c 'import sys; print(sys.executable)')" -o "$out"
