package teacher

// full cannot be told here: Plan 9's errors are the words of its file servers.
func full(error) bool { return false }
