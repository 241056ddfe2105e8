#!/usr/bin/env bash
# Chinese: a masked language model from scratch under the linguistic and
# denoising losses; a student of half its layers under it; and a sentiment
# student that starts from that one.
#
#   bash chinese.sh TEACHER TEXT OUT
#
# TEACHER is a model directory with a classifier of ChnSentiCorp; its vocabulary is
# used throughout. TEXT holds text/cluecorpus-documents.txt,
# text/tnews-unlabeled.jsonl and chnsenticorp/{train,dev}.tsv. LITE is the program.
set -euo pipefail
lite=${LITE:-lite}
teacher=$1 text=$2 out=$3
mkdir -p "$out"

# Words, parts of speech and entities. The last 200 documents are held out.
$lite annotate --lang zh "$text/text/cluecorpus-documents.txt" --quiet --out "$out/documents.jsonl"
$lite annotate --lang zh "$text/text/tnews-unlabeled.jsonl" --quiet --out "$out/titles.jsonl"
cut -f2 "$text/chnsenticorp/train.tsv" | tail -n +2 >"$out/reviews.txt"
$lite annotate --lang zh --line-per-document "$out/reviews.txt" --quiet --out "$out/reviews.jsonl"
head -n -200 "$out/documents.jsonl" >"$out/documents-train.jsonl"
tail -n 200 "$out/documents.jsonl" >"$out/documents-held.jsonl"
corpora=$out/documents-train.jsonl,$out/titles.jsonl,$out/reviews.jsonl
losses="--alpha-mlm 1 --alpha-pos 0.3 --alpha-ner 0.3 --alpha-sop 1"

echo "== (a) a masked language model from scratch"
time $lite train --student 4x128 --tokenizer "$teacher" --text "$corpora" $losses \
	--epochs 6 --lr 1e-3 --dropout 0.05 --keep-heads --force --out "$out/mlm"
$lite eval "$out/mlm" --data "$out/documents-held.jsonl"

echo "== (b) a student of half its layers under it"
time $lite distill --teacher "$out/mlm" --text "$corpora" --student 2x128 $losses \
	--epochs 2 --lr 1e-3 --dropout 0.05 --keep-heads --force --out "$out/mlm-small"
$lite eval "$out/mlm-small" --data "$out/documents-held.jsonl"

echo "== (c) a sentiment student that starts from it"
for seed in 1 2 3; do
	time $lite distill --teacher "$teacher" --data "$text/chnsenticorp/train.tsv" --student 2x128 --from "$out/mlm-small" \
		--alpha-ce 0.5 --epochs 5 --lr 5e-4 --seed "$seed" --cache "$out/cache" --force --out "$out/sentiment-$seed"
done
$lite quantize --model "$out/sentiment-1" --force --out "$out/sentiment-int8"
$lite eval "$teacher" "$out"/sentiment-{1,2,3} "$out/sentiment-int8" --data "$text/chnsenticorp/dev.tsv" --latency 1x128
