package main

import (
	"runtime"
	"sync"
	"syscall"
)

// ownGroup puts a process into a group of its own, and has the kernel kill it
// when the driver is killed and cannot do it itself.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }

// starter is the one thread that starts processes: to the kernel the parent
// whose death counts is a thread, and Go's come and go.
var starter = sync.OnceValue(func() chan<- func() {
	jobs := make(chan func())
	go func() {
		runtime.LockOSThread()
		for job := range jobs {
			job()
		}
	}()
	return jobs
})

func onStarter(start func() error) error {
	done := make(chan error)
	starter() <- func() { done <- start() }
	return <-done
}
