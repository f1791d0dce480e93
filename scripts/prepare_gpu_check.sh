#!/usr/bin/env bash
# Prepares what scripts/gpu_check.sh needs on a machine without a package registry:
#   scripts/prepare_gpu_check.sh --images DIR --out DIR [--python-version 3.12]
# DIR of --images is BUSI. It writes OUT/images, a small copy, and OUT/wheels, the packages of scripts/gpu_wheels.txt for
# the Python of that machine. Both travel with a clone without checkpoints/*.safetensors but with the weights of the
# encoder (make weights).
set -euo pipefail
cd "$(dirname "$0")/.."
images="" out="" version=3.12
while [ $# -gt 0 ]; do
  case "$1" in
    --images|--out|--python-version) [ $# -ge 2 ] || { echo "error: $1 needs a value" >&2; exit 2; } ;;&
    --images) images=$2; shift 2 ;;
    --out) out=$2; shift 2 ;;
    --python-version) version=$2; shift 2 ;;
    *) echo "error: unknown argument $1: expected --images DIR, --out DIR and optionally --python-version" >&2; exit 2 ;;
  esac
done
[ -d "$images" ] || { echo "error: --images is '$images': expected a folder in BUSI's layout" >&2; exit 2; }
[ -n "$out" ] || { echo "error: --out is missing: name a folder for images and wheels" >&2; exit 2; }
python=${PYTHON:-python3}
mkdir -p "$out"
[ -d "$out/images" ] || "$python" scripts/pack_images.py "$images" --out "$out/images"
download() { "$python" -m pip download --quiet --only-binary=:all: --python-version "$version" --dest "$out/wheels" "$@"; }
download --no-deps --requirement scripts/gpu_wheels.txt
download pydantic # with its core of the same version
weights=weights/efficientnet-lite0-57934424.pth
[ -f "$weights" ] || echo "warning: $weights is missing, without which the last step fails: run make weights" >&2
size=$(git ls-files | grep -v '^checkpoints/.*safetensors$' | xargs du -cb "$out" $([ -f "$weights" ] && echo "$weights") |
  awk '$2 == "total" {total += $1} END {printf "%d", total / 1048576}')
echo "$out: images and wheels; with the clone and the weights of the encoder $size MiB"
[ "$size" -lt 60 ] || { echo "error: $size MiB are more than 60: pack smaller images (scripts/pack_images.py)" >&2; exit 2; }
