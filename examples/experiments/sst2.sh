#!/usr/bin/env bash
# SST-2: what a one-layer student of half the width keeps of its teacher, what
# pruning and int8 cost it, and what the teacher is worth when labels are few.
#
#   bash sst2.sh TEACHER TRAIN.tsv DEV.tsv OUT [SEED...]
#
# TEACHER is a model directory with a classifier of SST-2; the data are GLUE's
# files. About two minutes for three seeds on two cores. LITE is the program.
set -euo pipefail
lite=${LITE:-lite}
teacher=$1 train=$2 dev=$3 out=$4
shift 4
[ $# -gt 0 ] || set -- 1 2 3
mkdir -p "$out"
common="--batch 64 --max-length 64 --quiet --force"

for seed in "$@"; do
	echo "== seed $seed"
	# All labels and the teacher; then a quarter of the heads and neurons less; then int8.
	$lite distill --teacher "$teacher" --data "$train" --student 1x64x4 --alpha-ce 1 --epochs 2 --lr 1e-3 \
		--seed "$seed" --cache "$out/cache" $common --out "$out/student-$seed"
	$lite prune --model "$out/student-$seed" --sparsity 0.25 --teacher "$teacher" --data "$train" --alpha-ce 1 --recover-epochs 1 \
		--seed "$seed" --cache "$out/cache" $common --out "$out/pruned-$seed"
	$lite quantize --model "$out/pruned-$seed" --quiet --force --out "$out/int8-$seed"

	# 2,000 labels: with the teacher, which labels the other sentences softly; and
	# alone, once for 10 passes over the 2,000 and once for as many steps.
	$lite distill --teacher "$teacher" --data "$train" --student 1x64x4 --limit-labels 2000 --alpha-ce 0.1 --epochs 2 --lr 1e-3 \
		--seed "$seed" --cache "$out/cache" $common --out "$out/few-$seed"
	$lite train --tokenizer "$teacher" --data "$train" --student 1x64x4 --limit-labels 2000 --epochs 10 --lr 1e-3 \
		--seed "$seed" $common --out "$out/alone-$seed"
	$lite train --tokenizer "$teacher" --data "$train" --student 1x64x4 --limit-labels 2000 --steps 2106 --lr 1e-3 \
		--seed "$seed" $common --out "$out/alone-long-$seed"

	$lite eval "$teacher" "$out"/{student,pruned,int8,few,alone,alone-long}-"$seed" --data "$dev" --latency 1x32 --quiet ${EVAL_FLAGS:-}
done
