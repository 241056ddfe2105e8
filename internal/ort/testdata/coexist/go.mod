module coexist

go 1.26

require (
	github.com/gomlx/onnx-gomlx v0.3.4
	github.com/knights-analytics/hugot v0.6.1
	github.com/litekit/lite v0.0.0
)
