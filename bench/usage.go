package main

import (
	"fmt"
	"runtime"
	"syscall"
	"time"
)

// A usage is what this process has consumed since it started.
type usage struct {
	cpu    time.Duration // user and system time of all threads
	allocs uint64        // heap objects ever made
	bytes  uint64        // heap bytes ever made
}

// usageNow stops the world briefly: call it outside of what is timed.
func usageNow() (usage, error) {
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return usage{}, fmt.Errorf("read the process's cpu time: %w", err)
	}
	return usage{
		cpu:    time.Duration(r.Utime.Nano() + r.Stime.Nano()),
		allocs: mem.Mallocs,
		bytes:  mem.TotalAlloc,
	}, nil
}

// since returns what was consumed after the earlier reading.
func (u usage) since(earlier usage) usage {
	return usage{
		cpu:    u.cpu - earlier.cpu,
		allocs: u.allocs - earlier.allocs,
		bytes:  u.bytes - earlier.bytes,
	}
}

// A footprint is what live objects and goroutines hold, in bytes.
type footprint struct {
	heap   float64
	stacks float64
}

// footprintNow collects garbage first: twice, since a sync.Pool keeps what it
// held through one collection.
func footprintNow() footprint {
	runtime.GC()
	runtime.GC()
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	return footprint{heap: float64(mem.HeapAlloc), stacks: float64(mem.StackInuse)}
}
