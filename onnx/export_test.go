package onnx

// SetOneFile lowers the size from which models are split, and returns what puts
// it back.
func SetOneFile(n int) (restore func()) {
	old := oneFile
	oneFile = n
	return func() { oneFile = old }
}
