package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }

// run is main without the process around it: 0 written, 1 failed, 2 wrong usage.
func run(args []string, stderr io.Writer) int {
	var (
		out    string
		img    = image{os: "linux", labels: make(map[string]string)}
		labels = img.labels
	)
	flags := flag.NewFlagSet("ociimage", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: ociimage -o FILE.tar -name NAME:TAG [flags] SOURCE:PATH[:MODE]...")
		flags.PrintDefaults()
	}
	flags.StringVar(&out, "o", "", "`file` to write")
	flags.StringVar(&img.name, "name", "", "name and tag of the image, as in gridmesh/node:v0.1.0")
	flags.StringVar(&img.arch, "arch", runtime.GOARCH, "what the binaries run on, as GOARCH")
	flags.StringVar(&img.user, "user", nonRoot, "user and group that it runs as")
	flags.StringVar(&img.entrypoint, "entrypoint", "", "`path` in the image of the program to run (default: the first file)")
	flags.Func("label", "`KEY=VALUE` to stamp the image with; may be repeated", func(text string) error {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" {
			return errors.New("a label is KEY=VALUE")
		}
		labels[key] = value
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if out == "" || flags.NArg() == 0 || !named.MatchString(img.name) {
		flags.Usage()
		return 2
	}
	if err := img.create(out, flags.Args()); err != nil {
		fmt.Fprintln(stderr, "ociimage:", err)
		return 1
	}
	return 0
}

// named is a name with a tag, perhaps with a registry's host and port.
var named = regexp.MustCompile(`^([a-z0-9.-]+(:[0-9]+)?/)?[a-z0-9][a-z0-9._/-]*:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)

// create reads the files and writes the image beside out, then moves it there:
// who loads it never sees half of one.
func (i *image) create(out string, arguments []string) error {
	for _, argument := range arguments {
		f, err := readFile(argument)
		if err != nil {
			return err
		}
		i.files = append(i.files, f)
	}
	if i.entrypoint == "" {
		i.entrypoint = i.files[0].path
	}
	aside, err := os.CreateTemp(filepath.Dir(out), filepath.Base(out)+".")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(aside.Name()) }() // gone by then, if all went well
	if err := errors.Join(i.write(aside), aside.Chmod(0o644), aside.Close()); err != nil {
		return err
	}
	return os.Rename(aside.Name(), out)
}
