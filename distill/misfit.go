package distill

import "github.com/litekit/lite/internal/misfit"

// MisfitError is a setting that cannot be carried out, such as a layer that the
// teacher does not have. It is found before anything costly is done. Errors of the
// other packages about their settings are of the same type.
type MisfitError = misfit.Error

// unfit is such an error of this package.
func unfit(format string, args ...any) error { return misfit.Errorf("distill: "+format, args...) }
