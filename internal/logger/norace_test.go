//go:build !race

package logger

const raceDetector = false
