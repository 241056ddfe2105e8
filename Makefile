# Short names for the usual commands; everything also works without make.
.PHONY: build test ci bench peers

build:
	CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o lite ./cmd/lite

test:
	CGO_ENABLED=0 go test ./...

# All that a change must pass: bash .ci/run format build ... runs single stages.
ci:
	bash .ci/run

# ONNX Runtime and lite in turns: bench/README.md.
bench:
	bash bench/run

# Installs ONNX Runtime and transformers.js; the folder is the value for LITE_ORT.
peers:
	@bash .ci/peers/install
