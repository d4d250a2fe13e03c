//go:build race

package chaos

// raceDetector says that memory is not what it would be.
const raceDetector = true
