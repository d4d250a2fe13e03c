package controllers

// eventf tells the user what happened to the Grid.
func (s *scope) eventf(kind, reason, action, format string, args ...any) {
	s.Recorder.Eventf(s.grid, nil, kind, reason, action, format, args...)
}
