package exec

// StepCount is how many nodes are left to run.
func StepCount(s *Session) int { return len(s.steps) }
