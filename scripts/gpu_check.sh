#!/usr/bin/env bash
# Everything that is to be shown on a GPU, in one command and a few minutes:
#   scripts/gpu_check.sh --images DIR --out DIR [--wheels DIR] [--device cpu]
# scripts/prepare_gpu_check.sh makes the folders of images and wheels, for a machine without a package registry. Each step
# writes its own log as it runs and a line in OUT/steps.tsv when it ends: step, seconds, exit status (124: it ran out of
# time). A step that succeeded is skipped when the command is run again, and a step that fails stops no other. The last
# step trains the recipe of the released networks at 256x256 for the rest of the eight minutes; its checkpoint is in parts
# of at most 15 MB (cat OUT/recipe.part.* > best.safetensors). With --device cpu, every step runs on tiny inputs: a test of
# this script.
set -uo pipefail
cd "$(dirname "$0")/.."
images="" out="" wheels="" device=cuda
while [ $# -gt 0 ]; do
  case "$1" in
    --images|--out|--wheels|--device) [ $# -ge 2 ] || { echo "error: $1 needs a value" >&2; exit 2; } ;;&
    --images) images=$2; shift 2 ;;
    --out) out=$2; shift 2 ;;
    --wheels) wheels=$2; shift 2 ;;
    --device) device=$2; shift 2 ;;
    *) echo "error: unknown argument $1: expected --images DIR, --out DIR and optionally --wheels DIR, --device cpu" >&2
       exit 2 ;;
  esac
done
[ -d "$images" ] || { echo "error: --images is '$images': expected a folder in BUSI's layout" >&2; exit 2; }
[ -n "$out" ] || { echo "error: --out is missing: name a folder for the results" >&2; exit 2; }
case "$device" in cuda|cpu) ;; *) echo "error: --device is '$device': expected cuda or cpu" >&2; exit 2 ;; esac
python=${PYTHON:-python3}
export PYTHONUNBUFFERED=1 NO_ALBUMENTATIONS_UPDATE=1 ACSNET_CACHE=${ACSNET_CACHE:-$out/cache}
if [ "$device" = cuda ]; then
  "$python" -c 'import torch; raise SystemExit(not torch.cuda.is_available())' ||
    { echo "error: there is no CUDA device here: give --device cpu to try the script" >&2; exit 2; }
else
  export CUDA_VISIBLE_DEVICES=""
fi
mkdir -p "$out"
if [ -n "$wheels" ]; then
  [ -d "$wheels" ] || { echo "error: --wheels is '$wheels': expected a folder of wheels" >&2; exit 2; }
  export PYTHONPATH="$out/packages:$PWD${PYTHONPATH:+:$PYTHONPATH}"
  [ -d "$out/packages" ] ||
    "$python" -m pip install --quiet --no-index --no-deps --target "$out/packages" "$wheels"/*.whl ||
    { rm -rf "$out/packages"; echo "error: the wheels in $wheels cannot be installed by $python" >&2; exit 2; }
fi
missing=$("$python" -c 'import acsnet.training' 2>&1 | tail -n 1)
[ -z "$missing" ] ||
  { echo "error: $missing; name the folder of wheels that scripts/prepare_gpu_check.sh makes by --wheels" >&2; exit 2; }

step() { # step NAME SECONDS COMMAND...
  local name=$1 limit=$(($2 * patience)) begun=$SECONDS status
  shift 2
  if grep -qP "^$name\t\d+\t0$" "$out/steps.tsv" 2>/dev/null; then echo "== $name: done before"; return; fi
  timeout --kill-after=5 "$limit" "$@" > "$out/$name.log" 2>&1
  status=$?
  printf '%s\t%s\t%s\n' "$name" $((SECONDS - begun)) "$status" >> "$out/steps.tsv"
  echo "== $name: exit status $status after $((SECONDS - begun)) s"
  tail -n 12 "$out/$name.log" | cut -c1-240
}

# A CPU that does other work, too, gets more time.
patience=$([ "$device" = cpu ] && echo 10 || echo 1)
export python out config="$out/check.yaml"
tiny="" size=""
if [ "$device" = cpu ]; then
  tiny="model: {arguments: {encoder: mobilenetv3_small_050, widths: [16, 16, 16, 16, 16]}}"
  size=", image_size: [64, 64], folds: {count: 4, validation: 0.34}"
fi
cat > "$config" <<YAML
base: $PWD/configs/acsnet_busi_scratch.yaml
data: {root: '$(realpath "$images")'$size}
training: {epochs: 2, batch_size: $([ "$device" = cpu ] && echo 4 || echo 8)}
$tiny
YAML
cat > "$out/recipe.yaml" <<YAML
base: $PWD/configs/released/acsnet.yaml
data: {root: '$(realpath "$images")'$([ "$device" = cpu ] && echo "$size, split_file: null" || echo ", image_size: [256, 256]")}
$([ "$device" = cpu ] && echo "model: {encoder_weights: null, arguments: {encoder: mobilenetv3_small_050}}
training: {epochs: 1}")
YAML
train='rm -rf "$out/$0"; exec "$python" tools/train.py "$config" --work-dir "$out/$0"'
export compare='
import csv, sys
losses = [[float(row["loss"]) for row in csv.DictReader(open(f"{run}/history.csv"))] for run in sys.argv[1:]]
print("losses of one and of two processes:", *losses)
assert all(abs(one - two) < 0.1 * one for one, two in zip(*losses, strict=True))'
# Two processes, which share the GPU: each has half of a batch, so that batch normalization makes a small difference.
two='
  rm -rf "$out/two"
  "$python" -m torch.distributed.run --nproc-per-node=2 --master-port=29631 tools/train.py "$config" \
    --work-dir "$out/two" && "$python" -c "$compare" "$out/training" "$out/two"'
# A training that is killed after its first epoch, then resumed to the end of its second one.
resuming='
  rm -rf "$out/resumed"
  "$python" tools/train.py "$config" --work-dir "$out/resumed" & pid=$!
  while kill -0 $pid 2>/dev/null && [ ! -f "$out/resumed/history.csv" ]; do sleep 0.2; done
  kill -KILL $pid; wait $pid
  "$python" tools/train.py "$config" --work-dir "$out/resumed" --resume && [ "$(wc -l < "$out/resumed/history.csv")" = 3 ]'

if [ "$device" = cuda ]; then
  step tests 150 "$python" -m pytest -q -p no:cacheprovider -n 6 -m cuda tests/ops tests/layers tests/training
  step operator 90 "$python" -m benchmarks deform_conv --device cuda --rounds 5 --json "$out/cuda.json"
  step inference 60 "$python" -m benchmarks infer --device cuda --rounds 10 --json "$out/cuda.json"
else
  step tests 150 "$python" -m pytest -q -p no:cacheprovider tests/layers/test_gate.py
fi
step training 120 bash -c "$train" training
step testing 60 "$python" tools/test.py --checkpoint "$out/training/best.safetensors" --out "$out/test" --overwrite
step resuming 120 bash -c "$resuming"
step two_processes 120 bash -c "$two"
if [ "$device" = cuda ]; then
  step steps 200 "$python" -m benchmarks train --device cuda --rounds 10 --json "$out/cuda.json"
  step growth 120 "$python" -m benchmarks growth --device cuda --rounds 5 --json "$out/cuda.json"
  step compiled 200 bash -c "$train --set training.compile=true" compiled
fi
left=$((480 * patience - SECONDS))
[ "$left" -gt 60 ] && step recipe $((left / patience)) bash -c '
  "$python" tools/train.py "$out/recipe.yaml" --work-dir "$out/recipe" $([ -d "$out/recipe" ] && echo --resume)
  status=$?
  split -b 15m "$out/recipe/best.safetensors" "$out/recipe.part." && exit $status'
# Only the last line of each step counts: a step that failed may have been repeated.
awk -F'\t' '{last[$1] = $0; status[$1] = $3} END {for (name in last) {print last[name]; failed += status[name] != 0}; exit failed > 0}' \
  "$out/steps.tsv"
