#!/usr/bin/env bash
# quickstart.sh: the main job from nothing on a Debian machine: set-up, build, toy data; a random backbone is taught to judge (configs/toy/teach.yaml); then the whole method over two
# ranks (configs/toy/run.yaml: critique, refine, train with a stop and a resume on the way, export); then scores of responses it never saw. Ends non-zero when an aim below is missed.
# Everything is made anew in runs/toy; what an earlier quickstart left there is kept as runs/toy.before.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -eq 0 ] || { sed -n 's/^# //p' launch/quickstart.sh | head -n 4 >&2; exit 2; }

echo "== set-up: packages"
bash ci/install.sh
echo "== build"
mkdir -p build
cmake -S . -B build/release -G Ninja -DCMAKE_BUILD_TYPE=Release >build/quickstart.log 2>&1 || { cat build/quickstart.log; exit 1; }
cmake --build build/release --target critic-rm toy_task >>build/quickstart.log 2>&1 || { tail -n 60 build/quickstart.log; exit 1; }

program=build/release/critic-rm dir=runs/toy
if [ -d $dir ]; then
    rm -rf $dir.before
    mv $dir $dir.before
fi
echo "== data: a toy task, in $dir"
build/release/toy_task configs/toy/run.yaml $dir 30000 1000

echo "== the backbone is taught to answer and to judge: about two minutes on two idle cores"
start=$SECONDS
launch/mpirun.sh 2 $program train --config configs/toy/teach.yaml
$program export --config configs/toy/teach.yaml $dir/teach $dir/taught
echo "taught in $((SECONDS - start)) s"

pipeline() { launch/pipeline.sh configs/toy/run.yaml "$@" 2>&1 | tee -a $dir/pipeline.log; }
echo "== the whole method, stopped on purpose after 45 steps of training (status 3), then gone on with"
status=0
pipeline --set checkpoint.stop_after=45 || status=$?
[ "$status" -eq 3 ] || { echo "the stop on the way ended with status $status, not 3"; exit 1; }
pipeline
run=$dir/run/round_1
$program inspect --verify $run/train
echo "== scores of responses that were never seen"
launch/mpirun.sh 2 $program score --config configs/toy/run.yaml $run/model $dir/responses.jsonl $dir/scores.jsonl
head -n 2 $dir/scores.jsonl

value() { sed -E "s/.*\"$1\":([^,}]*).*/\1/"; }
steps() { grep -v '"eval"' $run/train/metrics.jsonl; }
mean() { awk '{ s += $1 } END { print s / NR }'; }
parsed=$(grep -oE 'parse rate [0-9.]+' $dir/pipeline.log | grep -oE '[0-9.]+')
kept=$(sed -nE 's/.*: ([0-9]+) pairs written of ([0-9]+),.*/\1 \2/p' $dir/pipeline.log | awk '{ print $1 / $2 }')
accuracy=$(grep '"eval"' $run/train/metrics.jsonl | tail -n 1 | value accuracy)
first=$(steps | sed -n 1,5p | value critique_loss | mean)
last=$(steps | tail -n 5 | value critique_loss | mean)
early=$(steps | awk -F'"epoch":' '{ split($2, e, ","); if (e[1] == 0) print }' | value lambda | sort -u)
scored=$(value reward <$dir/scores.jsonl | awk 'NR % 2 { right = $1; next } { n += right > $1 } END { print n / (NR / 2) }')
echo "judgements with a score $parsed; pairs kept $kept; held-out accuracy $accuracy; critique loss $first at the beginning, $last at the end; lambda in the first epoch: $early;"
echo "of 100 new questions the right answer has the higher reward in $scored"
awk -v p="$parsed" -v k="$kept" -v a="$accuracy" -v f="$first" -v l="$last" -v e="$early" -v s="$scored" \
    'BEGIN { exit !(p >= 0.9 && k >= 0.2 && k <= 0.95 && a >= 0.9 && l <= f / 2 && e == 1 && s >= 0.8) }' || { echo "the quickstart's aim was missed"; exit 1; }
echo "done: the model is $run/model (transformers opens it); D_sub is $run/dsub: $program dump --config configs/toy/run.yaml $run/dsub"
echo "score more: $program score --config configs/toy/run.yaml $run/model IN.jsonl OUT.jsonl, a line {\"prompt\": ..., \"response\": ...} each, as $dir/responses.jsonl has them"
