# Short names for the usual commands; everything also works without make.
.PHONY: build test ci bench peers install-peers

build:
	CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o lite ./cmd/lite

test:
	CGO_ENABLED=0 go test ./...

# All that a change must pass: bash .ci/run format build ... runs single stages.
ci:
	bash .ci/run

# lite and ONNX Runtime in turns, into bench/RESULTS.md: bench/README.md.
bench:
	bash bench/run -only float,int8,int8-over-float,mixed,mixed-int8

# The same with PyTorch, threads and files: everything in bench/RESULTS.md.
peers:
	bash bench/run

# Installs ONNX Runtime and transformers.js; the folder is the value for LITE_ORT.
install-peers:
	@bash .ci/peers/install
