//go:build race

package recycle

func init() { Strict(true) }
