#!/usr/bin/env bash
# quickstart.sh: the main job from nothing on a Debian machine: set-up, build, toy data, training over two ranks in critic-rm mode with a stop and a resume on the
# way, held-out accuracy, export. Ends non-zero unless the held-out accuracy is at least 0.9, the critique loss fell by half and lambda was 1 until the last epoch.
set -euo pipefail
cd "$(dirname "$0")/.."

bash ci/install.sh
mkdir -p build
cmake -S . -B build/release -G Ninja -DCMAKE_BUILD_TYPE=Release >build/quickstart.log 2>&1 || { cat build/quickstart.log; exit 1; }
cmake --build build/release --target critic-rm toy_task >>build/quickstart.log 2>&1 || { tail -n 60 build/quickstart.log; exit 1; }

program=build/release/critic-rm run=runs/toy/run
rm -rf runs/toy
build/release/toy_task runs/toy 1200
$program import --config configs/toy.yaml runs/toy/pairs.jsonl runs/toy/dsub

train() { tests/tools/mpirun.sh 2 $program train --config configs/toy.yaml "$@"; }
status=0
train --set checkpoint.stop_after=70 || status=$?
[ "$status" -eq 3 ] || { echo "the stop on the way ended with status $status, not 3"; exit 1; }
train
$program inspect --verify $run
$program export --config configs/toy.yaml $run runs/toy/export
ls -l runs/toy/export

value() { sed -E "s/.*\"$1\":([^,}]*).*/\1/"; }
steps() { grep -v '"eval"' $run/metrics.jsonl; }
accuracy=$(grep '"eval"' $run/metrics.jsonl | tail -n 1 | value accuracy)
first=$(steps | sed -n '1,5p' | value critique_loss | awk '{ s += $1 } END { print s / NR }')
last=$(steps | tail -n 5 | value critique_loss | awk '{ s += $1 } END { print s / NR }')
early=$(steps | awk -F'"epoch":' '{ split($2, e, ","); if (e[1] == 0) print }' | value lambda | sort -u)
echo "held-out accuracy $accuracy; critique loss $first at the beginning, $last at the end; lambda in the first epoch: $early"
awk -v a="$accuracy" -v f="$first" -v l="$last" -v e="$early" 'BEGIN { exit !(a >= 0.9 && l <= f / 2 && e == 1) }' || { echo "the quickstart's aim was missed"; exit 1; }
