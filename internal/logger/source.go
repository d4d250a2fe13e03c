package logger

import (
	"maps"
	"path"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
)

// sources are the places of calls that were seen, so that each is looked up
// once. There are as many as the program has calls; the map is swapped whole.
var (
	sources   atomic.Pointer[map[uintptr]string]
	sourcesMu sync.Mutex // one addition at a time
)

// mostSources bounds the map, for programs that make calls up.
const mostSources = 10_000

// sourceOf gives the place of a call: folder, file and line.
func sourceOf(pc uintptr) string {
	if pc == 0 {
		return ""
	}
	if known := sources.Load(); known != nil {
		if where, ok := (*known)[pc]; ok {
			return where
		}
	}
	frame, _ := runtime.CallersFrames([]uintptr{pc}).Next()
	if frame.File == "" {
		return ""
	}
	where := path.Join(path.Base(path.Dir(frame.File)), path.Base(frame.File)) + ":" + strconv.Itoa(frame.Line)
	sourcesMu.Lock()
	defer sourcesMu.Unlock()
	next := make(map[uintptr]string)
	if known := sources.Load(); known != nil {
		if len(*known) >= mostSources {
			return where
		}
		maps.Copy(next, *known)
	}
	next[pc] = where
	sources.Store(&next)
	return where
}
