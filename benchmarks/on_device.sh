#!/usr/bin/env bash
# All that a GPU is needed for, in one go of at most nine minutes: is netc right there, and how fast.
#
#     OUT=results benchmarks/on_device.sh
#
# It needs CuPy (docs/gpu.md); PyTorch and ONNX Runtime are the peers where they are installed. Four
# files are left in $OUT (default: a new folder): stages.txt, on_device.log, cuda_training.json and
# peers.json; the tables are printed last. Every stage has a limit of its own, so that one that hangs
# leaves time to the others; SCALE=0.5 halves them all. Packages that a machine without a network
# lacks travel as wheels in a folder: `pip download --no-deps -d wheels lark`, then WHEELS=wheels. The
# status is 0 if every stage found everything right, 1 if one did not, 2 if there is no device.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
out=${OUT:-$(mktemp -d)}
python=${PYTHON:-python3}
scale=${SCALE:-1}
mkdir -p "$out"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
export NETC_CACHE_DIR=${NETC_CACHE_DIR:-$(mktemp -d)}
failed=0

if [ -n "${WHEELS:-}" ]; then
    site=$(mktemp -d)
    "$python" -m pip install --quiet --no-index --no-deps --target "$site" "$WHEELS"/*.whl || exit 2
    export PYTHONPATH="$PYTHONPATH:$site"
fi

# stage NAME SECONDS COMMAND...: its output goes to $OUT/on_device.log, the last lines of what failed here.
stage() {
    local name=$1 seconds=$2 started=$SECONDS status verdict
    shift 2
    seconds=$("$python" -c "print(max(1, round($seconds * $scale)))")
    timeout --signal=INT --kill-after=10 "$seconds" "$@" > "$log" 2>&1
    status=$?
    case $status in
        0) verdict=right ;;
        124 | 137) verdict="stopped after its $seconds s" ;;
        *) verdict="failed (status $status)" ;;
    esac
    [ "$status" = 0 ] || { failed=1; tail -n 25 "$log"; }
    printf '== %s: %s, %d s\n' "$name" "$verdict" $((SECONDS - started)) | tee -a "$out/stages.txt"
    { echo "== $name"; cat "$log"; } >> "$out/on_device.log"
    return "$status"
}

# Tests by pytest, in as many processes as leave the GPU some room; the first 60 failures are enough.
tests() {
    local name=$1 seconds=$2
    shift 2
    stage "$name" "$seconds" "$python" -m pytest -n "${PROCESSES:-6}" --backend cuda \
        --color=no -rf --tb=short --maxfail=60 "$@"
    tail -n 1 "$log" | tee -a "$out/stages.txt"
}

"$python" -m netc devices | tee "$out/on_device.log"
if grep -q '^cuda *none' "$out/on_device.log"; then exit 2; fi
stage digit 40 "$python" -m netc run prototxt/digits/deploy.prototxt \
    -w prototxt/digits/digits.caffemodel --input prototxt/digits/images --backend cuda --json

if "$python" -c 'import pytest, xdist, hypothesis' 2> "$log"; then
    tests gradients 50 tests/train/test_golden_gradients.py
    tests training 60 tests/solver/test_golden.py -k test_runs
    tests layers 90 tests/test_golden.py -k 'test_layer or test_model or test_digits'
    tests forks 40 tests/test_golden_forks.py
else
    echo "no tests: $(tail -n 1 "$log")" | tee -a "$out/stages.txt"
    failed=1
fi

stage cuda_training 100 "$python" benchmarks/cuda_training.py --json "$out/cuda_training.json" \
    --nets lenet cifar_quick resnet18 googlenet mobilenet2 alexnet resnet50 \
    --peers eager channels_last --seconds 1 --limit 75
cat "$log"

# A peer that spoils the device ends the program with status 3; the same command goes on without it.
# shellcheck disable=SC2016
stage peers 140 bash -c 'while :; do
    "$0" benchmarks/peers.py --device cuda --json "$1" --batch 1 32 \
        --peers torch-graph torch-graph-nchw onnxruntime --seconds 0.2 --limit 25
    status=$?
    [ "$status" = 3 ] || exit "$status"
done' "$python" "$out/peers.json"

echo
cat "$out/stages.txt"
cat "$log"
exit $failed
