package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// disturbance is the share of the processors that other processes may use during
// a measurement before its figures are in doubt.
const disturbance = 0.1

// A clock reads how long this machine has been busy, and this process of it.
type clock struct {
	at   time.Time
	all  time.Duration // of all processes, and what a hypervisor took; 0: unknown
	self time.Duration
}

// clockNow knows nothing of other processes but on Linux.
func clockNow() (clock, error) {
	used, err := usageNow()
	if err != nil {
		return clock{}, err
	}
	c := clock{at: time.Now(), self: used.cpu}
	if stat, err := os.ReadFile("/proc/stat"); err == nil {
		if c.all, err = parseBusy(string(stat)); err != nil {
			return clock{}, err
		}
	}
	return c, nil
}

// elsewhere is the share of the processors that others used since the earlier
// reading; 0 where that is unknown.
func (c clock) elsewhere(earlier clock) float64 {
	if c.all == 0 || earlier.all == 0 {
		return 0
	}
	others := (c.all - earlier.all) - (c.self - earlier.self)
	// The kernel counts in ticks: a difference below zero is none.
	return max(0, others.Seconds()/c.at.Sub(earlier.at).Seconds()/float64(runtime.NumCPU()))
}

// parseBusy reads the first line of /proc/stat, which is in hundredths of a second:
// user, nice, system, idle, iowait, irq, softirq, steal. Interrupts are left
// out, since those of loopback are ours.
func parseBusy(stat string) (time.Duration, error) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat begins with %.80q, want a line of cpu times", line)
	}
	var ticks int64
	for _, i := range []int{1, 2, 3, 8} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: cpu time %d: %w", i, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / 100), nil
}
